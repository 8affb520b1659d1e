//! Verification: the hash of what one handle delivered, computed behind the reading.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::error::ReadError;
use super::hash::{Expected, Hash};
use crate::cache::{BLOCK, Block, Identity, lock};
use crate::image::{Checksums, ImageId};

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

/// Which bytes were delivered: everything up to a point, and some ranges beyond it.
#[derive(Debug, Default)]
struct Delivered {
    prefix: u64,
    /// Start and end of what was delivered beyond the prefix.
    beyond: BTreeMap<u64, u64>,
}

/// Ranges beyond the prefix that are remembered. The kernel has no more requests under way for one sequence of reads;
/// a random reader has, and is not verified.
const REMEMBERED: usize = 64;

impl Delivered {
    fn note(&mut self, range: Range<u64>) {
        let end = self.beyond.entry(range.start).or_insert(range.end);
        *end = range.end.max(*end);
        while let Some(first) = self.beyond.first_entry().filter(|first| *first.key() <= self.prefix) {
            self.prefix = self.prefix.max(first.remove());
        }
        if self.beyond.len() > REMEMBERED {
            self.beyond.pop_last();
        }
    }
}

/// The verification of one handle: pure state; [`Job`]s say what is to be done, and others do it.
pub(super) struct Verifier {
    image: ImageId,
    size: u64,
    expected: Option<Expected>,
    /// Blocks that may wait in the queue with their bytes held in memory.
    backlog: usize,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    delivered: Delivered,
    /// Blocks to be hashed next, in their order. Where the bytes are missing, they are fetched when it is their turn.
    queue: VecDeque<(u64, Option<Block>)>,
    /// The block behind the last one that was queued.
    queued: u64,
    hash: Option<Hash>,
    hashed: u64,
    working: bool,
    /// The worker waits for a block that has to be fetched again. Meanwhile the queue holds no memory, because that may
    /// be what the fetch waits for.
    fetching: bool,
    /// Why the worker gave up, for the one who waits for it.
    trouble: Option<ReadError>,
    verdict: Option<Result<(), ReadError>>,
}

/// What the worker is to do next.
pub(super) enum Job {
    /// Feed this block into the hash, after fetching it where its bytes are missing.
    Block(u64, Option<Block>),
    /// Nothing is left; the worker ends.
    Rest,
}

impl Verifier {
    /// For the bytes of `content`, of which `backlog` blocks may be held in memory.
    pub(super) fn new(content: &Identity, checksums: &Checksums, backlog: usize) -> Self {
        let (expected, hash) = Expected::of(checksums).unzip();
        let state = State {
            delivered: Delivered::default(),
            queue: VecDeque::new(),
            queued: 0,
            hash,
            hashed: 0,
            working: false,
            fetching: false,
            trouble: None,
            verdict: None,
        };
        let (image, size) = (content.image(), content.size());
        let verifier = Self { image, size, expected, backlog, state: Mutex::new(state), changed: Notify::new() };
        if size == 0 {
            verifier.conclude(&mut lock(&verifier.state));
        }
        verifier
    }

    /// Counts the bytes `range`, all of them in `block`, as delivered. `true` when a worker is to be started.
    pub(super) fn note(&self, range: Range<u64>, block: &Block) -> bool {
        if self.expected.is_none() {
            return false;
        }
        let mut state = lock(&self.state);
        state.delivered.note(range);
        let whole = state.delivered.prefix >= self.size;
        let due = if whole { self.size.div_ceil(BLOCK) } else { state.delivered.prefix / BLOCK };
        for index in state.queued..due {
            let held = state.queue.len() < self.backlog && index == block.key().index && !state.fetching;
            state.queue.push_back((index, held.then(|| block.clone())));
        }
        state.queued = state.queued.max(due);
        Self::start(&mut state)
    }

    fn start(state: &mut State) -> bool {
        let start = !state.working && !state.queue.is_empty();
        state.working |= start;
        start
    }

    /// `true` when a worker is to be started: there is work, and none is at it.
    pub(super) fn needs_worker(&self) -> bool {
        Self::start(&mut lock(&self.state))
    }

    /// The worker's next job.
    pub(super) fn next(&self) -> Job {
        let mut state = lock(&self.state);
        let next = state.queue.pop_front();
        state.fetching = matches!(next, Some((_, None)));
        match next {
            Some((index, None)) => {
                let held: Vec<_> = state.queue.iter_mut().filter_map(|(_, block)| block.take()).collect();
                drop(state);
                drop(held);
                Job::Block(index, None)
            }
            Some((index, block)) => Job::Block(index, block),
            None => {
                if state.hashed >= self.size {
                    self.conclude(&mut state);
                }
                state.working = false;
                drop(state);
                self.changed.notify_waiters();
                Job::Rest
            }
        }
    }

    /// Feeds a block into the hash. It takes about a millisecond: call it where that blocks nobody.
    pub(super) fn feed(&self, block: &Block) {
        let hash = lock(&self.state).hash.take();
        let Some((mut hash, bytes)) = hash.zip(block.bytes_of(block.key())) else { return };
        hash.feed(bytes);
        let mut state = lock(&self.state);
        state.hash = Some(hash);
        state.hashed += block.key().length();
        drop(state);
        self.changed.notify_waiters();
    }

    /// The worker could not have the block `index`, and ends.
    pub(super) fn give_up(&self, index: u64, error: ReadError) {
        let mut state = lock(&self.state);
        state.queue.push_front((index, None));
        state.working = false;
        state.trouble = Some(error);
        drop(state);
        self.changed.notify_waiters();
    }

    fn conclude(&self, state: &mut State) {
        let Some((expected, hash)) = self.expected.as_ref().zip(state.hash.take()) else { return };
        let actual = hash.finish();
        let same = actual == expected.value;
        let mismatch = || ReadError::HashMismatch {
            image: self.image,
            algorithm: expected.algorithm.clone(),
            expected: expected.value.clone(),
            actual,
        };
        state.verdict = Some(if same { Ok(()) } else { Err(mismatch()) });
    }

    /// The verdict, once there is one.
    pub(super) fn verdict(&self) -> Option<Result<(), ReadError>> {
        lock(&self.state).verdict.clone()
    }

    /// Whether all bytes were delivered and are not compared yet.
    pub(super) fn is_due(&self) -> bool {
        let state = lock(&self.state);
        self.expected.is_some() && state.verdict.is_none() && state.delivered.prefix >= self.size
    }

    /// Whether as many blocks wait for the hash as may.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.state).queue.len() >= self.backlog
    }

    /// Waits until `done` says so, or the worker gave up.
    pub(super) async fn wait(&self, done: impl Fn(&Self) -> bool) -> Result<(), ReadError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done(self) {
                return Ok(());
            }
            if let Some(trouble) = lock(&self.state).trouble.take() {
                return Err(trouble);
            }
            changed.await;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_ranges_join_in_whichever_order_they_come() {
        let mut delivered = Delivered::default();
        for range in [20..30, 10..20, 40..50] {
            delivered.note(range);
            assert_eq!(delivered.prefix, 0);
        }
        delivered.note(0..12);
        assert_eq!(delivered.prefix, 30);
        delivered.note(5..45);
        assert_eq!((delivered.prefix, delivered.beyond.len()), (50, 0));
    }

    #[test]
    fn a_random_reader_is_remembered_within_bounds() {
        let mut delivered = Delivered::default();
        for at in (1..10_000).rev() {
            delivered.note(at * 10..at * 10 + 1);
        }
        assert!(delivered.beyond.len() <= REMEMBERED);
    }

    #[test]
    fn the_hash_of_nothing_is_compared_at_once() {
        let empty = |md5: &str| {
            let checksums = Checksums { md5: Some(md5.into()), ..Checksums::default() };
            Verifier::new(&Identity::new(ImageId::random(), 0, checksums.clone()), &checksums, 1).verified()
        };
        assert_eq!(empty("d41d8cd98f00b204e9800998ecf8427e"), Verified::Yes);
        assert_eq!(empty("d41d8cd98f00b204e9800998ecf8427f"), Verified::No);
    }
}
