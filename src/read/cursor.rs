//! Where readers are in an image and what they will want next: read-ahead as a pure structure.

use std::ops::Range;

use crate::cache::{BLOCK, SPAN};

/// Readers that one handle tells apart: programs that read two or three places of one file in turn are common
/// (a disk's table and its contents), more are rare.
const CURSORS: usize = 3;

/// A read that begins at most so many of its own lengths before the furthest one is a late part of the same sequence:
/// the kernel sends its own read-ahead in parts of up to 1 MiB, four to a time, and they may arrive in any order. Reads
/// of 4 KiB that are as far apart are at random places.
const LATE: u64 = 4;

/// A read that begins at most so many of its own lengths behind the furthest one is an early part of the same sequence.
const EARLY: u64 = 2;

/// The share of a window that must be free before more is asked for: asking for little at a time costs more than it
/// brings, and asking late leaves the line idle.
const STEP: u64 = 8;

/// How many windows one request may be long. Its bytes are taken only as the window moves on, so that length costs
/// nothing but what the sockets hold when the reader turns away; each request costs the service the time of 25 MiB.
const REACH: u64 = 128;

/// The longest request, in blocks: 1 GiB, beside which the fixed cost is nothing.
const LONGEST: u64 = (1 << 30) / BLOCK;

/// The positions of one handle, the one used last first.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    list: Vec<Cursor>,
    made: u64,
}

/// The number of a sequence of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence(u64);

#[derive(Clone, Copy, Debug)]
struct Cursor {
    sequence: Sequence,
    /// A read of it had to wait since it was used.
    waited: bool,
    /// The beginning of its first read and the end of the furthest one, in bytes.
    start: u64,
    end: u64,
    /// Blocks to fetch ahead of it, as its waiting has shown.
    earned: u64,
    /// As many of them as there is room for.
    window: u64,
    /// The first block that was not asked for yet.
    ahead: u64,
    /// Bytes that others have read since it was used.
    idle: u64,
}

/// How many blocks may be fetched ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Of one sequence.
    pub(super) window: u64,
    /// Of one handle, all its sequences together.
    pub(super) handle: u64,
}

/// What a read asks for, in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Of which sequence the read is.
    pub(super) sequence: Sequence,
    /// What the read touches.
    pub(super) own: Range<u64>,
    /// The end of what is to be on its way now.
    pub(super) until: u64,
    /// How far a request that is made for it may go.
    pub(super) reach: u64,
    /// The reader goes from one end to the other.
    pub(super) passing: bool,
    /// So many bytes it has come.
    pub(super) passed: u64,
}

impl Cursors {
    /// Counts a read of the bytes `read` (not empty) of an image of `count` blocks.
    ///
    /// A sequence of reads widens its window by doubling whenever it had to wait, as far as there is `room`.
    pub(super) fn note(&mut self, read: &Range<u64>, room: Room, count: u64) -> Asked {
        let own = read.start / BLOCK..read.end.div_ceil(BLOCK);
        let near = self.list.iter().position(|cursor| cursor.is_near(read));
        let mut cursor = match near {
            Some(at) => self.list.remove(at),
            None => self.begin(read),
        };
        cursor.idle = 0;
        let most = room.window.min(self.room_beside_others(read.end - read.start, room.handle));
        let until = if near.is_some() { cursor.go_on(read, most) } else { own.end };
        cursor.ahead = cursor.ahead.min(count);
        self.list.insert(0, cursor);
        self.list.truncate(CURSORS);
        let reach = until.saturating_add((cursor.window * REACH).min(LONGEST)).min(count);
        let (passing, passed) = (cursor.window >= SPAN, cursor.end - cursor.start);
        Asked { sequence: cursor.sequence, own, until: until.min(count), reach, passing, passed }
    }

    /// A read of this sequence had to wait.
    pub(super) fn waited(&mut self, sequence: Sequence) {
        if let Some(cursor) = self.list.iter_mut().find(|cursor| cursor.sequence == sequence) {
            cursor.waited = true;
        }
    }

    fn begin(&mut self, read: &Range<u64>) -> Cursor {
        self.made += 1;
        let (sequence, Range { start, end }) = (Sequence(self.made), read.clone());
        Cursor { sequence, waited: false, start, end, earned: 0, window: 0, ahead: end.div_ceil(BLOCK), idle: 0 }
    }

    /// How many of the `handle` blocks are for the sequence of which `length` bytes are read now: an equal part, and what
    /// the others leave of theirs. One that stands still while others read as much as is ahead of it may be over.
    fn room_beside_others(&mut self, length: u64, handle: u64) -> u64 {
        self.list.iter_mut().for_each(|other| other.idle += length);
        let windows = self.list.iter().filter(|other| other.idle < other.unread() * BLOCK).map(|other| other.window);
        let equal = handle / windows.clone().fold(1, |count, _| count + 1);
        let theirs: u64 = windows.map(|window| window.min(equal)).sum();
        handle.saturating_sub(theirs)
    }
}

impl Cursor {
    fn is_near(&self, read: &Range<u64>) -> bool {
        let (start, length) = (read.start, read.end - read.start);
        // Within a block there is nothing to tell apart, and what was asked for ahead is expected to be read.
        let early = self.end.saturating_add(length * EARLY).max(self.ahead * BLOCK);
        start.saturating_add((length * LATE).max(BLOCK)) >= self.end && start <= early
    }

    /// Blocks that were asked for ahead of it.
    fn unread(&self) -> u64 {
        self.ahead.saturating_sub(self.end.div_ceil(BLOCK))
    }

    fn go_on(&mut self, read: &Range<u64>, most: u64) -> u64 {
        let own = read.end.div_ceil(BLOCK);
        let onward = read.end > self.end;
        self.end = self.end.max(read.end);
        if onward && std::mem::take(&mut self.waited) {
            let own_length = own - read.start / BLOCK;
            self.earned = self.earned.max(self.window * 2).max(own_length);
        }
        self.window = self.earned.min(most);
        // What was asked for before is not asked for again: where it had to be given up for want of memory, it waits
        // until it is read.
        if self.unread() + self.window.div_ceil(STEP) > self.window {
            return own;
        }
        self.ahead = self.end.div_ceil(BLOCK) + self.window;
        self.ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const MOST: u64 = 64;
    const ROOM: Room = Room { window: MOST, handle: 3 * MOST };

    /// A read that has to wait.
    fn wait(cursors: &mut Cursors, read: &Range<u64>, room: Room, count: u64) -> Asked {
        let asked = cursors.note(read, room, count);
        cursors.waited(asked.sequence);
        asked
    }

    /// Plays reads of `length` bytes at `offsets`, all of which had to wait, and answers the furthest block asked for
    /// until after each.
    fn play(cursors: &mut Cursors, offsets: impl IntoIterator<Item = u64>, length: u64) -> Vec<u64> {
        let ends = offsets.into_iter().map(|at| wait(cursors, &(at..at + length), ROOM, 10_000).until);
        ends.scan(0, |furthest, end| (*furthest = end.max(*furthest), Some(*furthest)).1).collect()
    }

    fn asked(cursors: &mut Cursors, read: Range<u64>) -> Range<u64> {
        let asked = wait(cursors, &read, ROOM, 10_000);
        asked.own.start..asked.until
    }

    #[test]
    fn a_first_read_asks_for_its_own_blocks_only() {
        assert_eq!(asked(&mut Cursors::default(), 0..4096), 0..1);
        assert_eq!(asked(&mut Cursors::default(), BLOCK - 1..BLOCK + 1), 0..2);
        assert_eq!(asked(&mut Cursors::default(), 7 * BLOCK..7 * BLOCK + 1), 7..8);
        let first = Cursors::default().note(&(0..4096), ROOM, 10_000);
        assert_eq!((first.reach, first.passing), (1, false), "and its request goes no further");
    }

    #[test]
    fn a_sequence_that_waits_doubles_its_window_up_to_the_most() {
        let asked = play(&mut Cursors::default(), (0..100).map(|index| index * BLOCK), BLOCK);
        let ahead: Vec<u64> = (1..).zip(&asked).map(|(entered, end)| end - entered).collect();
        assert_eq!(ahead[..5], [0, 1, 2, 4, 8], "{ahead:?}");
        assert!(ahead.iter().all(|window| *window <= MOST));
        assert!(ahead[20..].iter().all(|window| *window >= MOST - MOST / STEP), "{ahead:?}");
    }

    #[test]
    fn a_sequence_that_need_not_wait_keeps_its_window() {
        let mut cursors = Cursors::default();
        let mut furthest = 0;
        for index in 0..40 {
            let read = index * BLOCK..(index + 1) * BLOCK;
            let asked =
                if index < 2 { wait(&mut cursors, &read, ROOM, 10_000) } else { cursors.note(&read, ROOM, 10_000) };
            furthest = asked.until.max(furthest);
            assert!(index < 3 || (1..=2).contains(&(furthest - asked.own.end)), "{index}: {furthest}");
        }
    }

    #[test]
    fn a_window_without_room_for_a_while_needs_no_wait_to_be_whole_again() {
        let (mut cursors, small) = (Cursors::default(), Room { window: MOST / 2, handle: 3 * MOST });
        play(&mut cursors, (0..40).map(|index| index * BLOCK), BLOCK);
        let mut windows = |blocks: Range<u64>, room| {
            for index in blocks {
                cursors.note(&(index * BLOCK..(index + 1) * BLOCK), room, 10_000);
            }
            cursors.list.first().map(|cursor| cursor.window)
        };
        assert_eq!(windows(40..120, small), Some(MOST / 2));
        assert_eq!(windows(120..121, ROOM), Some(MOST));
    }

    #[test]
    fn small_reads_within_a_block_ask_for_little_more() {
        let mut cursors = Cursors::default();
        wait(&mut cursors, &(0..4 * KIB), ROOM, 10_000);
        for at in 1..32 {
            let asked = cursors.note(&(at * 4 * KIB..(at + 1) * 4 * KIB), ROOM, 10_000);
            assert!(asked.until <= 2, "{asked:?}");
        }
    }

    #[test]
    fn a_seek_falls_back_to_the_blocks_of_the_read() {
        let mut cursors = Cursors::default();
        play(&mut cursors, (0..40).map(|index| index * BLOCK), BLOCK);
        assert_eq!(asked(&mut cursors, 5000 * BLOCK..5000 * BLOCK + 1), 5000..5001);
    }

    #[test]
    fn reads_out_of_order_are_still_a_sequence() {
        let swapped = (0..60).map(|index| (index ^ 1) * 128 * KIB);
        let mut cursors = Cursors::default();
        play(&mut cursors, swapped, 128 * KIB);
        assert_eq!(cursors.list.len(), 1);
        assert_eq!(cursors.list[0].window, MOST);
    }

    #[test]
    fn a_late_part_takes_no_wait_from_the_sequence() {
        let mut cursors = Cursors::default();
        for pair in 0..20 {
            let [early, late] = [2 * pair + 1, 2 * pair].map(|block| block * BLOCK..(block + 1) * BLOCK);
            wait(&mut cursors, &early, ROOM, 10_000);
            cursors.note(&late, ROOM, 10_000);
        }
        assert_eq!(cursors.list.iter().map(|cursor| cursor.window).collect::<Vec<_>>(), [MOST]);
    }

    #[test]
    fn three_readers_in_turn_keep_their_windows() {
        let mut cursors = Cursors::default();
        for index in 0..30 {
            play(&mut cursors, [index, 3000 + index, 6000 + index].map(|block| block * BLOCK), BLOCK);
        }
        assert_eq!(cursors.list.len(), 3);
        assert!(cursors.list.iter().all(|cursor| cursor.window == MOST));
    }

    #[test]
    fn readers_in_turn_share_what_may_be_fetched_ahead_of_their_handle() {
        let (mut cursors, room) = (Cursors::default(), Room { window: MOST, handle: MOST });
        let read = |cursors: &mut Cursors, block: u64| {
            wait(cursors, &(block * BLOCK..(block + 1) * BLOCK), room, 20_000);
            cursors.list.iter().map(|cursor| cursor.ahead - cursor.end / BLOCK).collect::<Vec<_>>()
        };
        for index in 0..300 {
            let ahead = [index, 3000 + index, 6000 + index].map(|block| read(&mut cursors, block));
            let ahead: u64 = ahead.last().into_iter().flatten().sum();
            assert!(index < 100 || (MOST / 2..=MOST).contains(&ahead), "{index}: {ahead} of {MOST}");
        }
        // The others have stopped.
        let alone = (300..500).filter_map(|block| read(&mut cursors, block).first().copied()).max();
        assert_eq!(alone, Some(MOST));
    }

    #[test]
    fn a_small_sequence_leaves_most_of_the_room_to_one_that_needs_it() {
        let (mut cursors, room) = (Cursors::default(), Room { window: MOST, handle: MOST });
        for index in 0..400 {
            wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), room, 20_000);
            let table = 8000 * BLOCK + index * 4 * KIB;
            // Two waits are enough for a window of two blocks.
            let note = if index % 32 == 0 && index < 64 { wait } else { Cursors::note };
            note(&mut cursors, &(table..table + 4 * KIB), room, 20_000);
        }
        let mut windows: Vec<u64> = cursors.list.iter().map(|cursor| cursor.window).collect();
        windows.sort_unstable();
        assert!(matches!(windows[..], [1..=4, most] if most >= MOST - 4), "{windows:?}");
    }

    #[test]
    fn who_waits_widens_no_window_but_his_own() {
        let mut cursors = Cursors::default();
        for index in 0..40 {
            wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), ROOM, 20_000);
            let table = 8000 * BLOCK + index * 4 * KIB;
            let asked = cursors.note(&(table..table + 4 * KIB), ROOM, 20_000);
            assert!(asked.until <= asked.own.end, "{asked:?}");
        }
        assert!(cursors.list.iter().any(|cursor| cursor.window == MOST), "{cursors:?}");
    }

    #[test]
    fn what_has_been_read_to_its_end_takes_no_room() {
        let (mut cursors, room) = (Cursors::default(), Room { window: MOST, handle: MOST });
        let count = 500;
        for index in (0..count).chain(0..40) {
            wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), room, count);
        }
        assert_eq!(cursors.list.first().map(|cursor| cursor.window), Some(MOST));
    }

    #[test]
    fn small_reads_at_random_places_ask_for_their_own_blocks_only() {
        let (mut cursors, mut random) = (Cursors::default(), fastrand::Rng::with_seed(1));
        let (mut asked, count) = (0, 16_384);
        for _ in 0..8192 {
            let at = random.u64(..count * BLOCK / 4096) * 4096;
            let wish = wait(&mut cursors, &(at..at + 4096), ROOM, count);
            asked += wish.until - wish.own.start;
        }
        assert!(asked <= 8192 + 8192 / 50, "{asked} blocks for 8192 reads");
    }

    #[test]
    fn nothing_beyond_the_last_block_is_asked_for() {
        let mut cursors = Cursors::default();
        for index in 0..10 {
            let asked = wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), ROOM, 10);
            assert!(asked.until <= 10 && asked.reach <= 10);
        }
    }

    #[test]
    fn without_a_window_there_is_no_read_ahead() {
        let mut cursors = Cursors::default();
        for index in 0..20 {
            let asked = wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), Room { window: 0, ..ROOM }, 1000);
            assert_eq!((asked.until, asked.reach), (index + 1, index + 1));
        }
    }

    #[test]
    fn a_long_sequence_is_read_by_few_long_requests() {
        let mut cursors = Cursors::default();
        let mut requests = 0;
        let mut reached = 0;
        for index in 0..16_384 {
            let asked = wait(&mut cursors, &(index * BLOCK..(index + 1) * BLOCK), ROOM, 16_384);
            if asked.until > reached {
                (requests, reached) = (requests + 1, asked.reach);
            }
        }
        assert!(requests <= 40, "{requests} requests for 2 GiB with a window of 8 MiB");
    }
}
