//! Memory that the host of a virtual machine has taken back, and gives again only page by page.

use anyhow::{Context, Result};

/// What everything else may need meanwhile, in bytes.
const OTHERS: u64 = 1 << 30;

/// Has `bytes` of free memory at hand, as far as there are so many.
///
/// A host that is told of free pages takes them back within seconds, and lays another one under each at its first use, which
/// can cost as much as to read its bytes through us. Who runs behind a pause, or fills the page cache twice as `cp` from a
/// mount does, would pay for that, and who runs behind somebody who freed much would not: the order would be measured.
pub(crate) fn have_at_hand(bytes: u64) -> Result<()> {
    let bytes = bytes.min(available()?.saturating_sub(OTHERS));
    let touched = vec![1_u8; usize::try_from(bytes)?];
    std::hint::black_box(&touched);
    Ok(())
}

/// See proc(5), `MemAvailable` in /proc/meminfo.
fn available() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).context("/proc/meminfo without MemAvailable")?;
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}
