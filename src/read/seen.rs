//! Which blocks of an image readers have seen, together.

use std::ops::Range;

use crate::cache::{BLOCK, Sparse};

/// Blocks in a word of the map.
const WORD: u64 = u64::BITS as u64;

/// A map of blocks: 1 KiB for each GiB that readers were in. A block counts as seen once any of its bytes was; the image as a whole once the
/// last byte was too.
#[derive(Debug)]
pub(super) struct Seen {
    blocks: u64,
    map: Sparse<u64>,
    prefix: u64,
    end: bool,
}

impl Seen {
    /// Nothing seen of an image of so many blocks.
    pub(super) fn new(blocks: u64) -> Self {
        Self { blocks, map: Sparse::default(), prefix: 0, end: false }
    }

    /// Counts the bytes `range` as seen; `last` when the image's last byte is among them.
    pub(super) fn note(&mut self, range: Range<u64>, last: bool) {
        self.end |= last;
        for block in range.start / BLOCK..range.end.div_ceil(BLOCK).min(self.blocks) {
            self.map.change(block / WORD, |word| *word |= 1 << (block % WORD));
        }
        while self.prefix < self.blocks && self.has(self.prefix) {
            self.prefix += 1;
        }
    }

    fn has(&self, block: u64) -> bool {
        self.map.get(block / WORD) >> (block % WORD) & 1 == 1
    }

    /// The number of blocks that were seen before the first one that was not. The last block counts only with its last
    /// byte.
    pub(super) fn prefix(&self) -> u64 {
        if self.prefix == self.blocks && !self.end { self.blocks.saturating_sub(1) } else { self.prefix }
    }

    /// Whether every block was seen.
    pub(super) fn is_whole(&self) -> bool {
        self.prefix == self.blocks && self.end
    }

    /// Bytes of memory that the map takes.
    pub(super) fn bytes(&self) -> usize {
        self.map.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_join_in_whichever_order_they_are_seen() {
        let mut seen = Seen::new(200);
        for block in (1..199).rev() {
            seen.note(block * BLOCK..block * BLOCK + 1, false);
            assert_eq!(seen.prefix(), 0);
        }
        seen.note(0..1, false);
        assert_eq!(seen.prefix(), 199);
        assert!(!seen.is_whole());
        seen.note(199 * BLOCK..200 * BLOCK, true);
        assert_eq!((seen.prefix(), seen.is_whole()), (200, true));
    }

    #[test]
    fn an_image_is_seen_only_with_its_last_byte() {
        let mut seen = Seen::new(2);
        seen.note(0..2 * BLOCK - 1, false);
        assert_eq!((seen.prefix(), seen.is_whole()), (1, false));
        seen.note(2 * BLOCK - 1..2 * BLOCK, true);
        assert!(seen.is_whole());
    }

    #[test]
    fn the_end_of_an_image_of_any_claimed_size_is_seen() {
        let mut seen = Seen::new(u64::MAX / BLOCK);
        let size = u64::MAX / BLOCK * BLOCK;
        seen.note(size - 1..size, true);
        assert_eq!((seen.prefix(), seen.is_whole(), seen.bytes()), (0, false, 4096));
    }
}
