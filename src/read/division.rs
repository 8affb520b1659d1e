//! How the memory of a mount is divided: for blocks, and for bytes that connections hold before they become blocks.

use super::MINIMUM;

/// Bytes that a connection holds at most. hyper reads up to 408 KiB at once where bytes come fast, and there are three such
/// pieces: one that is being read, one that waits to be taken, and one that is copied into blocks.
pub const CONNECTION: u64 = 1280 << 10;

/// The share of the memory that connections have at most.
const SHARE: u64 = 8;

/// Who gets how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Requests for image data under way at once, at most; at least 1.
    pub requests: usize,
    /// Bytes for blocks and replies.
    pub blocks: u64,
}

impl Division {
    /// Of `memory` bytes, where `max_parallel` requests are asked for: there are fewer where these would take more than
    /// an eighth.
    pub fn of(memory: u64, max_parallel: usize) -> Self {
        let affordable = usize::try_from(memory / SHARE / CONNECTION).unwrap_or(usize::MAX);
        let requests = max_parallel.min(affordable).max(1);
        let held = u64::try_from(requests).unwrap_or(u64::MAX).saturating_mul(CONNECTION);
        // Without blocks a connection is of no use.
        Self { requests, blocks: memory.saturating_sub(held).max(MINIMUM.min(memory)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn connections_and_blocks_share_the_memory() {
        assert_eq!(Division::of(256 * MIB, 16), Division { requests: 16, blocks: 236 * MIB });
        assert_eq!(Division::of(256 * MIB, 1), Division { requests: 1, blocks: 256 * MIB - CONNECTION });
        assert_eq!(Division::of(1024 * MIB, 64), Division { requests: 64, blocks: 944 * MIB });
    }

    #[test]
    fn little_memory_has_few_connections_and_reads_all_the_same() {
        assert_eq!(Division::of(32 * MIB, 16), Division { requests: 3, blocks: 32 * MIB - 3 * CONNECTION });
        assert_eq!(Division::of(MINIMUM, 16), Division { requests: 1, blocks: MINIMUM });
        assert_eq!(Division::of(0, 16), Division { requests: 1, blocks: 0 });
    }
}
