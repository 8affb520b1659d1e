//! One stream of a whole image, shared by all its readers, for stores that answer no ranges.
//!
//! Readers ask for blocks by handing over their claims. A task lets the image pass as long as somebody wants a block
//! ahead, then pauses, and ends after a while. Every passing block lands in the cache and, where there is a spool, in
//! there, so that going back is a local read. Without a spool, going back beyond the cache starts the stream over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::error::ReadError;
use super::flight::Claim;
use super::intake::Intake;
use super::spool::Spool;
use super::{Reads, add};
use crate::cache::{Block, BlockKey, Identity, lock};
use crate::service::{Kind, ServiceError, Source};

/// The readers' side of a stream. Once the last reader has dropped it, the stream ends.
#[derive(Debug)]
pub(super) struct Stream(Arc<Core>);

#[derive(Debug)]
struct Core {
    identity: Identity,
    /// Made when the first pass begins; `None` inside where there can be none.
    spool: OnceLock<Option<Arc<Spool>>>,
    state: Mutex<State>,
    nudge: Notify,
    passed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The blocks asked for, by their index.
    waiting: BTreeMap<u64, Claim>,
    /// Whether the task runs. It ends under this lock, so that no claim is left behind.
    running: bool,
    closed: bool,
}

/// What the task does next.
enum Step {
    Pass,
    Pause,
    Restart,
    End,
}

impl Stream {
    /// The stream of a content: the one that its other readers have, or a new one.
    pub(super) fn of(reads: &Reads, identity: &Identity) -> Arc<Self> {
        let mut streams = lock(&reads.streams);
        if let Some(stream) = streams.get(identity).and_then(std::sync::Weak::upgrade) {
            return stream;
        }
        streams.retain(|_, stream| stream.strong_count() > 0);
        let core = Core {
            identity: identity.clone(),
            spool: OnceLock::new(),
            state: Mutex::default(),
            nudge: Notify::new(),
            passed: AtomicU64::new(0),
        };
        let stream = Arc::new(Self(Arc::new(core)));
        streams.insert(identity.clone(), Arc::downgrade(&stream));
        stream
    }

    /// Asks for blocks.
    pub(super) fn ask(&self, reads: &Arc<Reads>, claims: Vec<Claim>) {
        let core = &self.0;
        let spooled = |claim: &Claim| core.spool().is_some_and(|spool| spool.has(claim.key().index));
        let (local, remote): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(spooled);
        core.give_local(reads, local);
        if remote.is_empty() {
            return;
        }
        let mut state = lock(&core.state);
        state.waiting.extend(remote.into_iter().map(|claim| (claim.key().index, claim)));
        if !state.running {
            state.running = true;
            tokio::spawn(Arc::clone(core).run(Arc::clone(reads)));
        }
        drop(state);
        core.nudge.notify_one();
    }

    /// Changes with every block that passes.
    pub(super) fn progress(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.nudge.notify_one();
    }
}

impl Core {
    fn spool(&self) -> Option<&Arc<Spool>> {
        self.spool.get().and_then(Option::as_ref)
    }

    /// Reads blocks that the spool has, in a task of their own.
    fn give_local(&self, reads: &Arc<Reads>, claims: Vec<Claim>) {
        if let Some(spool) = self.spool().filter(|_| !claims.is_empty()) {
            tokio::spawn(from_spool(Arc::clone(reads), Arc::clone(spool), claims));
        }
    }

    /// The task: pass after pass.
    async fn run(self: Arc<Self>, reads: Arc<Reads>) {
        let _alarm = Alarm(&self);
        self.make_spool(&reads).await;
        loop {
            match self.pass(&reads).await {
                Ok(Step::Restart) => {}
                Ok(_) => return,
                Err(error) => return self.fail(&error),
            }
        }
    }

    async fn make_spool(&self, reads: &Reads) {
        if self.spool.get().is_some() {
            return;
        }
        let (folder, size) = (reads.settings.spool.clone(), self.identity.size());
        let made = tokio::task::spawn_blocking(move || folder.map(|folder| (Spool::new(&folder, size), folder))).await;
        let spool = match made {
            Ok(Some((Ok(spool), _))) => Some(Arc::new(spool)),
            Ok(Some((Err(error), folder))) => {
                tracing::warn!(folder = %folder.display(), %error, "no spool: going back in this image will be slow");
                None
            }
            _ => None,
        };
        let _ = self.spool.set(spool);
    }

    /// Lets the image pass from its first block on, as far as is wanted.
    async fn pass(&self, reads: &Arc<Reads>) -> Result<Step, ReadError> {
        let mut intake = None;
        let mut next = 0;
        loop {
            match self.step(reads, next) {
                Step::Pass => {}
                Step::Pause => {
                    // Who is gone or has not come back by then leaves nothing to wait for, which the next look finds.
                    if timeout(reads.settings.stream_idle, self.nudge.notified()).await.is_err() && self.ended() {
                        return Ok(Step::End);
                    }
                    continue;
                }
                end => return Ok(end),
            }
            let intake = match &mut intake {
                Some(intake) => intake,
                none => none.insert(self.begin(reads).await?),
            };
            self.let_pass(reads, intake, self.identity.block(next)).await?;
            self.passed.fetch_add(1, Ordering::Relaxed);
            next += 1;
        }
    }

    async fn begin(&self, reads: &Reads) -> Result<Intake, ReadError> {
        add(&reads.counters.streams, 1);
        let (image, waited) = (self.identity.image(), reads.settings.patience);
        let source = Source { image, size: self.identity.size(), store: None };
        let stream = timeout(waited, reads.service.0.read_all(&source)).await;
        Ok(Intake::new(image, stream.map_err(|_| ReadError::TimedOut { image, waited })??, waited))
    }

    async fn let_pass(&self, reads: &Reads, intake: &mut Intake, key: BlockKey) -> Result<(), ReadError> {
        let (index, length) = (key.index, key.length());
        let wanted = lock(&self.state).waiting.contains_key(&index);
        if !wanted && self.spool().is_some_and(|spool| spool.has(index)) {
            return intake.skip(length).await;
        }
        let mut buffer = reads.cache.buffer(length, Instant::now() + reads.settings.patience).await?;
        intake.fill(&mut buffer).await?;
        add(&reads.counters.fetched, length);
        let Some(block) = Block::new(key, buffer) else { return Ok(()) };
        self.keep(&block).await;
        reads.cache.put(block.clone());
        // Looked up only now: a claim that came meanwhile is served too.
        let claim = lock(&self.state).waiting.remove(&index);
        if let Some(claim) = claim {
            claim.land(&reads.cache, block);
        }
        Ok(())
    }

    async fn keep(&self, block: &Block) {
        let Some(spool) = self.spool().cloned() else { return };
        let (block, image) = (block.clone(), self.identity.image());
        let kept = tokio::task::spawn_blocking(move || spool.write(&block)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%image, %error, "could not write the spool: going back in this image will be slow");
        }
    }

    /// What to do when the block `next` is the next to pass.
    fn step(&self, reads: &Arc<Reads>, next: u64) -> Step {
        loop {
            let behind = self.serve_behind(reads, next);
            let mut state = lock(&self.state);
            let again = !behind.is_empty();
            let raced = state.waiting.range(..next).next().is_some();
            state.waiting.extend(behind.into_iter().map(|claim| (claim.key().index, claim)));
            if state.closed {
                state.waiting.retain(|_, claim| claim.is_awaited());
            }
            if state.waiting.range(next..).next().is_some() {
                return Step::Pass;
            }
            if again && !state.waiting.is_empty() {
                return Step::Restart;
            }
            if raced {
                continue;
            }
            if state.closed || next >= self.identity.blocks() {
                state.running = false;
                return Step::End;
            }
            return Step::Pause;
        }
    }

    /// Serves claims of blocks that have passed already from where they are kept. Answers those of which that failed
    /// and that are still waited for.
    fn serve_behind(&self, reads: &Arc<Reads>, next: u64) -> Vec<Claim> {
        let mut state = lock(&self.state);
        let ahead = state.waiting.split_off(&next);
        let behind = std::mem::replace(&mut state.waiting, ahead);
        drop(state);
        let (mut local, mut left) = (Vec::new(), Vec::new());
        for claim in behind.into_values() {
            if let Some(block) = reads.cache.get(claim.key()) {
                claim.land(&reads.cache, block);
            } else if self.spool().is_some_and(|spool| spool.has(claim.key().index)) {
                local.push(claim);
            } else if claim.is_awaited() {
                left.push(claim);
            }
        }
        self.give_local(reads, local);
        left
    }

    /// Ends the task unless somebody wants something.
    fn ended(&self) -> bool {
        let mut state = lock(&self.state);
        let ended = state.waiting.is_empty();
        state.running = !ended;
        ended
    }

    /// Ends the task and tells all who wait.
    fn fail(&self, error: &ReadError) {
        let mut state = lock(&self.state);
        let waiting = std::mem::take(&mut state.waiting);
        state.running = false;
        drop(state);
        for claim in waiting.into_values() {
            claim.fail(error.clone());
        }
    }
}

/// Tells all who wait when the task is torn down by a panic: a stream that seems to run and does not would let every
/// reader of the image wait until its deadline.
struct Alarm<'a>(&'a Core);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let action = format!("read image {}", self.0.identity.image());
            let error =
                ServiceError::new(Kind::Unavailable, action).with_words("the program failed; its log says where");
            self.0.fail(&error.into());
        }
    }
}

/// Reads the blocks of these claims out of the spool. Where one cannot be had, its waiters look again.
async fn from_spool(reads: Arc<Reads>, spool: Arc<Spool>, claims: Vec<Claim>) {
    for claim in claims {
        let deadline = Instant::now() + reads.settings.patience;
        let mut buffer = match reads.cache.buffer(claim.key().length(), deadline).await {
            Ok(buffer) => buffer,
            Err(error) => {
                claim.fail(error.into());
                continue;
            }
        };
        let (spool, key) = (Arc::clone(&spool), claim.key().clone());
        let read = tokio::task::spawn_blocking(move || spool.read(&key, &mut buffer).map(|()| buffer)).await;
        match read {
            Ok(Ok(buffer)) => {
                if let Some(block) = Block::new(claim.key().clone(), buffer) {
                    claim.land(&reads.cache, block);
                }
            }
            Ok(Err(error)) => tracing::warn!(image = %claim.key().content.image(), %error, "could not read the spool"),
            Err(_) => {}
        }
    }
}
