//! One content and all who read it: the board of what is under way, the proof, and what is on the disk.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use super::board::{Arrival, Board, LaneId, Start, Step, Way, Wish};
use super::cursor::Asked;
use super::error::ReadError;
use super::proof::Proof;
use super::route::Refused;
use super::shelf::Shelf;
use super::{Content, Download, Reads, lane};
use crate::cache::{BLOCK, Identity, Run, SPAN, Use, lock};
use crate::service::{Kind, ServiceError};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, spawn, timeout};

/// How often a read looks again for a block whose request ended without it: it was given up for want of memory, or the
/// store proved to answer no ranges (once for each store of the image).
const LOOKS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) content: Content,
    pub(super) identity: Identity,
    pub(super) proof: Proof,
    /// Under this lock the cache's locks are taken, never the other way round.
    board: Mutex<Board>,
    pub(super) shelf: Shelf,
    /// Readers who go through the image from one end to the other.
    passing: AtomicU64,
    /// Told when the last one closes it.
    left: Notify,
    /// The end of the furthest byte that went to a reader, since there were none.
    reached: AtomicU64,
    /// Changes with everything that arrives: a block that is far away in a stream may take its time.
    pub(super) progress: Arc<AtomicU64>,
    /// The bytes have proved to be others than the service's.
    pub(super) damaged: AtomicBool,
}

impl Feed {
    /// Nobody has it open yet; see [`Proof::new`].
    pub(super) fn new(content: Content, identity: Identity, again: u64) -> Self {
        let proof = Proof::new(&identity, again);
        Self {
            content,
            identity,
            proof,
            board: Mutex::default(),
            shelf: Shelf::default(),
            passing: AtomicU64::new(0),
            left: Notify::new(),
            reached: AtomicU64::new(0),
            progress: Arc::default(),
            damaged: AtomicBool::new(false),
        }
    }

    /// Somebody opened it.
    pub(super) fn opened(&self) {
        let mut board = lock(&self.board);
        if board.enter() {
            self.reached.store(0, Ordering::Relaxed);
        }
    }

    /// A reader goes through the image for as long as the answer lives.
    pub(super) fn pass(self: &Arc<Self>) -> Passage {
        self.passing.fetch_add(1, Ordering::Relaxed);
        Passage(Arc::clone(self))
    }

    /// Whether what a stream passes is to be kept on disk: somebody came back for what was passed, or several go through an
    /// image that is too large for memory, of whom one may fall behind.
    pub(super) fn is_to_be_spooled(&self, reads: &Reads) -> bool {
        let is_large = self.identity.size() > reads.cache.budget().total() / 2;
        let several = is_large && self.passing.load(Ordering::Relaxed) > 1;
        let board = lock(&self.board);
        board.readers() > 0 && (several || board.has_gone_back())
    }

    /// Makes a nameless file for what streams pass, if there is none.
    pub(super) async fn improvise(&self, reads: &Reads) {
        if self.shelf.improvise(reads.settings.spool.as_deref(), &self.identity).await {
            // The last reader may have gone meanwhile.
            self.close_if_idle();
        }
    }

    /// A reader was given the bytes before `end`.
    pub(super) fn reached(&self, end: u64) {
        self.reached.fetch_max(end, Ordering::Relaxed);
    }

    /// How far its readers are; `None` where there are none.
    pub(super) fn download(&self) -> Option<Download> {
        let (image, size) = (self.content.image, self.identity.size());
        let reached = self.reached.load(Ordering::Relaxed);
        let board = lock(&self.board);
        let (readers, to_pass) = (board.readers(), board.distance().unwrap_or(0).saturating_mul(BLOCK));
        (readers > 0).then_some(Download { image, size, readers, reached, to_pass })
    }

    /// Somebody closed it. What is under way for nobody ends, at once with the last one. What is complete on disk is proved
    /// then, where no reader has done it.
    pub(super) fn closed(self: &Arc<Self>, reads: &Arc<Reads>) {
        if !lock(&self.board).leave() {
            return;
        }
        self.left.notify_waiters();
        self.proof.rest();
        let open = self.is_kept_whole(reads) && !self.proof.is_concluded();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if open => {
                let (feed, reads, work) = (Arc::clone(self), Arc::clone(reads), reads.keep());
                runtime.spawn(async move {
                    feed.prove_from_disk(reads).await;
                    drop(work);
                });
            }
            _ => self.shelf.close(),
        }
    }

    /// Whether the cache on disk has all of it, as far as is known.
    pub(super) fn is_kept_whole(&self, reads: &Reads) -> bool {
        reads.disk.is_some() && self.shelf.get().is_some_and(|image| image.is_complete())
    }

    /// Looks for the image in the cache on disk, at its first use; `true` when that is this one.
    pub(super) async fn prepare(self: &Arc<Self>, reads: &Arc<Reads>) -> bool {
        let is_first = self.shelf.open(reads, &self.identity).await;
        if is_first {
            self.trust_seal(reads).await;
        }
        is_first
    }

    /// An image that is sealed on disk needs no proof where it is what readers got so far, and says nothing of what else
    /// came from the service before and is still in memory.
    pub(super) async fn trust_seal(self: &Arc<Self>, reads: &Arc<Reads>) {
        let Some(image) = self.shelf.get().filter(|image| image.is_sealed()) else { return };
        let feed = Arc::clone(self);
        let accept = move || feed.proof.accept(|tags| image.vouches_for(tags));
        // It fails only when the runtime ends, and then all is over.
        if tokio::task::spawn_blocking(accept).await.unwrap_or(false) {
            reads.cache.forget_content(&self.identity);
        }
    }

    /// What nobody has open, the cache on disk may drop.
    pub(super) fn close_if_idle(&self) {
        if self.is_idle() {
            self.shelf.close();
        }
    }

    /// Whether anybody has had it open.
    pub(super) fn was_opened(&self) -> bool {
        lock(&self.board).was_opened()
    }

    /// Until nobody has it open.
    pub(super) async fn left(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.is_idle() {
                return;
            }
            left.await;
        }
    }

    /// Whether nobody has it open.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.board).readers() == 0
    }

    /// Blocks under way.
    pub(super) fn count(&self) -> u64 {
        lock(&self.board).count()
    }

    /// Gets under way what a read asks for beyond its own blocks.
    pub(super) fn go_ahead(self: &Arc<Self>, reads: &Arc<Reads>, asked: &Asked) {
        if asked.until > asked.own.end {
            let starts = self.wish(reads, &mut lock(&self.board), asked.own.start..asked.until, asked.reach);
            self.start(reads, starts);
        }
    }

    /// The run with the block `block`, the first one of those that are wanted.
    pub(super) async fn run(
        self: &Arc<Self>,
        reads: &Arc<Reads>,
        wanted: Range<u64>,
        how: Use,
    ) -> Result<(Run, Waited), ReadError> {
        let block = wanted.start;
        for look in 0..LOOKS {
            if let Some(run) = reads.cache.get(&self.identity, block, how) {
                return Ok((run, Waited(look > 0)));
            }
            let coming = match self.coming(reads, &wanted, how) {
                Coming::Here(run) => return Ok((run, Waited(look > 0))),
                Coming::Awaited(coming) => coming,
            };
            let _waiting = reads.begin_to_wait();
            let wait = Wait { feed: self, over: false };
            let arrived = self.arrival(reads, coming).await;
            wait.over();
            if let Some(run) = arrived? {
                return Ok((run, Waited(true)));
            }
        }
        Err(self.timed_out(reads))
    }

    fn coming(self: &Arc<Self>, reads: &Arc<Reads>, wanted: &Range<u64>, how: Use) -> Coming {
        let mut board = lock(&self.board);
        // It may have landed since the first look; a stream that passes it again would bring it again for who waits.
        if let Some(run) = reads.cache.get(&self.identity, wanted.start, how) {
            return Coming::Here(run);
        }
        board.ask(wanted, reads.near());
        let is_local = self.shelf.get().is_some_and(|image| image.has(wanted.start));
        if let Some(coming) = board.wait(wanted.start, is_local) {
            return Coming::Awaited(coming);
        }
        let starts = self.wish(reads, &mut board, wanted.clone(), wanted.end);
        // A wish for what is nowhere always gets it under way; a closed channel says "look again".
        let coming = board.wait(wanted.start, is_local).unwrap_or_else(|| oneshot::channel().1);
        drop(board);
        self.start(reads, starts);
        Coming::Awaited(coming)
    }

    fn wish(&self, reads: &Reads, board: &mut Board, blocks: Range<u64>, reach: u64) -> Vec<Start> {
        let (lanes, part) = reads.lanes();
        let reach = reach.min(blocks.end.saturating_add(reads.longest_request()));
        let way = lock(&reads.routes).of(&self.content, &self.identity);
        let (near, count) = (reads.near(), self.identity.blocks());
        let wish = Wish { blocks, reach, near, lanes, part: part / BLOCK, way, count };
        let image = self.shelf.get();
        let local = |block| image.as_ref().is_some_and(|image| image.has(block));
        board.wish(&wish, |block| reads.cache.has(&self.identity, block), local)
    }

    fn start(self: &Arc<Self>, reads: &Arc<Reads>, starts: Vec<Start>) {
        for start in starts {
            spawn(lane::run(Arc::clone(reads), Arc::clone(self), start));
        }
    }

    /// What comes of a wait. `None` when the request ended without the block, for a reason that makes another try
    /// worthwhile.
    async fn arrival(&self, reads: &Reads, mut coming: oneshot::Receiver<Arrival>) -> Result<Option<Run>, ReadError> {
        loop {
            let before = self.progress.load(Ordering::Relaxed);
            match timeout(reads.settings.patience, &mut coming).await {
                Ok(Ok(Ok(run))) => return Ok(Some(run)),
                Ok(Ok(Err(ReadError::Service(failure)))) if Refused::of(&failure.kind).is_some() => return Ok(None),
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(_look_again)) => return Ok(None),
                Err(_) if self.progress.load(Ordering::Relaxed) == before => return Err(self.timed_out(reads)),
                Err(_) => {}
            }
        }
    }

    pub(super) fn timed_out(&self, reads: &Reads) -> ReadError {
        ReadError::TimedOut { image: self.content.image, waited: reads.settings.patience }
    }

    // What lanes tell.

    pub(super) fn step(&self, lane: LaneId, most: u64) -> Step {
        lock(&self.board).step(lane, most)
    }

    pub(super) fn retire(&self, lane: LaneId) -> bool {
        lock(&self.board).retire(lane)
    }

    pub(super) fn is_forsaken(&self, lane: LaneId) -> bool {
        lock(&self.board).is_forsaken(lane)
    }

    pub(super) fn abandon(&self, lane: LaneId, long: bool) -> bool {
        lock(&self.board).abandon(lane, long)
    }

    pub(super) fn end_of(&self, lane: LaneId) -> Option<u64> {
        lock(&self.board).end_of(lane)
    }

    pub(super) fn is_awaited(&self, blocks: Range<u64>) -> bool {
        lock(&self.board).is_awaited(blocks)
    }

    pub(super) fn is_wanted(&self, lane: LaneId, blocks: &Range<u64>) -> bool {
        lock(&self.board).is_wanted(lane, blocks)
    }

    /// Whether what a lane brought may be given to readers. Bytes that are not those which readers got before are not: the
    /// service is asked again for what the disk held, and a reader hears of what the service sent. Before the verdict nobody
    /// knows which of the two are right, and all who got some hear of it.
    pub(super) async fn admits(self: &Arc<Self>, reads: &Arc<Reads>, run: &Run, way: &Way) -> Result<bool, ReadError> {
        let local = *way == Way::Local;
        if !local {
            self.proof.is_fetched();
        }
        if self.proof.agrees(run) {
            return Ok(true);
        }
        if local {
            self.shelf.close();
            reads.forget_on_disk(&self.identity).await;
            return Ok(false);
        }
        if !self.proof.is_proved() {
            if self.proof.is_other() {
                self.begin_to_prove(reads);
            }
            return Err(ReadError::OtherBytes { image: self.content.image });
        }
        let words = "the service sent other bytes than those that were compared with the image's hash before";
        let action = format!("read image {}", self.content.image);
        Err(ServiceError::new(Kind::Malformed, action).with_words(words).into())
    }

    /// Keeps a run that the lane brought, and gives it to all who wait for it.
    pub(super) fn land(&self, reads: &Reads, lane: LaneId, run: &Run) {
        reads.cache.put(run.clone());
        if self.damaged.load(Ordering::Acquire) {
            reads.cache.forget_content(&self.identity);
        }
        self.progress.fetch_add(1, Ordering::Relaxed);
        let waiters = lock(&self.board).advance(lane, &run.blocks());
        for waiter in waiters {
            // Who went away meanwhile needs nothing.
            let _ = waiter.send(Ok(run.clone()));
        }
    }

    /// The lane has left `blocks` out: nobody needs them.
    pub(super) fn skip(&self, lane: LaneId, blocks: &Range<u64>) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        let waiters = lock(&self.board).advance(lane, blocks);
        drop(waiters);
    }

    /// The lane is over. Who waits for what it did not bring hears why, or looks again.
    pub(super) fn end(&self, lane: LaneId, why: Option<&ReadError>) {
        let waiters = lock(&self.board).remove(lane);
        for waiter in waiters {
            if let Some(error) = why {
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }
}

/// A reader who goes through the image.
#[derive(Debug)]
pub(super) struct Passage(Arc<Feed>);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.passing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a reader had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waited(pub(super) bool);

/// A wait for a block. Given up from outside, it takes back what was to be fetched ahead.
struct Wait<'a> {
    feed: &'a Feed,
    over: bool,
}

impl Wait<'_> {
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.over {
            lock(&self.feed.board).trim();
        }
    }
}

enum Coming {
    Here(Run),
    Awaited(oneshot::Receiver<Arrival>),
}

/// Spans divide images so that no reply of the kernel's largest size needs more than two of them.
const _: () = assert!(SPAN * BLOCK == 1 << 20);
