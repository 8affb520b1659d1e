//! Sizes and durations as people write them: `256MiB`, `1g`, `5s`, `500ms`.

use std::time::Duration;

/// A text that is no size or no duration; the sentence says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuantity {
    /// Not a size.
    #[error("'{0}' is not a size (such as 256MiB, 1GiB or 500MB)")]
    Size(String),
    /// Not a duration.
    #[error("'{0}' is not a duration (such as 5s, 500ms, 2m or 1h)")]
    Duration(String),
}

const KIB: u64 = 1 << 10;

/// Parses a size into bytes. Without a unit it is bytes; `k`, `m`, `g`, `t` alone and with `iB` are powers of 1024, with
/// `B` powers of 1000. Case does not matter.
pub fn size(text: &str) -> Result<u64, NotAQuantity> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "ki" | "kib" => Some(KIB),
        "m" | "mi" | "mib" => Some(KIB.pow(2)),
        "g" | "gi" | "gib" => Some(KIB.pow(3)),
        "t" | "ti" | "tib" => Some(KIB.pow(4)),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let parsed = number.parse::<u64>().ok().zip(factor).and_then(|(count, factor)| count.checked_mul(factor));
    parsed.ok_or_else(|| NotAQuantity::Size(text.to_owned()))
}

/// Parses a duration. Without a unit it is seconds; `ms`, `s`, `m` and `h` are known.
pub fn duration(text: &str) -> Result<Duration, NotAQuantity> {
    let (number, unit) = split(text);
    let milliseconds = match unit.to_ascii_lowercase().as_str() {
        "ms" => Some(1),
        "" | "s" | "sec" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let parsed = number.parse::<u64>().ok().zip(milliseconds).and_then(|(count, factor)| count.checked_mul(factor));
    parsed.map(Duration::from_millis).ok_or_else(|| NotAQuantity::Duration(text.to_owned()))
}

/// Bytes in the largest binary unit that leaves no remainder, as [`size`] reads it.
pub fn show_size(bytes: u64) -> String {
    let units = [(KIB.pow(4), "TiB"), (KIB.pow(3), "GiB"), (KIB.pow(2), "MiB"), (KIB, "KiB")];
    let fitting = units.iter().find(|(factor, _)| bytes > 0 && bytes.is_multiple_of(*factor));
    fitting.map_or_else(|| format!("{bytes}B"), |(factor, unit)| format!("{}{unit}", bytes / factor))
}

/// The digits at the beginning, and what follows them without the blanks around it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn binary_and_decimal_units_are_told_apart() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("17B", 17), ("256MiB", 256 << 20), ("1g", 1 << 30), ("2 GiB", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("500MB"), Ok(500_000_000));
        for wrong in ["", "MiB", "-1", "1.5GiB", "1X", "99999999999TiB"] {
            assert_eq!(size(wrong), Err(NotAQuantity::Size(wrong.to_owned())));
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_seconds() {
        for (text, milliseconds) in [("5", 5_000), ("5s", 5_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "s", "5 days", "-1s"] {
            assert_eq!(duration(wrong), Err(NotAQuantity::Duration(wrong.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_shown_size_is_read_as_itself(bytes: u64) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (size(&text), duration(&text));
        }
    }
}
