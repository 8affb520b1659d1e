//! Uploads in words for people.

use jiff::Timestamp;

use super::found::{Found, Keeper};
use crate::cli::words::{bytes, seconds};
use crate::plain::Plain;
use crate::write::Line;

/// An upload as it is at `now`: image, state, part, size, tries and name on a line, and below it what there is to say.
pub(super) fn shown(found: &Found, now: Timestamp) -> String {
    let line = &found.line;
    let (tries, name) = (tries(line.attempts), Plain(line.name.as_deref().unwrap_or_default()));
    let (part, size) = (part(line).unwrap_or_default(), bytes(line.size));
    let first = format!("{}  {:<9}  {part:>4}  {size:>10}  {tries:<14}  {name}", line.image, line.state);
    let mut text = first.trim_end().to_owned();
    for note in notes(found, now) {
        text.push_str("\n  ");
        text.push_str(&note);
    }
    text
}

fn tries(attempts: u32) -> String {
    match attempts {
        0 => String::new(),
        1 => "tried once".to_owned(),
        more => format!("tried {more} times"),
    }
}

/// How much of it the service has been sent.
fn part(line: &Line) -> Option<String> {
    match line.state.as_str() {
        "sending" => Some(format!("{}%", line.sent.saturating_mul(100).checked_div(line.size).unwrap_or(100))),
        "verifying" => Some("100%".to_owned()),
        _ => None,
    }
}

fn notes(found: &Found, now: Timestamp) -> Vec<String> {
    let line = &found.line;
    let mut notes = Vec::new();
    if let Some(rate) = line.rate.filter(|rate| *rate > 0) {
        let left = line.size.saturating_sub(line.sent).div_ceil(rate);
        notes.push(format!("{} a second, {} left", bytes(rate), seconds(left)));
    }
    if let Some(next) = line.next {
        let pause = u64::try_from(next.duration_since(now).as_secs()).unwrap_or(0);
        notes.push(format!("next try in {}", seconds(pause)));
    }
    notes.extend(line.sentence.as_ref().map(|sentence| Plain(sentence).to_string()));
    notes.extend(standing(found));
    notes
}

/// Why nothing happens, where nothing does.
pub(super) fn standing(found: &Found) -> Option<String> {
    let words = match (&found.keeper, found.line.state.as_str()) {
        (Keeper::Program, _) => "its mount has ended or does not answer, and the program is still at it",
        (_, "failed") => return None,
        (Keeper::Mount(_) | Keeper::Nobody, "writing") if found.line.needs_somebody => {
            "who wrote it did not come to the end: write it again, or discard it"
        }
        (Keeper::Nobody, _) => "no mount is at it: the next one of its service goes on",
        (Keeper::Mount(_), _) => return None,
    };
    let place = found.elsewhere.as_ref().filter(|_| found.keeper == Keeper::Nobody);
    Some(place.map_or_else(|| words.to_owned(), |place| format!("{words} (with --state-dir {})", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "0a0b0c0d-0000-4000-8000-000000000001";

    fn found(state: &str, keeper: Keeper) -> Found {
        let line = Line {
            image: IMAGE.parse().unwrap(),
            name: Some("disk".to_owned()),
            state: state.to_owned(),
            size: 3 << 30,
            sent: 0,
            rate: None,
            attempts: 1,
            next: None,
            needs_somebody: state == "failed" || keeper == Keeper::Nobody,
            reason: None,
            sentence: None,
        };
        Found { line, keeper, folder: None, elsewhere: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn mounted() -> Keeper {
        Keeper::Mount("/mnt".into())
    }

    #[test]
    fn one_that_is_sent_shows_its_part_its_rate_and_what_is_left() {
        let mut sending = found("sending", mounted());
        (sending.line.sent, sending.line.rate) = (1 << 30, Some(64 << 20));
        let text = shown(&sending, at(0));
        let first = format!("{IMAGE}  sending     33%     3.0 GiB  tried once      disk");
        assert_eq!(text, format!("{first}\n  64.0 MiB a second, 32 s left"));
        assert!(shown(&found("verifying", mounted()), at(0)).contains(" 100% "));
    }

    #[test]
    fn one_that_waits_shows_when_the_next_try_is_and_why_the_last_one_failed() {
        let mut waiting = found("waiting", mounted());
        (waiting.line.attempts, waiting.line.next) = (3, Some(at(104)));
        waiting.line.sentence = Some("the service is away".to_owned());
        let text = shown(&waiting, at(100));
        assert!(text.contains("tried 3 times") && text.ends_with("next try in 4 s\n  the service is away"), "{text}");
        assert!(shown(&waiting, at(200)).contains("next try in 0 s"));
    }

    #[test]
    fn one_that_stands_still_says_what_would_help() {
        for (state, keeper, words) in [
            ("sealed", Keeper::Nobody, "no mount is at it"),
            ("writing", Keeper::Nobody, "write it again, or discard it"),
            ("sending", Keeper::Program, "the program is still at it"),
        ] {
            assert!(shown(&found(state, keeper), at(0)).contains(words), "{state}");
        }
        let left = Found { elsewhere: Some("/var/lib/glancefs/c".into()), ..found("sealed", Keeper::Nobody) };
        assert!(shown(&left, at(0)).ends_with("goes on (with --state-dir /var/lib/glancefs/c)"));
        for state in ["sealed", "writing", "failed"] {
            assert_eq!(shown(&found(state, mounted()), at(0)).lines().count(), 1, "{state}");
        }
    }
}
