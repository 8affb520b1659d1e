//! What reading tells of itself.

use std::path::PathBuf;
use std::time::Duration;

use super::Reads;
use crate::cache::disk::DiskUsage;
use crate::cache::lock;
use crate::image::ImageId;
use crate::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) ranges: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) fetched: AtomicU64,
    pub(super) from_disk: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
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
    /// Bytes that arrived from the service and became blocks.
    pub fetched: u64,
    /// Bytes that came from the disk instead.
    pub from_disk: u64,
    /// Bytes that went to readers, wherever they came from.
    pub delivered: u64,
    /// Blocks that a reader found in memory.
    pub hits: u64,
    /// Blocks that a reader had to wait for.
    pub misses: u64,
    /// Blocks in memory.
    pub cached_blocks: u64,
    /// Blocks under way.
    pub under_way: u64,
    /// Requests that are found to pay at once for one reader.
    pub lanes: u64,
    /// The time from a request for bytes to the first of them, as of late.
    pub latency: Duration,
    /// Bytes of the budget that are held, by reading and by others.
    pub memory: u64,
}

/// An image that somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The image.
    pub image: ImageId,
    /// Its length in bytes.
    pub size: u64,
    /// Open files of it.
    pub readers: u64,
    /// The end of the furthest byte that a reader was given since the first of them opened it.
    pub reached: u64,
    /// Bytes that streams of the whole image have to pass, at most, before those that a reader waits for.
    pub to_pass: u64,
}

/// Blocks on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that they may take.
    pub size: u64,
    /// What they take now, of all mounts that use the folder.
    pub usage: DiskUsage,
}

impl Reads {
    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let under_way = lock(&self.feeds).iter().map(|(_, feed)| feed.count()).sum();
        let pace = lock(&self.pace);
        let (lanes, latency) = (pace.lanes(), pace.latency());
        drop(pace);
        Stats {
            readers: count(&self.open),
            ranges: count(&self.counters.ranges),
            streams: count(&self.counters.streams),
            fetched: count(&self.counters.fetched),
            from_disk: count(&self.counters.from_disk),
            delivered: count(&self.counters.delivered),
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            cached_blocks: self.cache.count(),
            under_way,
            lanes,
            latency,
            memory: self.cache.budget().held(),
        }
    }

    /// What is being read.
    pub fn downloads(&self) -> Vec<Download> {
        lock(&self.feeds).iter().filter_map(|(_, feed)| feed.download()).collect()
    }

    /// How full the cache on disk is. `None` where there is none, or it cannot be looked at.
    pub fn kept_on_disk(&self) -> Option<Kept> {
        let settings = self.settings.disk.as_ref()?;
        let usage = self.disk.as_ref()?.usage().ok()?;
        Some(Kept { folder: settings.folder.clone(), size: settings.size, usage })
    }
}
