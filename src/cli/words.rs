//! Quantities in words for people.

/// A length of time in its largest unit.
pub(super) fn seconds(count: u64) -> String {
    match count {
        0..=99 => format!("{count} s"),
        100..=5999 => format!("{} min", count.div_ceil(60)),
        _ => format!("{} h", count.div_ceil(3600)),
    }
}

/// A number of bytes in its largest unit, with a decimal.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // In tenths of the unit; what a unit holds of the next one is shown there.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while tenths >= 10_240
        && let Some(larger) = units.next()
    {
        (tenths, unit) = (tenths / 1024, Some(larger));
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&"KiB"))
}

/// A bar of which so much is done, to be seen on any terminal.
pub(super) fn bar(done: u64, all: u64) -> String {
    const WIDTH: u64 = 20;
    let full = (u128::from(done.min(all)) * u128::from(WIDTH)).checked_div(all.into()).unwrap_or(WIDTH.into());
    (0..WIDTH).map(|place| if u128::from(place) < full { '#' } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_and_times_up() {
        let sizes = [0, 1023, 1024, 1 << 20, 1_048_575, 3_150_049, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1023.9 KiB", "3.0 MiB", "16383.9 PiB"]);
        assert_eq!([0, 99, 100, 5999, 6000].map(seconds), ["0 s", "99 s", "2 min", "100 min", "2 h"]);
    }

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        assert_eq!(bar(0, 10), "-".repeat(20));
        assert_eq!(bar(5, 10), format!("{}{}", "#".repeat(10), "-".repeat(10)));
        assert_eq!(bar(u64::MAX - 1, u64::MAX), format!("{}-", "#".repeat(19)));
        assert_eq!((bar(10, 10), bar(0, 0), bar(11, 10)), ("#".repeat(20), "#".repeat(20), "#".repeat(20)));
    }
}
