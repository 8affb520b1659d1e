//! What others wrote, as a terminal, a log and a line of a file can show it. Pure.
//!
//! The name of a tag or an image may hold anything: a line break, which would forge a line of a log, or the beginning of an
//! escape sequence, which a terminal obeys. What is told to people goes through here on its way out, whatever it is made of.

use std::fmt::{self, Display, Formatter, Write};

/// A value on one line. Each control character, and each mark that nobody sees but in what it does to the order of the
/// others, is shown by its number as JSON writes it (`\u000a`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<T>(pub T);

/// The same on as many lines as the value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping { out, breaks: false }, "{}", self.0)
    }
}

impl<T: Display> Display for Lines<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping { out, breaks: true }, "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, 'b> {
    out: &'a mut Formatter<'b>,
    /// Whether line breaks stay.
    breaks: bool,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|letter| disturbs(letter) && !(self.breaks && letter == '\n')) {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            let mut letters = behind.chars();
            self.out.write_str(before)?;
            if let Some(letter) = letters.next() {
                // None of them is beyond the four digits.
                write!(self.out, "\\u{:04x}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        self.out.write_str(rest)
    }
}

/// Control characters, marks of direction, breaks of lines and spaces without width.
fn disturbs(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_by_its_number() {
        let table = [
            ("plain é 日本 \\u000a", "plain é 日本 \\u000a"),
            ("a\nb\r\tc\0", "a\\u000ab\\u000d\\u0009c\\u0000"),
            ("\u{1b}[2J\u{9b}31m\u{7f}", "\\u001b[2J\\u009b31m\\u007f"),
            ("\u{85}\u{2028}\u{202e}\u{feff}", "\\u0085\\u2028\\u202e\\ufeff"),
        ];
        for (text, shown) in table {
            assert_eq!(Plain(text).to_string(), shown);
        }
        assert_eq!(Lines("a\n\tb\u{1b}\n").to_string(), "a\n\\u0009b\\u001b\n");
    }

    proptest! {
        #[test]
        fn nothing_disturbs_and_json_means_the_same(text in any::<String>()) {
            prop_assert!(!Plain(&text).to_string().chars().any(disturbs));
            prop_assert!(!Lines(&text).to_string().chars().any(|letter| letter != '\n' && disturbs(letter)));
            let json = Plain(serde_json::to_string(&text).unwrap()).to_string();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
