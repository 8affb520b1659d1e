//! What is different each time, such as an id: on a page one of its kind stands for any of them.

use crate::target::Target;

crate::promises![Embedded:
    an_id_or_a_time_of_the_page_stands_for_any_and_nothing_else_does,
];

/// What such texts look like. `x` is a hexadecimal digit, and `9` a digit.
const SHAPES: [&str; 7] = [
    "req-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "~xxxxxxxx",
    "9999-99-99T99:99:99",
    "9999-99-99 99:99",
    "127.0.0.1:99999",
];

/// A text in which everything that is different each time is its shape.
pub(crate) fn shaped(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let (mut shaped, mut place) = (String::new(), 0);
    while let Some(sign) = signs.get(place) {
        let found = SHAPES.into_iter().find_map(|shape| Some((shape, fits(shape, &signs[place..])?)));
        shaped.push_str(&found.map_or_else(|| sign.to_string(), |(shape, _)| shape.to_owned()));
        place += found.map_or(1, |(shape, length)| length + fraction(shape, &signs[place + length..]));
    }
    shaped
}

/// How many signs the fraction of a second behind a time takes.
fn fraction(shape: &str, rest: &[char]) -> usize {
    match rest.split_first() {
        Some(('.', digits)) if shape.ends_with("T99:99:99") => {
            1 + digits.iter().take_while(|sign| sign.is_ascii_digit()).count()
        }
        _ => 0,
    }
}

/// How many signs at the beginning of these have this shape, if they do. A port has four digits or five.
fn fits(shape: &str, signs: &[char]) -> Option<usize> {
    let length = shape.len();
    let is_all = |length: usize| {
        signs.len() >= length && shape.chars().zip(signs).take(length).all(|(kind, sign)| is_of(kind, *sign))
    };
    let shorter = shape.starts_with("127.").then(|| length - 1);
    [Some(length), shorter].into_iter().flatten().find(|length| is_all(*length))
}

fn is_of(kind: char, sign: char) -> bool {
    match kind {
        'x' => sign.is_ascii_hexdigit(),
        '9' => sign.is_ascii_digit(),
        other => other == sign,
    }
}

fn an_id_or_a_time_of_the_page_stands_for_any_and_nothing_else_does(_: &Target) {
    for (one, other) in [
        ("image 3c6ad16b-1f5c-4d0e-9d3b-0b9e1c55f0a2: no", "image 00000000-0000-4000-8000-000000000000: no"),
        ("(req-3c6ad16b-1f5c-4d0e-9d3b-0b9e1c55f0a2)", "(req-00000000-0000-4000-8000-000000000000)"),
        ("at 2026-11-21T15:37:12Z", "at 2027-01-02T00:00:00.123456789Z"),
        ("project b4a1f8c0d8e64f1a9d8a3c5b7e2f6a90", "project 00000000000000000000000000000000"),
        ("twice~49b310c0", "twice~00000000"),
        ("ada  7 2026-11-21 02:59 status", "ada  7 2027-01-01 12:00 status"),
        ("http://127.0.0.1:9292/v2", "http://127.0.0.1:43210/v2"),
    ] {
        assert_eq!(shaped(one), shaped(other));
    }
    for text in ["", "3c6ad16b", "image x", "2026-11-21", "12:30"] {
        assert_eq!(shaped(text), text);
    }
    assert_ne!(shaped("a 2026-11-21T15:37:12Z"), shaped("b 2026-11-21T15:37:12Z"));
}
