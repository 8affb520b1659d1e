//! One upload: its bytes, its record, and where it is.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::SMALL;
use super::error::WriteError;
use super::format::HEAD;
use super::home::Home;
use super::job::Job;
use super::journal::Entry;
use super::report::Report;
use super::spool::Spool;
use super::state::{Cause, Hashes, State};
use crate::image::{Image, ImageId, Text};
use crate::sync::{Mutex, lock};

/// An upload of one image, from the first byte that is written until the image is active.
///
/// Lock order: `gate`, `record`, the table of all uploads, the hashes' own.
pub struct Upload {
    image: ImageId,
    pub(super) home: Arc<Home>,
    pub(super) spool: Spool,
    /// Whoever writes holds it shared, whoever seals alone, so that nothing is written into what is sealed.
    pub(super) gate: RwLock<()>,
    /// Held while the record is written to the disk: by threads that may block, only.
    pub(super) record: Mutex<Record>,
    /// The same for those who may not block.
    pub(super) stage: watch::Sender<Stage>,
    pub(super) has_writer: AtomicBool,
    /// Counts who had the right to write.
    pub(super) writers: AtomicU64,
    /// The turn of the last who had that right and left nothing that is to be sent.
    pub(super) left: AtomicU64,
    /// How many have it open, with the right to write or without.
    pub(super) holds: AtomicUsize,
    /// How many change something else of its image.
    pub(super) stirrers: AtomicUsize,
    /// Somebody said that the image is to stay queued: no bytes are not sent.
    pub(super) stays_queued: AtomicBool,
    /// How many wait until it is settled.
    waiters: AtomicUsize,
    /// The image was queued when it was opened, and nothing was sent since.
    pub(super) is_certain: AtomicBool,
    /// Held by the worker that sends it.
    pub(super) working: tokio::sync::Mutex<()>,
    /// Bytes that this try has sent, and when it began.
    pub(super) sent: AtomicU64,
    pub(super) began: Mutex<Option<Instant>>,
    /// Seals it when nobody writes for a while.
    pub(super) quiet: Mutex<Option<AbortHandle>>,
}

pub(super) struct Record {
    pub(super) job: Job,
    /// Counts how often the upload was taken back. What a worker does for an earlier one is void.
    pub(super) epoch: u64,
    /// It was given up, and its folder is not its own any more.
    pub(super) is_discarded: bool,
}

/// Where an upload is, for those who wait.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) epoch: u64,
    /// Counts how often it was opened again after it was sealed.
    pub(super) reopened: u64,
    pub(super) state: State,
    name: Option<String>,
    /// How old the bytes are, where somebody said so.
    pub(super) time: Option<Timestamp>,
    /// The image as it is, once it is done.
    pub(super) image: Option<Arc<Image>>,
    pub(super) discarded: bool,
}

/// Somebody waits.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Upload {
    pub(super) fn new(home: Arc<Home>, entry: Entry) -> Self {
        let spool = Spool::new(entry.data, home.runtime.clone());
        Self::of(home, entry.image, entry.job, spool)
    }

    /// The upload of these bytes.
    pub(super) fn of(home: Arc<Home>, image: ImageId, job: Job, spool: Spool) -> Self {
        if let Some(sealed) = job.state.sealed() {
            spool.digest.complete(sealed.size);
            if let Some(hashes) = &sealed.hashes {
                spool.digest.know(hashes.clone());
            }
        }
        let stage = Stage {
            epoch: 0,
            reopened: 0,
            state: job.state.clone(),
            name: job.name.clone(),
            time: job.time,
            image: None,
            discarded: false,
        };
        Self {
            image,
            home,
            spool,
            gate: RwLock::new(()),
            record: Mutex::new(Record { job, epoch: 0, is_discarded: false }),
            stage: watch::Sender::new(stage),
            has_writer: AtomicBool::new(false),
            writers: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
            holds: AtomicUsize::new(0),
            stirrers: AtomicUsize::new(0),
            stays_queued: AtomicBool::new(false),
            waiters: AtomicUsize::new(0),
            is_certain: AtomicBool::new(false),
            working: tokio::sync::Mutex::new(()),
            sent: AtomicU64::new(0),
            began: Mutex::new(None),
            quiet: Mutex::new(None),
        }
    }

    /// The image.
    pub fn image(&self) -> ImageId {
        self.image
    }

    /// Where the upload is.
    pub fn state(&self) -> State {
        self.stage.borrow().state.clone()
    }

    /// Whether somebody has it open for writing.
    pub fn has_writer(&self) -> bool {
        self.has_writer.load(Ordering::Acquire)
    }

    /// The upload as people see it.
    pub fn report(&self) -> Report {
        let stage = self.stage.borrow().clone();
        let size = stage.state.sealed().map_or_else(|| self.spool.len().unwrap_or_default(), |sealed| sealed.size);
        let sent = self.sent.load(Ordering::Acquire);
        let sending = matches!(stage.state, State::Sending { .. });
        let took = lock(&self.began).map(|began| began.elapsed()).filter(|_| sending);
        let rate = took.and_then(|took| u128::from(sent).saturating_mul(1000).checked_div(took.as_millis()));
        Report {
            image: self.image,
            name: stage.name,
            state: stage.state,
            has_writer: self.has_writer(),
            is_resting: self.is_resting(),
            size,
            sent,
            rate: rate.and_then(|rate| u64::try_from(rate).ok()),
        }
    }

    /// Up to `length` bytes from `offset` on; fewer at the end.
    pub async fn read_at(self: &Arc<Self>, offset: u64, length: usize) -> Result<Bytes, WriteError> {
        self.on_spool("read", move |upload| {
            let mut bytes = vec![0; length];
            let count = upload.spool.read_at(offset, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes.into())
        })
        .await
    }

    /// The length in bytes.
    pub fn len(&self) -> Result<u64, WriteError> {
        self.spool.len().map_err(|error| self.failed("look at", error))
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> Result<bool, WriteError> {
        Ok(self.len()? == 0)
    }

    /// Makes what was written so far survive a power cut. It seals nothing.
    pub async fn sync(self: &Arc<Self>) -> Result<(), WriteError> {
        self.on_spool("sync", |upload| {
            upload.spool.sync()?;
            let mut record = lock(&upload.record);
            if record.is_discarded {
                return Ok(());
            }
            let mut job = record.job.clone();
            job.durable = true;
            upload.write_job(&job, true)?;
            record.job = job;
            Ok(())
        })
        .await
    }

    /// The file with the bytes.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.spool.file)
    }

    /// The first bytes, as many as tell the format.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD];
        let count = self.spool.read_at(0, &mut head)?;
        head.truncate(count);
        Ok(head)
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiters.load(Ordering::Acquire) > 0
    }

    /// It failed. Who waits for it is told; where nobody does, who looks after the failures of the mount.
    pub(super) fn fails_behind(&self, cause: &Cause) {
        if let Some(told) = self.home.failed.get().filter(|_| !self.is_awaited()) {
            told(self.image(), cause.clone());
        }
    }

    /// Waits until the image is active with these bytes, and answers it as it is then.
    ///
    /// # Errors
    /// [`WriteError::Failed`] with the cause, once the upload is given up; [`WriteError::Reopened`] and
    /// [`WriteError::Discarded`] where somebody else saw to it that it is not sent.
    pub async fn settled(&self) -> Result<Arc<Image>, WriteError> {
        let _waiter = Waiter::of(&self.waiters);
        let mut stages = self.stage.subscribe();
        let reopened = stages.borrow().reopened;
        let is_settled = |stage: &Stage| {
            let outcome = matches!(stage.state, State::Done | State::Failed { .. });
            outcome || stage.reopened != reopened || stage.discarded
        };
        let stage = stages.wait_for(is_settled).await.map_err(|_| WriteError::Closed)?.clone();
        match (stage.discarded, stage.state, stage.image) {
            (true, ..) => Err(WriteError::Discarded(self.image)),
            _ if stage.reopened != reopened => Err(WriteError::Reopened(self.image)),
            (_, State::Done, Some(image)) => Ok(image),
            (_, State::Failed { cause, .. }, _) => Err(WriteError::Failed(cause)),
            _ => Err(WriteError::Closed),
        }
    }

    /// Waits until it is under way no more, whatever came of it; not where somebody else waits for it, who knows what he
    /// does beside it. Answers whether it was waited for.
    pub async fn is_over(&self) -> bool {
        let mut stages = self.stage.subscribe();
        let is_under_way = |stage: &Stage| stage.state.is_under_way() && !stage.discarded;
        if self.is_awaited() || !is_under_way(&stages.borrow()) {
            return false;
        }
        stages.wait_for(|stage| !is_under_way(stage)).await.is_ok()
    }

    pub(super) async fn on_spool<T: Send + 'static>(
        self: &Arc<Self>,
        action: &str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let upload = Arc::clone(self);
        self.home.blocking(move || work(&upload)).await.map_err(|error| self.failed(action, error))
    }

    /// The same for a step that is brief as long as there are few bytes.
    pub(super) async fn step<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (upload, is_brief) = (Arc::clone(self), self.is_small());
        let work = move || work(&upload);
        if is_brief { self.home.briefly(work).await } else { self.home.blocking(work).await }
    }

    /// Whether it has so few bytes that no step of it takes long, and none of them waits for the disk.
    pub(super) fn is_small(&self) -> bool {
        !self.home.settings.write_back && self.spool.len().is_ok_and(|length| length <= SMALL)
    }

    pub(super) fn failed(&self, action: &str, error: io::Error) -> WriteError {
        WriteError::spool(format!("{action} the spool of image {}", self.image), error)
    }

    /// Where the worker has to begin.
    pub(super) fn at(&self) -> (u64, State) {
        let stage = self.stage.borrow();
        (stage.epoch, stage.state.clone())
    }

    /// The formats that the image names, as far as is known.
    pub(super) fn formats(&self) -> (Option<Text>, Option<Text>) {
        let record = lock(&self.record);
        (record.job.container_format.clone(), record.job.disk_format.clone())
    }

    /// Takes over what the service shows of the image, with the next record.
    pub(super) fn learn(&self, image: &Image) {
        lock(&self.record).job.learn(image);
        self.stage.send_modify(|stage| stage.name.clone_from(&image.name));
    }

    /// The hashes, where they are computed.
    pub(super) fn hashes(&self) -> Option<Hashes> {
        self.spool.digest.known()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Upload").field("image", &self.image).field("state", &self.state()).finish_non_exhaustive()
    }
}
