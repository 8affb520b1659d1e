//! How much memory the page cache may take.

use std::fs;

/// Bytes that the page cache may grow to without driving programs out of memory (`MemAvailable` of proc(5)); without a
/// bound where the system does not tell.
pub(super) fn available() -> u64 {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| parsed(&text)).unwrap_or(u64::MAX)
}

fn parsed(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_and_is_in_kib() {
        let text = "MemTotal:       24684524 kB\nMemFree:         3717120 kB\nMemAvailable:   24066048 kB\n";
        assert_eq!(parsed(text), Some(24_066_048 << 10));
        assert_eq!(parsed("MemTotal: 1 kB\n"), None);
        assert!(available() > 0);
    }
}
