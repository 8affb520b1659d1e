//! A lane at work: one request, brought block by block to where it is wanted.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::board::{LaneId, Start, Step, Way};
use super::error::ReadError;
use super::feed::Feed;
use super::intake::Intake;
use super::pace::LONGEST_PART;
use super::requests::Permit;
use super::route::Refused;
use super::{Reads, UnderWay, add};
use crate::cache::disk::DiskImage;
use crate::cache::{Buffer, Run, SPAN, lock};
use crate::service::{ByteStream, Kind, ServiceError, Source};
use crate::sync::timeout;

/// How long a range stays open while nobody wants more of it. A reader who comes back after that pays for a request; one
/// who does not should not keep a connection of the service.
const IDLE: Duration = Duration::from_secs(5);

/// After so many bytes a lane lets others go first who wait to make a request.
const TURN: u64 = LONGEST_PART;

/// A run should take no longer than this to arrive: readers get its first byte with its last one.
const SLOW: Duration = Duration::from_millis(20);

/// How long bytes that nobody waits for may gather in the socket. A service that sends 64 KiB at a time would wake the
/// lane thousands of times a second, which costs more than to copy what came; and the hash, which then has a processor
/// nearly to itself, sets the pace. The socket holds what arrives meanwhile.
const GATHERING: Duration = Duration::from_millis(1);

/// Blocks in the first run of a lane, before its rate is known.
const FIRST: u64 = SPAN / 2;

/// Memory that a stream leaves alone when it keeps what nobody has asked for: others need some at any time.
const SPARE: u64 = 2 << 20;

/// A request for more blocks is for what is fetched ahead: no read of the kernel needs so many.
const LONG: u64 = 2 * SPAN;

struct Lane {
    reads: Arc<Reads>,
    feed: Arc<Feed>,
    id: LaneId,
    way: Way,
    nudge: Arc<Notify>,
    /// The request. It is gone before its permit is.
    intake: Option<Intake>,
    /// It is for more than a single read.
    is_long: bool,
    /// A long one has this while it is at work.
    under_way: Option<UnderWay>,
    permit: Option<Permit>,
    /// Where its runs are kept.
    image: Option<Arc<DiskImage>>,
    /// The run that is being written to the disk.
    writing: Option<JoinHandle<()>>,
    /// Blocks in the next run at most.
    most: u64,
}

/// Brings what the board says, until that says that it is over.
pub(super) async fn run(reads: Arc<Reads>, feed: Arc<Feed>, start: Start) {
    let alarm = Alarm { feed: Arc::clone(&feed), id: start.id };
    let Start { id, way, nudge, .. } = start;
    let image = feed.shelf.get();
    let (intake, is_long, under_way, permit, writing) = (None, false, None, None, None);
    let mut lane =
        Lane { reads, feed, id, way, nudge, intake, is_long, under_way, permit, image, writing, most: FIRST };
    let outcome = lane.go().await;
    if let Err(ReadError::Service(failure)) = &outcome
        && let Some(refused) = Refused::of(&failure.kind)
        && let Way::Ranges(store) = &lane.way
    {
        lock(&lane.reads.routes).refused(&lane.feed.content, &lane.feed.identity, store.as_deref(), refused);
    }
    lane.feed.end(id, outcome.err().as_ref());
    drop(alarm);
}

impl Lane {
    async fn go(&mut self) -> Result<(), ReadError> {
        let reads = Arc::clone(&self.reads);
        let mut brought = 0;
        loop {
            match self.feed.step(self.id, self.most.min(reads.longest_run())) {
                Step::End => return Ok(()),
                Step::Pause => {
                    (brought, self.under_way) = (0, None);
                    if self.pause(&reads).await {
                        return Ok(());
                    }
                }
                Step::Fill(blocks) => {
                    if self.way == Way::Whole && self.feed.is_to_be_spooled(&reads) {
                        self.feed.improvise(&reads).await;
                    }
                    if brought >= TURN {
                        brought = 0;
                        self.let_others_go_first();
                    }
                    self.gather(&blocks).await;
                    let (feed, id, nudge, idle) =
                        (Arc::clone(&self.feed), self.id, Arc::clone(&self.nudge), self.idle());
                    let fetched = tokio::select! {
                        biased;
                        fetched = self.fetch(&blocks, &reads) => fetched?,
                        () = forsaken(&feed, id, &nudge, idle) => return Ok(()),
                    };
                    if !self.give(&blocks, fetched).await? {
                        return Ok(());
                    }
                    brought += self.length(&blocks);
                }
            }
        }
    }

    /// The leave to ask the service for something. The disk may be asked always.
    async fn permit(&mut self, reads: &Reads) {
        if self.permit.is_none() && self.way != Way::Local {
            self.permit = reads.requests.permit().await;
        }
    }

    /// Gives the permit to those who wait for one. A request ends with it; a stream, which would have to begin again, only
    /// stands still.
    fn let_others_go_first(&mut self) -> bool {
        let wanted = self.permit.as_mut().is_some_and(Permit::is_wanted_back);
        if wanted {
            if self.way != Way::Whole {
                self.intake = None;
            }
            (self.under_way, self.permit) = (None, None);
        }
        wanted
    }

    /// A stream that passes what is here already lets others go first who wait to make a request.
    fn stand_back(&mut self) {
        if self.way == Way::Whole {
            self.let_others_go_first();
        }
    }

    /// Waits until more is wanted. `true` when that took so long that the lane is over, or others wait for its permit.
    async fn pause(&mut self, reads: &Reads) -> bool {
        if self.way == Way::Whole {
            self.permit = None;
        }
        let (nudge, until) = (Arc::clone(&self.nudge), Instant::now() + self.idle());
        loop {
            let mut others = std::pin::pin!(reads.requests.wanted());
            others.as_mut().enable();
            if self.let_others_go_first() {
                return self.feed.retire(self.id);
            }
            let more = async {
                tokio::select! {
                    biased;
                    () = nudge.notified() => true,
                    () = others => false,
                }
            };
            match timeout(until.saturating_duration_since(Instant::now()), more).await {
                Ok(true) => return false,
                Ok(false) => {}
                Err(_) => return self.feed.retire(self.id),
            }
        }
    }

    /// How long its request is kept while nobody wants more of it. Who comes back to a stream that is over has all of it to
    /// pass again.
    fn idle(&self) -> Duration {
        if self.way == Way::Whole { self.reads.settings.stream_idle } else { IDLE }
    }

    /// Gets `blocks`, as soon as there is leave to ask for them, and memory.
    async fn fetch(&mut self, blocks: &Range<u64>, reads: &Reads) -> Result<Fetched, ReadError> {
        self.permit(reads).await;
        let length = self.length(blocks);
        let began = Instant::now();
        if self.is_superfluous(blocks) {
            let mut left = length;
            while left > 0 {
                self.permit(reads).await;
                let passed = self.open(blocks.start).await?.skip(left).await?;
                left = left.saturating_sub(passed);
                if passed == 0 {
                    self.stand_back();
                }
            }
            self.adapt(blocks.end - blocks.start, began.elapsed());
            return Ok(Fetched::Passed);
        }
        // The memory first: a connection that waits for memory would be cut off.
        let Some(mut buffer) = self.memory(blocks, length).await? else { return Ok(Fetched::Nothing) };
        let began = Instant::now();
        if self.way == Way::Local {
            let Some(read) = self.take_from_disk(blocks, buffer).await else { return Ok(Fetched::Nothing) };
            buffer = read;
            add(&self.reads.counters.from_disk, length);
        } else {
            while !self.open(blocks.start).await?.fill(&mut buffer, |bytes| reads.arrived(bytes)).await? {
                if let Some(_standing) = reads.stand_back() {
                    self.stand_back();
                    self.permit(reads).await;
                }
            }
        }
        self.adapt(blocks.end - blocks.start, began.elapsed());
        let run = Run::new(&self.feed.identity, blocks.clone(), buffer);
        Ok(run.map_or(Fetched::Nothing, Fetched::Run))
    }

    /// Gives what was fetched to all who want it. `false` when there is nothing to be given, and the lane is over.
    async fn give(&mut self, blocks: &Range<u64>, fetched: Fetched) -> Result<bool, ReadError> {
        let run = match fetched {
            Fetched::Run(run) => run,
            Fetched::Passed => {
                self.feed.skip(self.id, blocks);
                return Ok(true);
            }
            Fetched::Nothing => return Ok(false),
        };
        let admitted = self.feed.admits(&self.reads, &run, &self.way).await?;
        if admitted {
            self.keep(&run).await;
            let is_wanted = self.feed.is_wanted(self.id, blocks);
            self.feed.land(&self.reads, self.id, &run);
            if !is_wanted {
                // It came for the disk.
                self.reads.cache.passed(&run);
            }
        }
        Ok(admitted)
    }

    /// The bytes in `blocks`.
    fn length(&self, blocks: &Range<u64>) -> u64 {
        let range = self.feed.identity.bytes(blocks);
        range.end - range.start
    }

    /// A stream passes what is here already, and what nobody has asked for where that would have to be kept in place of
    /// something else.
    fn is_superfluous(&self, blocks: &Range<u64>) -> bool {
        if self.way != Way::Whole || self.feed.is_awaited(blocks.clone()) {
            return false;
        }
        let cached = |block| self.reads.cache.has(&self.feed.identity, block);
        match self.feed.shelf.get() {
            Some(image) => blocks.clone().all(|block| image.has(block)),
            None if self.feed.is_wanted(self.id, blocks) => blocks.clone().all(cached),
            None => {
                let budget = self.reads.cache.budget();
                budget.total().saturating_sub(budget.held()) < SPARE || blocks.clone().all(cached)
            }
        }
    }

    /// Lets bytes gather that nobody waits for.
    async fn gather(&mut self, blocks: &Range<u64>) {
        let idle = self.intake.is_some() && self.reads.is_calm() && !self.feed.is_awaited(blocks.clone());
        if idle && !self.is_superfluous(blocks) {
            // A nudge only says that more is wanted, which the next step sees.
            let _ = timeout(GATHERING, self.nudge.notified()).await;
        }
    }

    async fn memory(&mut self, blocks: &Range<u64>, length: u64) -> Result<Option<Buffer>, ReadError> {
        if let Ok(buffer) = self.reads.cache.try_buffer(length) {
            return Ok(Some(buffer));
        }
        // A stream is the only way to what is behind these blocks, so that it waits for memory whoever waits for it.
        if self.way != Way::Whole && !self.feed.is_awaited(blocks.start..u64::MAX) {
            return Ok(None);
        }
        Ok(Some(self.reads.cache.buffer(length, Instant::now() + self.reads.settings.patience).await?))
    }

    /// The request, made now unless it was before.
    async fn open(&mut self, from: u64) -> Result<&mut Intake, ReadError> {
        if self.intake.is_none() {
            let end = self.feed.end_of(self.id).unwrap_or(from);
            self.is_long = self.way == Way::Whole || end > from + LONG;
        }
        if self.is_long && self.under_way.is_none() {
            self.under_way = Some(self.reads.begin_request());
        }
        let intake = match self.intake.take() {
            Some(intake) => intake,
            None => self.ask(from).await?,
        };
        Ok(self.intake.insert(intake))
    }

    async fn ask(&mut self, from: u64) -> Result<Intake, ReadError> {
        let (image, waited) = (self.feed.content.image, self.reads.settings.patience);
        let began = Instant::now();
        let stream = timeout(waited, self.request(from)).await;
        let stream = stream.map_err(|_| ReadError::TimedOut { image, waited })??;
        lock(&self.reads.pace).answered(began.elapsed());
        Ok(Intake::new(image, stream, waited, Arc::clone(&self.feed.progress)))
    }

    async fn request(&mut self, from: u64) -> Result<ByteStream, ServiceError> {
        let store = if let Way::Ranges(store) = &self.way { store.clone() } else { None };
        let source = Source { image: self.feed.content.image, size: self.feed.identity.size(), store };
        if self.way == Way::Whole {
            add(&self.reads.counters.streams, 1);
            return self.reads.service.0.read_all(&source).await;
        }
        add(&self.reads.counters.ranges, 1);
        let end = self.feed.end_of(self.id).unwrap_or(from + 1);
        self.reads.service.0.read_range(&source, self.feed.identity.bytes(&(from..end))).await
    }

    /// `None` where the disk has them no more, or not as they were written.
    async fn take_from_disk(&mut self, blocks: &Range<u64>, mut buffer: Buffer) -> Option<Buffer> {
        let (image, first) = (self.feed.shelf.get()?, blocks.start);
        let read = tokio::task::spawn_blocking(move || image.read(first, buffer.whole()).then_some(buffer));
        read.await.ok().flatten()
    }

    /// Writes a run to the disk, where there is one for it. A disk that is slower than the line sets the pace: what it
    /// misses would have to be fetched again.
    async fn keep(&mut self, run: &Run) {
        // What is under way when the last reader leaves is kept too.
        self.image = self.feed.shelf.get().or_else(|| self.image.take());
        let Some(image) = self.image.clone().filter(|_| self.way != Way::Local) else { return };
        if let Some(before) = self.writing.take() {
            // A write that failed is the disk's affair: readers have their bytes.
            let _ = before.await;
        }
        let (run, feed, reads) = (run.clone(), Arc::clone(&self.feed), Arc::clone(&self.reads));
        let work = reads.keep();
        self.writing = Some(tokio::spawn(async move {
            let write = move || {
                let bytes = run.bytes_of(run.content(), &run.range()).unwrap_or_default();
                image.write(run.blocks().start, bytes) && image.is_complete()
            };
            if tokio::task::spawn_blocking(write).await.unwrap_or(false) {
                feed.completed(&reads).await;
            }
            drop(work);
        }));
    }

    /// Makes runs shorter on a slow line, and longer on a fast one.
    fn adapt(&mut self, blocks: u64, took: Duration) {
        if took > SLOW {
            self.most = (blocks / 2).max(1);
        } else if took < SLOW / 3 {
            self.most = (self.most * 2).min(SPAN);
        }
    }
}

/// What came of asking for blocks.
enum Fetched {
    Run(Run),
    /// Nobody needs them, and the stream has passed them.
    Passed,
    /// There is no memory for them and nobody who waits, or the disk has them no more.
    Nothing,
}

/// Ends when the lane is over because nobody wants what it brings: at once where nobody has the image open any more, and
/// else when nobody has come for `idle`.
async fn forsaken(feed: &Feed, id: LaneId, nudge: &Notify, idle: Duration) {
    while !feed.abandon(id, false) {
        if !feed.is_forsaken(id) {
            nudge.notified().await;
        } else if timeout(idle, nudge.notified()).await.is_err() && feed.abandon(id, true) {
            return;
        }
    }
}

/// Tells all who wait when the task is torn down by a panic: a lane that seems to run and does not would let every reader
/// of its blocks wait until the deadline.
struct Alarm {
    feed: Arc<Feed>,
    id: LaneId,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let action = format!("read image {}", self.feed.content.image);
            let error =
                ServiceError::new(Kind::Unavailable, action).with_words("the program failed; its log says where");
            self.feed.end(self.id, Some(&error.into()));
        }
    }
}
