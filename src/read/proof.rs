//! Proof: the hash of a whole image, computed behind the reading and compared with the service's.
//!
//! It belongs to the content and not to a handle: what several readers saw together is proved together, and pages that
//! the kernel gives out by itself were seen by the reader who first had them. The hash takes blocks in their order as
//! readers get them. It gates no read until more than its share of the memory waits for it, and the read with which the
//! last byte has been seen, which waits for the verdict.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;

use tokio::sync::Notify;

use super::error::ReadError;
use super::seen::Seen;
use crate::cache::disk::{self, DiskImage};
use crate::cache::{BLOCK, Identity, Run, block_at, lock, span_end};
use crate::hash::{Expected, Hash};
use crate::sync::Mutex;

/// How much of an image's bytes was compared with the service's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// All of them, and they are what the service says.
    Yes,
    /// None, or they are not what the service says.
    No,
    /// So many bytes from the beginning went into the hash; it is compared when all did.
    Part(u64),
    /// The service shows no hash that this program can compute.
    Unknown,
}

/// As `user.glancefs.verified` shows it.
impl fmt::Display for Verified {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => out.write_str("yes"),
            Self::No | Self::Unknown => out.write_str("no"),
            Self::Part(bytes) => write!(out, "{bytes}"),
        }
    }
}

/// How many blocks before its turn a run is held for it: the kernel has two read-aheads of 4 MiB under way at once.
const EARLY: u64 = (16 << 20) / BLOCK;

/// The room from which on runs may be held before their turn, in bytes.
const PLENTY: u64 = 4 << 20;

/// The proof of one content: pure state; [`Work`] says what is to be done, and others do it.
pub(super) struct Proof {
    content: Identity,
    expected: Option<Expected>,
    /// So many bytes are fetched again at most while somebody waits for that who has not read all of the image.
    again: u64,
    state: Mutex<State>,
    changed: Notify,
    /// What readers got and what went into the hash, block by block: what is fetched again must be the same, and what is
    /// on disk to be sealed.
    tags: Mutex<disk::Proof>,
}

struct State {
    seen: Seen,
    /// Blocks to be hashed next, in their order. Where the bytes are missing, they are fetched when it is their turn.
    queue: VecDeque<(Range<u64>, Option<Run>)>,
    /// The block behind the last one that was queued.
    queued: u64,
    /// Bytes of the queue that are held in memory, and that are not.
    held: u64,
    lacking: u64,
    /// Runs that were seen before the blocks in front of them, by their first block: the kernel's reads overtake each
    /// other.
    early: BTreeMap<u64, Run>,
    hash: Option<Hash>,
    hashed: u64,
    working: bool,
    /// How often a worker gave up, and why the last one did.
    given_up: u64,
    trouble: Option<ReadError>,
    verdict: Option<Result<(), ReadError>>,
    /// The verdict is that of an earlier mount.
    accepted: bool,
    /// A block was another one than before, so that there is nothing to be said of what readers got.
    others: bool,
}

/// What the worker is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Feed what is here: [`Proof::feed`].
    Feed,
    /// Fetch the first of these blocks, or more of them, and give them back: [`Proof::give`].
    Fetch(Range<u64>),
    /// Everything is hashed: compare it, [`Proof::judge`], and let the readers know, [`Proof::publish`].
    Judge,
    /// Nothing is left; the worker ends.
    Rest,
}

impl Proof {
    /// Nothing seen yet. A reader who has not read all of the image, and with whom the last byte has been seen, waits for the
    /// verdict unless more than `again` bytes have to be fetched again for it: then the image was read at random places.
    pub(super) fn new(content: &Identity, again: u64) -> Self {
        let (expected, hash) = Expected::of(content.checksums()).unzip();
        let state = State {
            seen: Seen::new(content.blocks()),
            queue: VecDeque::new(),
            queued: 0,
            held: 0,
            lacking: 0,
            hash,
            hashed: 0,
            working: false,
            early: BTreeMap::new(),
            given_up: 0,
            trouble: None,
            verdict: None,
            accepted: false,
            others: false,
        };
        let tags = Mutex::new(disk::Proof::new(content));
        let (content, state, changed) = (content.clone(), Mutex::new(state), Notify::new());
        let proof = Self { content, expected, again, state, changed, tags };
        if proof.content.size() == 0 {
            let verdict = proof.judge();
            lock(&proof.state).verdict = verdict;
        }
        proof
    }

    /// Counts the bytes `range`, all of them in `run`, as seen by a reader. At most `room` bytes may wait for the hash in
    /// memory. `true` when a worker is to be started.
    pub(super) fn note(&self, range: &Range<u64>, run: &Run, room: u64) -> bool {
        // What was accepted may be taken back, and what was seen until then must be known.
        let is_over = |state: &State| state.verdict.is_some() && !state.accepted;
        if self.expected.is_none() || is_over(&lock(&self.state)) {
            return false;
        }
        let blocks = block_at(range.start)..range.end.div_ceil(BLOCK);
        let same = lock(&self.tags).note(blocks.start, run.tags(&blocks));
        let mut state = lock(&self.state);
        state.others |= !same;
        if is_over(&state) || state.others {
            return Self::start(&mut state);
        }
        let whole = range.end == self.content.size();
        state.seen.note(range.clone(), whole);
        if !state.accepted {
            self.queue(&mut state, run, room);
        }
        Self::start(&mut state)
    }

    /// Counts everything as seen, because the disk has it. `true` when a worker is to be started.
    pub(super) fn see_all(&self) -> bool {
        let mut state = lock(&self.state);
        if self.expected.is_none() || state.verdict.is_some() {
            return false;
        }
        let rest = state.queued..self.content.blocks();
        state.queued = rest.end;
        if !rest.is_empty() {
            state.lacking += self.length(&rest);
            state.queue.push_back((rest, None));
        }
        Self::start(&mut state)
    }

    /// Bytes of memory that it takes for what it knows of blocks, beside those that wait to be hashed.
    pub(super) fn bytes(&self) -> usize {
        let known = lock(&self.tags).bytes();
        known + lock(&self.state).seen.bytes()
    }

    /// Nobody reads any more: what waits for its turn is not held for that.
    pub(super) fn rest(&self) {
        let early = std::mem::take(&mut lock(&self.state).early);
        drop(early);
    }

    /// The bytes on disk were proved before, and are still what they were. `false` where that is known, or where readers got
    /// other bytes than those that `vouches` for.
    pub(super) fn accept(&self, vouches: impl FnOnce(&disk::Proof) -> bool) -> bool {
        if self.is_concluded() {
            return false;
        }
        // It reads a file; nobody should wait for that with the lock.
        let known = lock(&self.tags).clone();
        if !vouches(&known) {
            return false;
        }
        let tags = lock(&self.tags);
        // Nothing is said of bytes that somebody got meanwhile.
        let is_vouched_for = *tags == known;
        let mut state = lock(&self.state);
        let is_new = is_vouched_for && state.verdict.is_none() && !state.others;
        if is_new {
            (state.accepted, state.verdict) = (true, Some(Ok(())));
        }
        drop((state, tags));
        if is_new {
            self.changed.notify_waiters();
        }
        is_new
    }

    /// The service sent other bytes than before. `true` when a worker is to be started, to say so to all readers.
    pub(super) fn is_other(&self) -> bool {
        let mut state = lock(&self.state);
        state.others = true;
        Self::start(&mut state)
    }

    /// Bytes came from the service: what was accepted from before says nothing of them.
    pub(super) fn is_fetched(&self) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.accepted) {
            state.verdict = None;
        }
    }

    /// Whether the blocks of `run` are the bytes that readers got and that went into the hash, as far as they did. A
    /// verdict speaks of those, and not of what arrives later in their places.
    pub(super) fn agrees(&self, run: &Run) -> bool {
        self.expected.is_none() || lock(&self.tags).agrees(run.blocks().start, run.tags(&run.blocks()))
    }

    /// Whether all bytes were what the service's hash says.
    pub(super) fn is_proved(&self) -> bool {
        matches!(lock(&self.state).verdict, Some(Ok(())))
    }

    /// Whether there is nothing to be proved any more.
    pub(super) fn is_concluded(&self) -> bool {
        self.expected.is_none() || lock(&self.state).verdict.is_some()
    }

    /// Seals the image on disk, if what it holds is what was proved. Blocks the thread.
    pub(super) fn seal(&self, image: &DiskImage) -> std::io::Result<bool> {
        if !self.is_proved() {
            return Ok(false);
        }
        // Sealing reads the whole file; nobody should wait for that with the lock.
        let tags = lock(&self.tags).clone();
        image.seal(&tags)
    }

    /// Queues what has been seen without a gap since.
    fn queue(&self, state: &mut State, run: &Run, room: u64) {
        let due = state.seen.prefix();
        let near = due..due + EARLY;
        if run.blocks().end > due && near.contains(&run.blocks().start) {
            let held: u64 = state.early.values().map(|run| self.length(&run.blocks())).sum();
            // What waits for a block that never comes waits as long as the image is open: only plenty is lent so.
            if held + self.length(&run.blocks()) <= room / 2 && room >= PLENTY {
                state.early.insert(run.blocks().start, run.clone());
            }
        }
        while state.queued < due {
            let at = state.queued;
            let early = state.early.range(..=at).next_back().map(|(_, run)| run);
            let here = [Some(run), early].into_iter().flatten().find(|run| run.has(at)).cloned();
            let next = |start: u64| if start > at { start } else { due };
            let end = here.as_ref().map_or_else(|| next(run.blocks().start), |run| run.blocks().end).min(due);
            let length = self.length(&(at..end));
            let here = here.filter(|_| state.held + length <= room);
            *(if here.is_some() { &mut state.held } else { &mut state.lacking }) += length;
            state.queue.push_back((at..end, here));
            state.queued = end;
        }
        let queued = state.queued;
        state.early.retain(|_, run| run.blocks().end > queued);
    }

    fn length(&self, blocks: &Range<u64>) -> u64 {
        let bytes = self.content.bytes(blocks);
        bytes.end - bytes.start
    }

    fn start(state: &mut State) -> bool {
        let due = state.others && state.verdict.is_none();
        let start = !state.working && (due || !state.queue.is_empty());
        state.working |= start;
        start
    }

    /// `true` when a worker is to be started: there is work, and none is at it.
    pub(super) fn needs_worker(&self) -> bool {
        Self::start(&mut lock(&self.state))
    }

    /// What the worker is to do.
    pub(super) fn next(&self) -> Work {
        let mut state = lock(&self.state);
        match state.queue.front() {
            _ if state.others && state.verdict.is_none() => Work::Judge,
            Some((_, Some(_))) => Work::Feed,
            Some((blocks, None)) => Work::Fetch(blocks.start..blocks.end.min(span_end(blocks.start))),
            None if state.hashed >= self.content.size() && state.verdict.is_none() => Work::Judge,
            None => {
                state.working = false;
                drop(state);
                self.changed.notify_waiters();
                Work::Rest
            }
        }
    }

    /// Gives the worker a block that it had to fetch.
    pub(super) fn give(&self, run: &Run) {
        let mut state = lock(&self.state);
        let Some((blocks, _)) = state.queue.pop_front() else { return };
        let here = blocks.start..blocks.end.min(run.blocks().end);
        if here.end < blocks.end {
            state.queue.push_front((here.end..blocks.end, None));
        }
        let length = self.length(&here);
        state.held += length;
        state.lacking = state.lacking.saturating_sub(length);
        state.queue.push_front((here, Some(run.clone())));
    }

    /// Feeds into the hash what is queued and here. It takes milliseconds: call it where that blocks nobody.
    pub(super) fn feed(&self) {
        let mut state = lock(&self.state);
        let Some(mut hash) = state.hash.take() else {
            state.queue.clear();
            return;
        };
        while let Some((_, Some(_))) = state.queue.front() {
            let Some((blocks, Some(run))) = state.queue.pop_front() else { break };
            drop(state);
            let range = self.content.bytes(&blocks);
            // Runs were queued with their own blocks, so the bytes are there.
            let bytes = run.bytes_of(&self.content, &range).unwrap_or_default();
            hash.feed(bytes);
            let same = lock(&self.tags).feed(blocks.start, run.tags(&blocks));
            drop(run);
            state = lock(&self.state);
            state.others |= !same;
            state.hashed = range.end;
            state.held = state.held.saturating_sub(range.end - range.start);
            self.changed.notify_waiters();
        }
        state.hash = Some(hash);
    }

    /// The worker ends before all is done: nobody wants it now.
    pub(super) fn pause(&self) {
        lock(&self.state).working = false;
        self.changed.notify_waiters();
    }

    /// The worker could not have the next block, and ends. All hear of it who wait for it now.
    pub(super) fn give_up(&self, error: ReadError) {
        let mut state = lock(&self.state);
        state.working = false;
        state.given_up = state.given_up.wrapping_add(1);
        state.trouble = Some(error);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Compares the hash of everything with the service's; `None` where there is none. Nobody hears of it yet.
    pub(super) fn judge(&self) -> Option<Result<(), ReadError>> {
        let (others, hash) = {
            let mut state = lock(&self.state);
            (state.others, state.hash.take())
        };
        let (expected, hash) = self.expected.as_ref().zip(hash)?;
        if others {
            return Some(Err(ReadError::OtherBytes { image: self.content.image() }));
        }
        let actual = hash.finish();
        let same = actual == expected.value;
        let mismatch = || ReadError::HashMismatch {
            image: self.content.image(),
            algorithm: expected.algorithm.clone(),
            expected: expected.value.clone(),
            actual,
        };
        Some(if same { Ok(()) } else { Err(mismatch()) })
    }

    /// Tells the verdict to those who wait for it.
    pub(super) fn publish(&self, verdict: Result<(), ReadError>) {
        let mut state = lock(&self.state);
        // What was queued says nothing any more.
        state.queue.clear();
        state.verdict = Some(verdict);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The verdict, once there is one.
    pub(super) fn verdict(&self) -> Option<Result<(), ReadError>> {
        lock(&self.state).verdict.clone()
    }

    /// Whether all bytes have been seen and are not compared yet, and the verdict is worth waiting for, as it always is for a
    /// reader who has `own` seen all of them.
    pub(super) fn is_due(&self, own: &Seen) -> bool {
        let state = lock(&self.state);
        let soon = state.seen.is_whole() && (own.is_whole() || state.lacking <= self.again);
        self.expected.is_some() && state.verdict.is_none() && (state.others || soon)
    }

    /// Whether so much waits for the hash that a reader should wait too who has `own` seen so much. It is said at half of the
    /// room, because reads that are under way fill the rest. Where the hash is far behind because the image was read at
    /// random places, only who reads from the beginning on waits, so that the hash gets the same blocks from memory.
    pub(super) fn is_full(&self, room: u64, own: &Seen) -> bool {
        let state = lock(&self.state);
        let waiting = if state.lacking > self.again {
            (own.prefix() * BLOCK).saturating_sub(state.hashed)
        } else {
            state.held + state.lacking
        };
        state.working && waiting >= room / 2
    }

    /// How often a worker gave up so far.
    pub(super) fn given_up(&self) -> u64 {
        lock(&self.state).given_up
    }

    /// Waits until `done` says so, or a worker gave up since the time when that was counted as `given_up`.
    pub(super) async fn wait(&self, given_up: u64, done: impl Fn(&Self) -> bool) -> Result<(), ReadError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done(self) {
                return Ok(());
            }
            if let Some(trouble) = self.trouble_since(given_up) {
                return Err(trouble);
            }
            changed.await;
        }
    }

    fn trouble_since(&self, given_up: u64) -> Option<ReadError> {
        let state = lock(&self.state);
        state.trouble.clone().filter(|_| state.given_up != given_up)
    }

    /// Waits until no worker is at it.
    pub(super) async fn rested(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !lock(&self.state).working {
                return;
            }
            changed.await;
        }
    }

    /// Bytes that went into the hash so far.
    pub(super) fn hashed(&self) -> u64 {
        lock(&self.state).hashed
    }

    /// How much is verified.
    pub(super) fn verified(&self) -> Verified {
        let state = lock(&self.state);
        match (&self.expected, &state.verdict, state.hashed) {
            (None, ..) => Verified::Unknown,
            (_, Some(Ok(())), _) => Verified::Yes,
            (_, Some(Err(_)), _) | (_, None, 0) => Verified::No,
            (_, None, hashed) => Verified::Part(hashed),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Proof({:?})", self.verified())
    }
}
