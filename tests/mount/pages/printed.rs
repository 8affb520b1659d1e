//! What the page says that a line prints, compared with what it does print.

use crate::target::Target;

crate::promises![Embedded:
    what_is_printed_is_what_the_page_says_or_a_page_is_wrong,
];

/// Stands for any number of lines where it is all of a line, and for any text within one.
const ANYTHING: &str = "…";

/// Whether these lines were printed, and nothing else.
pub(crate) fn is_as_said(said: &[&str], printed: &[&str]) -> bool {
    match said.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == ANYTHING => {
            (0..=printed.len()).any(|passed| is_as_said(rest, &printed[passed..]))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| is_line(line, first) && is_as_said(rest, others))
        }
    }
}

/// Whether a line is the one that the page shows.
fn is_line(said: &str, printed: &str) -> bool {
    let Some((before, after)) = said.split_once(ANYTHING) else { return said == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    let mut places = rest.char_indices().map(|(place, _)| place).chain([rest.len()]);
    places.any(|place| rest.get(place..).is_some_and(|rest| is_line(after, rest)))
}

fn what_is_printed_is_what_the_page_says_or_a_page_is_wrong(_: &Target) {
    let is_as_said =
        |said: &str, printed: &str| is_as_said(&said.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>());
    for (said, printed) in [
        ("", ""),
        ("a", "a"),
        ("…", ""),
        ("…", "a\nb"),
        ("…\nmine\n…", "mine"),
        ("…\nmine\n…", "a\nmine\nb"),
        ("x: …", "x: "),
        ("\"x\": \"…\",", "\"x\": \"y\","),
        ("…a…b", "cab"),
    ] {
        assert!(is_as_said(said, printed), "{said:?} is {printed:?}");
    }
    for (said, printed) in [
        ("", "a"),
        ("a", ""),
        ("a", "b"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("…\nmine\n…", "a\nmine2\nb"),
        ("…\na", "a\nb"),
        ("x: …", "y: x: "),
        ("\"x\": \"…\",", "\"x\": \"y\""),
        ("a…a", "a"),
    ] {
        assert!(!is_as_said(said, printed), "{said:?} is not {printed:?}");
    }
}
