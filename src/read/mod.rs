//! Readers of image data: ranged fetches in single flight, the shared stream, verification.
//!
//! A [`Reader`] stands for one open file. Its reads are cut into blocks; a block comes out of the cache, joins a fetch
//! that is under way, or starts one. A fetch is a task of its own: readers come and go, and it neither dies with one nor
//! hangs on for one. Where an image's store answers no ranges, all readers of the image share one stream of the whole.

mod cursor;
mod error;
mod fetch;
mod flight;
mod hash;
mod intake;
mod reader;
mod route;
mod spool;
mod stream;
mod verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use error::ReadError;
pub use reader::Reader;
pub use verify::Verified;

use crate::budget::{Budget, Exhausted};
use crate::cache::{BLOCK, Cache, Identity, lock};
use crate::image::{Checksums, ImageId};
use crate::service::ImageService;
use flight::Flights;
use route::Routes;
use stream::Stream;

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
    pub stores: Vec<String>,
}

/// How reading is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that are fetched ahead of a sequential reader at most.
    pub read_ahead: u64,
    /// How long a read waits without anything arriving for it.
    pub patience: Duration,
    /// A folder for what streams let pass, so that going back in an image needs no second stream. A file there has no
    /// name and lives for as long as readers of its image do. `None`, or a folder without enough space: going back
    /// beyond what is in memory starts the stream over.
    pub spool: Option<PathBuf>,
    /// How long a stream is kept open while nobody wants more of it.
    pub stream_idle: Duration,
    /// Ranged requests under way at once, over all readers, at most; at least 1.
    pub max_parallel: usize,
    /// Where blocks are kept from mount to mount; `None`: only in memory, for as long as the mount lives.
    pub disk: Option<Disk>,
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
            // A request costs the service 11 ms and a further 0.5 ms a MiB: with 8 MiB most of it goes into bytes.
            read_ahead: 8 << 20,
            // Longer than a service's restart takes, shorter than the patience of who looks at a frozen program.
            patience: Duration::from_mins(2),
            spool: Some(spool::default_folder()),
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

/// Requests under way at once, over all readers; memory for that many blocks must be had beside the replies.
const REQUESTS: u64 = 16;

/// Everything that reads images of one mount.
#[derive(Debug)]
pub struct Reads {
    service: Service,
    settings: Settings,
    cache: Cache,
    flights: Arc<Flights>,
    routes: Mutex<Routes>,
    streams: Mutex<HashMap<Identity, Weak<Stream>>>,
    /// A permit for each ranged request.
    requests: Semaphore,
    /// A permit for each KiB of replies that are being put together. Only these hold memory while they wait for more of
    /// it; as they can have a quarter of the budget at most, somebody always goes on.
    replies: Semaphore,
    replies_kib: u32,
    open: AtomicU64,
    counters: Counters,
}

/// The service, which has nothing to show in a log.
struct Service(Arc<dyn ImageService>);

impl std::fmt::Debug for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ImageService")
    }
}

#[derive(Debug, Default)]
struct Counters {
    ranges: AtomicU64,
    streams: AtomicU64,
    fetched: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What reading did since the mount, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Open readers.
    pub readers: u64,
    /// Ranged requests made.
    pub ranges: u64,
    /// Streams of whole images begun.
    pub streams: u64,
    /// Bytes that arrived and became blocks.
    pub fetched: u64,
    /// Blocks that a reader found in memory.
    pub hits: u64,
    /// Blocks that a reader had to wait for.
    pub misses: u64,
    /// Blocks in memory.
    pub cached_blocks: u64,
    /// Blocks under way.
    pub flights: u64,
    /// Bytes of the budget that are held, by reading and by others.
    pub memory: u64,
}

impl Reads {
    /// Reading from `service` with memory out of `budget`. Its readers are to be used inside a tokio runtime.
    pub fn new(service: Arc<dyn ImageService>, budget: Budget, settings: Settings) -> Arc<Self> {
        let quarter = budget.total() / 4;
        let replies_kib = u32::try_from(quarter / 1024).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3);
        let requests = (quarter / BLOCK).clamp(1, REQUESTS);
        Arc::new(Self {
            service: Service(service),
            settings,
            cache: Cache::new(budget),
            flights: Arc::default(),
            routes: Mutex::default(),
            streams: Mutex::default(),
            requests: Semaphore::new(usize::try_from(requests).unwrap_or(1)),
            replies: Semaphore::new(usize::try_from(replies_kib).unwrap_or(1)),
            replies_kib,
            open: AtomicU64::new(0),
            counters: Counters::default(),
        })
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
        Ok(Reader::new(Arc::clone(self), content))
    }

    /// Refuses a reply that would leave too little memory for the blocks that it is made of.
    fn refuse_beyond_half(&self, length: u64) -> Result<(), Exhausted> {
        let total = self.cache.budget().total();
        if length > total / 2 { Err(Exhausted { wanted: length, left: total / 2, total }) } else { Ok(()) }
    }

    /// The whole of `content` as a local file whose hash was compared with the service's, if there is one.
    pub fn sealed(&self, _content: &Content) -> Option<Arc<std::fs::File>> {
        None
    }

    /// Drops what is cached of an image: it was deleted, or has another hash now.
    pub fn forget(&self, image: ImageId) {
        lock(&self.streams).retain(|content, _| content.image() != image);
        self.cache.forget_image(image);
    }

    /// Drops what is cached of bytes that proved to be damaged.
    fn distrust(&self, content: &Identity) {
        lock(&self.streams).remove(content);
        self.cache.forget_content(content);
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            readers: count(&self.open),
            ranges: count(&self.counters.ranges),
            streams: count(&self.counters.streams),
            fetched: count(&self.counters.fetched),
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            cached_blocks: u64::try_from(self.cache.count()).unwrap_or(u64::MAX),
            flights: u64::try_from(self.flights.count()).unwrap_or(u64::MAX),
            memory: self.cache.budget().held(),
        }
    }

    /// Blocks to fetch ahead of one reader: the readers share a quarter of the budget, so that what is fetched for one
    /// is not driven out by another before it is read.
    fn window(&self) -> u64 {
        let share = self.cache.budget().total() / 4 / self.open.load(Ordering::Relaxed).max(1);
        self.settings.read_ahead.min(share) / BLOCK
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
