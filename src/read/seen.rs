//! Which blocks of an image readers have seen, together.

use std::ops::Range;

use crate::cache::BLOCK;

/// Blocks in a word of the map.
const WORD: u64 = u64::BITS as u64;

/// A map of blocks: 1 KiB for each GiB. A block counts as seen once any of its bytes was; the image as a whole once the
/// last byte was too.
#[derive(Debug)]
pub(super) struct Seen {
    blocks: u64,
    map: Vec<u64>,
    prefix: u64,
    end: bool,
}

impl Seen {
    /// Nothing seen of an image of so many blocks.
    pub(super) fn new(blocks: u64) -> Self {
        Self { blocks, map: Vec::new(), prefix: 0, end: false }
    }

    /// Counts the bytes `range` as seen; `last` when the image's last byte is among them.
    pub(super) fn note(&mut self, range: Range<u64>, last: bool) {
        self.end |= last;
        for block in range.start / BLOCK..range.end.div_ceil(BLOCK).min(self.blocks) {
            let word = usize::try_from(block / WORD).unwrap_or(usize::MAX);
            if word >= self.map.len() {
                self.map.resize(word + 1, 0);
            }
            if let Some(word) = self.map.get_mut(word) {
                *word |= 1 << (block % WORD);
            }
        }
        while self.prefix < self.blocks && self.has(self.prefix) {
            self.prefix += 1;
        }
    }

    fn has(&self, block: u64) -> bool {
        let word = usize::try_from(block / WORD).ok().and_then(|word| self.map.get(word));
        word.is_some_and(|word| word >> (block % WORD) & 1 == 1)
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
}
