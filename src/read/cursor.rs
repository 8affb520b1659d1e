//! Where readers are in an image and what they will want next: read-ahead as a pure structure.

use std::ops::Range;

use crate::cache::BLOCK;

/// Readers that one handle tells apart: programs that read two or three places of one file in turn are common
/// (a disk's table and its contents), more are rare.
const CURSORS: usize = 3;

/// A read that begins at most this many bytes before the furthest one is a late part of the same sequence: the kernel
/// sends up to 4 MiB of its own read-ahead in parts of at most 1 MiB, and they may arrive in any order.
const LATE: u64 = 4 << 20;

/// A read that begins at most this many bytes behind the furthest one is an early part of the same sequence.
const EARLY: u64 = 1 << 20;

/// The positions of one handle, the one used last first.
#[derive(Debug, Default)]
pub(super) struct Cursors(Vec<Cursor>);

#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// The end of the furthest read, in bytes.
    end: u64,
    /// Blocks to fetch ahead of it.
    window: u64,
    /// The first block that was not asked for yet.
    ahead: u64,
}

impl Cursors {
    /// Counts a read of the bytes `read` (not empty), and answers which blocks are to be on their way now.
    ///
    /// These are the blocks that the read touches. A sequence of reads widens its window by doubling with each block it
    /// enters, up to `most` blocks, and whenever half of the window is used, the blocks up to its end are added. No
    /// answer reaches beyond the block `count`.
    pub(super) fn note(&mut self, read: Range<u64>, most: u64, count: u64) -> Range<u64> {
        let near = self.0.iter().position(|cursor| cursor.is_near(read.start));
        let mut cursor = match near {
            Some(at) => self.0.remove(at),
            None => Cursor { end: 0, window: 0, ahead: 0 },
        };
        let first = read.start / BLOCK;
        let wanted = if near.is_some() { cursor.go_on(&read, most) } else { cursor.begin(&read) };
        cursor.ahead = cursor.ahead.min(count);
        self.0.insert(0, cursor);
        self.0.truncate(CURSORS);
        first..wanted.min(count)
    }
}

impl Cursor {
    fn is_near(&self, start: u64) -> bool {
        start.saturating_add(LATE) >= self.end && start <= self.end.saturating_add(EARLY).max(self.ahead * BLOCK)
    }

    fn begin(&mut self, read: &Range<u64>) -> u64 {
        *self = Self { end: read.end, window: 0, ahead: read.end.div_ceil(BLOCK) };
        self.ahead
    }

    fn go_on(&mut self, read: &Range<u64>, most: u64) -> u64 {
        let before = self.end.div_ceil(BLOCK);
        self.end = self.end.max(read.end);
        let entered = self.end.div_ceil(BLOCK);
        if entered > before {
            self.window = (self.window * 2).max(1);
        }
        self.window = self.window.min(most);
        let (asked, left) = (self.ahead, self.ahead.saturating_sub(entered));
        if left <= self.window / 2 {
            self.ahead = asked.max(entered + self.window);
        }
        // What was asked for before is not asked for again: where it had to be given up for want of memory, it waits
        // until it is read.
        if self.ahead > asked { self.ahead } else { read.end.div_ceil(BLOCK) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    /// Plays reads of `length` bytes at `offsets`, and answers the furthest block asked for until after each.
    fn play(cursors: &mut Cursors, offsets: impl IntoIterator<Item = u64>, length: u64) -> Vec<u64> {
        let asked = offsets.into_iter().map(|at| cursors.note(at..at + length, 16, 1000).end);
        asked.scan(0, |furthest, end| (*furthest = end.max(*furthest), Some(*furthest)).1).collect()
    }

    #[test]
    fn a_first_read_asks_for_its_own_blocks_only() {
        assert_eq!(Cursors::default().note(0..4096, 16, 1000), 0..1);
        assert_eq!(Cursors::default().note(BLOCK - 1..BLOCK + 1, 16, 1000), 0..2);
        assert_eq!(Cursors::default().note(7 * BLOCK..7 * BLOCK + 1, 16, 1000), 7..8);
    }

    #[test]
    fn a_sequence_doubles_its_window_up_to_the_most() {
        let asked = play(&mut Cursors::default(), (0..40).map(|index| index * BLOCK), BLOCK);
        let ahead: Vec<u64> = (1..).zip(&asked).map(|(entered, end)| end - entered).collect();
        assert_eq!(ahead[..4], [0, 1, 2, 4], "{ahead:?}");
        assert!(ahead.iter().all(|window| *window <= 16));
        assert!(ahead[10..].iter().all(|window| *window >= 8), "{ahead:?}");
    }

    #[test]
    fn small_reads_within_a_block_ask_for_nothing_more() {
        let asked = play(&mut Cursors::default(), (0..128).map(|index| index * 4 * KIB), 4 * KIB);
        assert!(asked.iter().all(|end| *end == 1));
    }

    #[test]
    fn a_seek_falls_back_to_the_blocks_of_the_read() {
        let mut cursors = Cursors::default();
        play(&mut cursors, (0..20).map(|index| index * BLOCK), BLOCK);
        assert_eq!(cursors.note(500 * BLOCK..500 * BLOCK + 1, 16, 1000), 500..501);
    }

    #[test]
    fn reads_out_of_order_are_still_a_sequence() {
        let swapped = (0..40).map(|index| (index ^ 1) * 128 * KIB);
        let mut cursors = Cursors::default();
        play(&mut cursors, swapped, 128 * KIB);
        assert_eq!(cursors.0.len(), 1);
        assert!(cursors.0[0].window >= 8);
    }

    #[test]
    fn three_readers_in_turn_keep_their_windows() {
        let mut cursors = Cursors::default();
        for index in 0..20 {
            play(&mut cursors, [index, 300 + index, 600 + index].map(|block| block * BLOCK), BLOCK);
        }
        assert_eq!(cursors.0.len(), 3);
        assert!(cursors.0.iter().all(|cursor| cursor.window == 16));
    }

    #[test]
    fn nothing_beyond_the_last_block_is_asked_for() {
        let mut cursors = Cursors::default();
        let ends: Vec<u64> =
            (0..10).map(|index| cursors.note(index * BLOCK..(index + 1) * BLOCK, 16, 10).end).collect();
        assert!(ends.iter().all(|end| *end <= 10));
    }

    #[test]
    fn without_a_window_there_is_no_read_ahead() {
        let mut cursors = Cursors::default();
        for index in 0..20 {
            assert_eq!(cursors.note(index * BLOCK..(index + 1) * BLOCK, 0, 1000), index..index + 1);
        }
    }
}
