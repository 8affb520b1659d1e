//! The hashes of a spool, computed once, behind whatever passes over its bytes: the writer, or else the sender.
//!
//! Both hashes have a lane of their own that reads the file up to the *front*, which is where the writer or the sender
//! has been. What it reads was written or read a moment ago, and is in the page cache: no bytes wait in memory for the
//! hashes, nobody waits for them before the end, and the disk is not read once more.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::SMALL;
use super::state::Hashes;
use crate::hash::Hash;
use crate::sync::{Mutex, lock};

/// What a lane reads at once. Below 64 KiB no buffer counts against the memory of the mount, and a core's own cache
/// holds it.
const PIECE: usize = 64 << 10;

/// A writer's first bytes are not hashed before so many are there: what is written again and again at the beginning, as
/// disk formats do with their headers, would be begun anew each time.
const WORTHWHILE: u64 = 4 << 20;

/// The names of the hashes, a lane each.
const LANES: [&str; 2] = ["md5", "sha512"];

/// The hashes of one spool.
pub(super) struct Digest {
    file: Arc<File>,
    runtime: Handle,
    state: Mutex<State>,
    /// The outcome, once there is one.
    outcome: watch::Sender<Option<Result<Hashes, Arc<io::Error>>>>,
}

struct State {
    /// Counts the beginnings. What a lane brings for an earlier one is void.
    generation: u64,
    /// Bytes below this are final, unless somebody writes there again.
    front: u64,
    /// The number of all bytes, once that is known.
    whole: Option<u64>,
    /// How many change bytes at this moment.
    changing: u32,
    lanes: [Lane; 2],
}

struct Lane {
    /// Absent while it is fed.
    hash: Option<Hash>,
    done: u64,
    value: Option<String>,
}

impl Lane {
    fn new(name: &str) -> Self {
        Self { hash: Hash::named(name), done: 0, value: None }
    }
}

impl State {
    fn new(generation: u64) -> Self {
        Self { generation, front: 0, whole: None, changing: 0, lanes: LANES.map(Lane::new) }
    }

    /// What lane `number` may read next.
    fn due(&self, number: usize) -> Option<u64> {
        let lane = self.lanes.get(number)?;
        let end = self.whole.map_or(self.front, |whole| whole.min(self.front));
        let worthwhile = self.whole.is_some() || lane.done > 0 || end >= WORTHWHILE;
        (lane.value.is_none() && worthwhile && (lane.done < end || self.whole == Some(lane.done))).then_some(end)
    }
}

impl Digest {
    pub(super) fn new(file: Arc<File>, runtime: Handle) -> Arc<Self> {
        let (state, outcome) = (Mutex::new(State::new(0)), watch::Sender::new(None));
        Arc::new(Self { file, runtime, state, outcome })
    }

    /// Bytes from `from` on are about to change, until what this answers is dropped. What was computed of them is void.
    pub(super) fn changes(self: &Arc<Self>, from: u64) -> Changing {
        let mut state = lock(&self.state);
        state.changing += 1;
        if from < state.front || state.whole.is_some() {
            self.begin_anew(&mut state);
        }
        Changing { digest: Arc::clone(self), from }
    }

    /// Bytes are going to be written, after all.
    pub(super) fn reopen(&self) {
        self.begin_anew(&mut lock(&self.state));
    }

    fn begin_anew(&self, state: &mut State) {
        *state = State { changing: state.changing, ..State::new(state.generation + 1) };
        self.outcome.send_replace(None);
    }

    /// There are `size` bytes, and none of them changes any more. What no pass went over waits for the sender.
    pub(super) fn complete(self: &Arc<Self>, size: u64) {
        lock(&self.state).whole = Some(size);
        self.go_on();
    }

    /// The hashes are known from an earlier mount.
    pub(super) fn know(&self, hashes: Hashes) {
        self.outcome.send_replace(Some(Ok(hashes)));
    }

    /// A sender begins to read all `size` bytes. Where the file could not be read before, it is tried again.
    pub(super) fn is_sent(self: &Arc<Self>, size: u64) {
        let has_failed = matches!(*self.outcome.borrow(), Some(Err(_)));
        if has_failed {
            self.begin_anew(&mut lock(&self.state));
            self.complete(size);
        }
    }

    /// The sender has read up to `front`.
    pub(super) fn passed(self: &Arc<Self>, front: u64) {
        let mut state = lock(&self.state);
        if state.front < front {
            state.front = front;
            drop(state);
            self.go_on();
        }
    }

    /// The hashes of all bytes, or why the file cannot be read. It waits until all are passed.
    pub(super) async fn hashes(&self) -> Result<Hashes, Arc<io::Error>> {
        let mut outcome = self.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            // The sender is a part of this.
            Ok(None) | Err(_) => Err(Arc::new(io::ErrorKind::Interrupted.into())),
        }
    }

    /// The hashes, where they are computed already.
    pub(super) fn known(&self) -> Option<Hashes> {
        self.outcome.borrow().as_ref().and_then(|outcome| outcome.clone().ok())
    }

    /// Sends each lane after the front, unless it is at it.
    fn go_on(self: &Arc<Self>) {
        if self.outcome.borrow().is_some() {
            return;
        }
        let mut due = Vec::with_capacity(LANES.len());
        let (generation, is_small) = {
            let mut state = lock(&self.state);
            for number in 0..LANES.len() {
                let is_due = state.due(number).is_some();
                let lane = state.lanes.get_mut(number).filter(|_| is_due);
                due.extend(lane.and_then(|lane| lane.hash.take()).map(|hash| (number, hash)));
            }
            (state.generation, state.whole.is_some_and(|whole| whole <= SMALL))
        };
        // One thread for all of few bytes: another one would begin when it is over.
        let together = if is_small { LANES.len() } else { 1 };
        while !due.is_empty() {
            let rest = due.split_off(together.min(due.len()));
            let lanes = std::mem::replace(&mut due, rest);
            let digest = Arc::clone(self);
            let follow = move || lanes.into_iter().for_each(|(number, hash)| digest.follow(number, generation, hash));
            drop(self.runtime.spawn_blocking(follow));
        }
    }

    /// Reads after the front until it is reached. The hash goes back to its lane when there is no more to read.
    fn follow(&self, number: usize, generation: u64, hash: Hash) {
        let (mut hash, mut buffer) = (Some(hash), vec![0; PIECE]);
        while let Some(stretch) = self.stretch(number, generation, &mut hash) {
            let end = stretch.end;
            let fed = hash.as_mut().map_or(Ok(()), |hash| self.feed(hash, &mut buffer, stretch));
            if let Err(error) = fed {
                return self.fail(generation, error);
            }
            self.did(number, generation, end);
        }
    }

    /// What lane `number` is to read now, at most a few MiB. `None` where it has to stop: its hash was put back or
    /// finished, or is void.
    fn stretch(&self, number: usize, generation: u64, hash: &mut Option<Hash>) -> Option<Range<u64>> {
        const LONGEST: u64 = 4 << 20;
        let mut state = lock(&self.state);
        if state.generation != generation {
            return None;
        }
        let (due, whole) = (state.due(number), state.whole);
        let lane = state.lanes.get_mut(number)?;
        if let Some(end) = due.filter(|end| *end > lane.done) {
            return Some(lane.done..end.min(lane.done.saturating_add(LONGEST)));
        }
        if whole == Some(lane.done) {
            lane.value = hash.take().map(Hash::finish);
            self.tell(&state);
        } else {
            lane.hash = hash.take();
        }
        None
    }

    fn did(&self, number: usize, generation: u64, end: u64) {
        let mut state = lock(&self.state);
        if state.generation == generation
            && let Some(lane) = state.lanes.get_mut(number)
        {
            lane.done = end;
        }
    }

    /// Tells the hashes once all lanes have theirs.
    fn tell(&self, state: &State) {
        if let [Lane { value: Some(md5), .. }, Lane { value: Some(sha512), .. }] = &state.lanes {
            let hashes = Hashes { md5: md5.clone(), sha512: sha512.clone() };
            self.outcome.send_replace(Some(Ok(hashes)));
        }
    }

    fn fail(&self, generation: u64, error: io::Error) {
        let state = lock(&self.state);
        if state.generation == generation {
            self.outcome.send_replace(Some(Err(Arc::new(error))));
        }
    }

    fn feed(&self, hash: &mut Hash, buffer: &mut [u8], stretch: Range<u64>) -> io::Result<()> {
        let mut at = stretch.start;
        while at < stretch.end {
            let length = usize::try_from(stretch.end - at).unwrap_or(PIECE).min(PIECE);
            let piece = buffer.get_mut(..length).unwrap_or_default();
            self.file.read_exact_at(piece, at)?;
            hash.feed(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// Bytes are being changed.
#[must_use]
pub(super) struct Changing {
    digest: Arc<Digest>,
    from: u64,
}

impl Changing {
    /// They were written, up to `to`. The hashes follow, unless somebody else changes bytes at the same time, who may
    /// change these.
    pub(super) fn wrote(self, to: u64) {
        let mut state = lock(&self.digest.state);
        if state.changing == 1 && self.from == state.front && state.whole.is_none() {
            state.front = to;
            drop(state);
            self.digest.go_on();
        }
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        lock(&self.digest.state).changing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::spool::Spool;
    use crate::write::testing::fill;

    fn spool() -> Spool {
        Spool::new(tempfile::tempfile().unwrap(), Handle::current())
    }

    fn hashes_of(bytes: &[u8]) -> Hashes {
        let [md5, sha512] = LANES.map(|name| {
            let mut hash = Hash::named(name).unwrap();
            hash.feed(bytes);
            hash.finish()
        });
        Hashes { md5, sha512 }
    }

    const SIZE: usize = (6 << 20) + 1;

    #[tokio::test]
    async fn what_is_written_in_order_is_hashed_behind_the_writer_and_not_by_the_sender() {
        let (spool, bytes) = (spool(), fill(1, SIZE));
        for (number, piece) in bytes.chunks(1 << 20).enumerate() {
            spool.write_at((number as u64) << 20, piece).unwrap();
        }
        spool.digest.complete(SIZE as u64);
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes));
    }

    #[tokio::test]
    async fn what_was_changed_behind_the_writer_is_hashed_anew_by_the_sender() {
        let (spool, mut bytes) = (spool(), fill(2, SIZE).to_vec());
        spool.write_at(0, &bytes).unwrap();
        bytes[100] ^= 1;
        spool.write_at(100, &bytes[100..101]).unwrap();
        spool.digest.complete(SIZE as u64);
        assert_eq!(spool.digest.known(), None);
        for front in [1, 70_000, 5 << 20, SIZE as u64] {
            spool.digest.passed(front);
        }
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes));
    }

    #[tokio::test]
    async fn bytes_that_two_change_at_once_are_hashed_by_the_sender() {
        let (spool, bytes) = (spool(), fill(5, SIZE));
        let late = spool.digest.changes(100);
        spool.write_at(0, &fill(6, SIZE)).unwrap();
        // The one who began first is the last to reach the file.
        spool.file.write_all_at(&bytes, 0).unwrap();
        late.wrote(SIZE as u64);
        spool.digest.complete(SIZE as u64);
        assert_eq!(spool.digest.known(), None);
        spool.digest.passed(SIZE as u64);
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes));
    }

    #[tokio::test]
    async fn what_is_opened_again_is_hashed_anew() {
        let (spool, bytes) = (spool(), fill(3, SIZE));
        spool.write_at(0, &bytes[..5]).unwrap();
        spool.digest.complete(5);
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes[..5]));
        spool.digest.reopen();
        spool.truncate(0).unwrap();
        spool.write_at(0, &bytes).unwrap();
        spool.digest.complete(SIZE as u64);
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_gives_no_hash_and_may_be_tried_again() {
        let (spool, bytes) = (spool(), fill(4, 1000));
        spool.write_at(0, &bytes[..999]).unwrap();
        spool.digest.complete(1000);
        spool.digest.passed(1000);
        assert!(spool.digest.hashes().await.is_err());
        spool.file.write_all_at(&bytes, 0).unwrap();
        spool.digest.is_sent(1000);
        spool.digest.passed(1000);
        assert_eq!(spool.digest.hashes().await.unwrap(), hashes_of(&bytes));
    }

    #[tokio::test]
    async fn the_beginning_that_is_written_again_and_again_is_not_hashed_each_time() {
        let spool = spool();
        for round in 0..50 {
            spool.write_at(0, &fill(round, 100_000)).unwrap();
        }
        assert!(lock(&spool.digest.state).lanes.iter().all(|lane| lane.hash.is_some() && lane.done == 0));
    }
}
