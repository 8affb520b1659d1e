//! Readers of image data: ranged fetches in single flight, the shared stream, verification.
//!
//! A [`Reader`] stands for one open file. Its reads are cut into blocks; a block comes out of the cache, is waited for on
//! a lane that is under way, or starts one. A lane is one request and a task of its own: readers come and go, and it
//! neither dies with one nor hangs on for one. Where an image's store answers no ranges, all readers of the image share
//! a lane with a stream of the whole, and who falls behind it has another one.

mod board;
mod cursor;
mod division;
mod error;
mod feed;
mod intake;
mod keeping;
mod lane;
mod pace;
mod proof;
mod proving;
mod reader;
mod requests;
mod route;
mod seen;
mod shelf;
mod stats;

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod interleavings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use division::{CONNECTION, Division};
pub use error::ReadError;
pub use proof::Verified;
pub use reader::Reader;
pub use stats::{Download, Kept, Stats};

use crate::budget::{Budget, Exhausted};
use crate::cache::disk::{DiskCache, DiskError, DiskSettings};
use crate::cache::{BLOCK, Cache, Identity, SPAN, lock};
use crate::image::{Checksums, ImageId, Text};
use crate::service::ImageService;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use cursor::Room;
use feed::Feed;
use keeping::{Keeping, Work};
use pace::{PART, Pace, SHORTEST_PART};
use requests::Requests;
use route::Routes;
use stats::Counters;

/// What is read: the bytes of one image, in the one version that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// The image.
    pub image: ImageId,
    /// Its length in bytes.
    pub size: u64,
    /// The hashes that the service shows.
    pub checksums: Checksums,
    /// The ids of the stores that hold it, where the service tells.
    pub stores: Vec<Text>,
}

/// How reading is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a read waits without anything arriving for it.
    pub patience: Duration,
    /// A folder for what streams let pass, so that going back in an image needs no second stream. A file there has no
    /// name and lives for as long as readers of its image do. `None`, or a folder without enough space: for who goes back
    /// beyond what is in memory another stream begins.
    pub spool: Option<PathBuf>,
    /// How long a stream is kept open while nobody wants more of it.
    pub stream_idle: Duration,
    /// Ranged requests open at once, over all readers, at most; at least 1.
    pub max_parallel: usize,
    /// Where blocks are kept from mount to mount; `None`: only in memory, for as long as the mount lives.
    pub disk: Option<Disk>,
}

impl Disk {
    fn open(&self) -> Result<DiskCache, DiskError> {
        DiskCache::open(&DiskSettings { folder: self.folder.clone(), size: self.size, floor: None })
    }
}

/// A place for blocks on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The folder, as an absolute path; it may be missing, and others may use it at the same time.
    pub folder: PathBuf,
    /// Bytes that the blocks there may take.
    pub size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Longer than a service's restart takes, shorter than the patience of who looks at a frozen program.
            patience: Duration::from_mins(2),
            spool: Some(shelf::default_folder()),
            // Servers cut off who stands still for about 90 s.
            stream_idle: Duration::from_mins(1),
            // Enough for a path of 20 ms and 100 MB/s a connection; more would be felt by others who use the service.
            max_parallel: 16,
            disk: None,
        }
    }
}

/// Bytes of budget without which reading makes no progress: a reply of 1 MiB, the largest that the kernel asks for, the
/// blocks to make it of, and the next ones under way.
pub const MINIMUM: u64 = 4 << 20;

/// Contents that are remembered after the last reader has closed them: how far they are proved, and so whether the pages
/// that the kernel still has of them were seen by a reader of ours.
const REMEMBERED: usize = 256;

/// Bytes that these may take, all but the last one: what is known of 256 GiB.
const REMEMBERED_BYTES: usize = 8 << 20;

/// Everything that reads images of one mount.
#[derive(Debug)]
pub struct Reads {
    service: Service,
    settings: Settings,
    cache: Cache,
    disk: Option<DiskCache>,
    keeping: Keeping,
    routes: Mutex<Routes>,
    feeds: Mutex<LruCache<Identity, Arc<Feed>>>,
    pace: Mutex<Pace>,
    began: Instant,
    requests: Arc<Requests>,
    /// A permit for each KiB of replies that are being put together. Only these hold memory while they wait for more of
    /// it; as they can have a quarter of the budget at most, somebody always goes on.
    replies: Semaphore,
    replies_kib: u32,
    open: AtomicU64,
    /// Lanes that hold a buffer and have given their permit to others.
    standing: AtomicU64,
    counters: Counters,
}

/// The service, which has nothing to show in a log.
struct Service(Arc<dyn ImageService>);

impl std::fmt::Debug for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ImageService")
    }
}

impl Reads {
    /// Reading from `service` with memory out of `budget`. Its readers are to be used inside a tokio runtime.
    ///
    /// # Errors
    /// Where the folder that blocks are to be kept in cannot be used.
    pub fn new(service: Arc<dyn ImageService>, budget: Budget, settings: Settings) -> Result<Arc<Self>, DiskError> {
        let disk = settings.disk.as_ref().map(Disk::open).transpose()?;
        let quarter = budget.total() / 4;
        let replies_kib = u32::try_from(quarter / 1024).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3);
        // Each request fills one buffer.
        let buffers = usize::try_from(quarter / (SPAN * BLOCK)).unwrap_or(usize::MAX);
        let requests = settings.max_parallel.min(buffers).max(1);
        Ok(Arc::new(Self {
            service: Service(service),
            settings,
            cache: Cache::new(budget),
            disk,
            keeping: Keeping::new(),
            routes: Mutex::default(),
            feeds: Mutex::new(LruCache::unbounded()),
            pace: Mutex::new(Pace::new(u64::try_from(requests).unwrap_or(1))),
            began: Instant::now(),
            requests: Requests::new(requests),
            replies: Semaphore::new(usize::try_from(replies_kib).unwrap_or(1)),
            replies_kib,
            open: AtomicU64::new(0),
            standing: AtomicU64::new(0),
            counters: Counters::default(),
        }))
    }

    /// A reader of `content`, for one open file.
    ///
    /// # Errors
    /// [`ReadError::Memory`] when others hold so much of the budget that reading would make no progress.
    pub fn open(self: &Arc<Self>, content: Content) -> Result<Reader, ReadError> {
        let total = self.cache.budget().total();
        let left = total.saturating_sub(self.cache.held_by_others());
        if left < MINIMUM {
            return Err(Exhausted { wanted: MINIMUM, left, total }.into());
        }
        Ok(Reader::new(Arc::clone(self), self.feed(content)))
    }

    /// What is known of a content and under way for it.
    fn feed(&self, content: Content) -> Arc<Feed> {
        let identity = Identity::new(content.image, content.size, content.checksums.clone());
        let mut feeds = lock(&self.feeds);
        let known = feeds.get(&identity).filter(|feed| feed.content.stores == content.stores);
        if let Some(feed) = known {
            return Arc::clone(feed);
        }
        let feed = Arc::new(Feed::new(content, identity.clone(), self.cache.budget().total()));
        feeds.put(identity, Arc::clone(&feed));
        forget_oldest(&mut feeds);
        feed
    }

    /// Somebody closed an image.
    fn forget_oldest(&self) {
        forget_oldest(&mut lock(&self.feeds));
    }

    /// How much of a content was compared with the service's hash; `None` where nothing is known of it.
    pub fn verified(&self, content: &Content) -> Option<Verified> {
        let identity = Identity::new(content.image, content.size, content.checksums.clone());
        lock(&self.feeds).peek(&identity).map(|feed| feed.proof.verified())
    }

    /// Whether a verdict on a content, or its absence, is one on all that readers were given of it.
    pub fn remembers(&self, content: &Content) -> bool {
        let identity = Identity::new(content.image, content.size, content.checksums.clone());
        lock(&self.feeds).peek(&identity).is_some_and(|feed| feed.content.stores == content.stores && feed.was_opened())
    }

    /// Refuses a reply that would leave too little memory for the blocks that it is made of.
    fn refuse_beyond_half(&self, length: u64) -> Result<(), Exhausted> {
        let total = self.cache.budget().total();
        if length > total / 2 { Err(Exhausted { wanted: length, left: total / 2, total }) } else { Ok(()) }
    }

    /// The whole of `content` as a local file whose hash was compared with the service's, if there is one.
    pub async fn sealed(self: &Arc<Self>, content: &Content) -> Option<Arc<std::fs::File>> {
        self.disk.as_ref()?;
        let feed = self.feed(content.clone());
        let is_ours = feed.prepare(self).await;
        let file = feed.shelf.get().and_then(|image| image.sealed_file());
        if file.is_some() {
            // Somebody else may have sealed it since it was looked for.
            feed.trust_seal(self).await;
        }
        // The file is right for as long as it is open, also when the cache has dropped it.
        if is_ours {
            feed.close_if_idle();
        }
        file
    }

    /// Something is done for the cache on disk for as long as the answer lives. `None` where there is none.
    fn keep(&self) -> Option<Work> {
        self.disk.is_some().then(|| self.keeping.begin())
    }

    /// Whether images are being written to the cache on disk, proved there or sealed.
    pub fn is_keeping(&self) -> bool {
        self.keeping.is_busy()
    }

    /// Waits until what has been read is kept: all of it written to the cache on disk, and what is complete there proved and
    /// sealed. While somebody reads, that may be never.
    pub async fn kept(&self) {
        self.keeping.ended().await;
    }

    /// Drops what is cached of an image: it was deleted, or has another hash now.
    pub fn forget(&self, image: ImageId) {
        let mut feeds = lock(&self.feeds);
        let gone: Vec<Identity> =
            feeds.iter().map(|(identity, _)| identity).filter(|it| it.image() == image).cloned().collect();
        for identity in &gone {
            feeds.pop(identity);
        }
        drop(feeds);
        self.cache.forget_image(image);
    }

    /// Drops what is cached of bytes that proved to be damaged.
    async fn distrust(self: &Arc<Self>, content: &Identity) {
        lock(&self.feeds).pop(content);
        self.cache.forget_content(content);
        self.forget_on_disk(content).await;
    }

    async fn forget_on_disk(self: &Arc<Self>, content: &Identity) {
        let (reads, content) = (Arc::clone(self), content.clone());
        let forget = move || reads.disk.as_ref().map(|disk| disk.forget(&content));
        // It fails only when the runtime ends, and then all is over.
        let _ = tokio::task::spawn_blocking(forget).await;
    }

    /// Bytes of the budget for what is fetched ahead of one reader: the readers share half of it, so that what is
    /// fetched for one is not driven out by another before it is read.
    fn share(&self) -> u64 {
        self.cache.budget().total() / 2 / self.open.load(Ordering::Relaxed).max(1)
    }

    /// What may be fetched ahead of one reader.
    fn room(&self) -> Room {
        let ((lanes, part), share) = (self.lanes(), self.share());
        Room { window: (lanes * part).min(share) / BLOCK, handle: share / BLOCK }
    }

    /// Requests to make at once for one reader, and the length of each, in bytes.
    fn lanes(&self) -> (u64, u64) {
        let share = self.share();
        let pace = lock(&self.pace);
        let (lanes, part) = (pace.lanes(), pace.part());
        let lanes = lanes.min(share / SHORTEST_PART).max(1);
        (lanes, (share / lanes).clamp(SHORTEST_PART, part))
    }

    /// Whether readers have what they want in time.
    fn is_calm(&self) -> bool {
        lock(&self.pace).is_calm()
    }

    /// How many blocks a request may go beyond what is wanted now. Where there are more readers than requests, none is so
    /// long that it would have to be cut off for somebody else.
    fn longest_request(&self) -> u64 {
        let readers = usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if readers <= self.requests.most() { u64::MAX } else { PART / BLOCK }
    }

    /// How many blocks before a read may be wanted soon: of the kernel's read-ahead, 4 MiB, the end may arrive first.
    fn near(&self) -> u64 {
        (self.cache.budget().total() / 16).min(4 << 20) / BLOCK
    }

    /// The most blocks that one buffer may hold, so that sixteen of them fit into the budget.
    fn longest_run(&self) -> u64 {
        (self.cache.budget().total() / 16 / BLOCK).clamp(1, SPAN)
    }

    /// Bytes of one content that may wait for its hash.
    fn hash_room(&self) -> u64 {
        self.cache.budget().total() / 4 / self.open.load(Ordering::Relaxed).max(1)
    }

    fn arrived(&self, bytes: u64) {
        add(&self.counters.fetched, bytes);
        lock(&self.pace).arrived(self.began.elapsed(), bytes);
    }

    /// A reader has taken bytes; if he is `passing`, they were fetched ahead of him.
    fn taken(&self, bytes: u64, passing: bool) {
        add(&self.counters.delivered, bytes);
        if passing {
            lock(&self.pace).taken(self.began.elapsed(), bytes);
        }
    }

    /// Who holds a buffer without a permit may do so for as long as the answer lives. `None` where as many do as have one:
    /// all of them would hold the memory that somebody with a permit waits for.
    fn stand_back(&self) -> Option<Standing<'_>> {
        let standing = Standing(&self.standing);
        let before = self.standing.fetch_add(1, Ordering::Relaxed);
        (before < u64::try_from(self.requests.most()).unwrap_or(u64::MAX)).then_some(standing)
    }

    /// A request brings bytes for as long as the answer lives.
    fn begin_request(self: &Arc<Self>) -> UnderWay {
        lock(&self.pace).begins(self.began.elapsed());
        UnderWay(Arc::clone(self))
    }

    /// A reader waits for as long as the answer lives.
    fn begin_to_wait(&self) -> Waiting<'_> {
        lock(&self.pace).wait(self.began.elapsed());
        Waiting(self)
    }
}

/// Forgets contents that nobody has open, those first that were opened longest ago, where they are too many or too much is
/// known of them. The last one stays however much that is.
fn forget_oldest(feeds: &mut LruCache<Identity, Arc<Feed>>) {
    let (mut count, mut bytes) = (0, 0);
    let is_beyond = |(_, feed): &(&Identity, &Arc<Feed>)| {
        (count, bytes) = (count + 1, bytes + feed.proof.bytes());
        count > REMEMBERED || (count > 1 && bytes > REMEMBERED_BYTES)
    };
    let idle = feeds.iter().filter(|(_, feed)| feed.is_idle());
    let beyond: Vec<Identity> = idle.filter(is_beyond).map(|(identity, _)| identity.clone()).collect();
    for identity in &beyond {
        feeds.pop(identity);
    }
}

/// A request that brings bytes.
#[derive(Debug)]
struct UnderWay(Arc<Reads>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0.pace).ends(self.0.began.elapsed());
    }
}

struct Standing<'a>(&'a AtomicU64);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Waiting<'a>(&'a Reads);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.pace).served(self.0.began.elapsed());
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
