//! One upload: its bytes, its record, and where it is.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::blank;
use super::error::WriteError;
use super::format::{self, Format, HEAD};
use super::home::{Home, Table};
use super::job::Job;
use super::journal::{Entry, Removed};
use super::report::Report;
use super::spool::{Spool, Whence};
use super::state::{Cause, Hashes, Reason, Sealed, State};
use crate::image::{Image, ImageId};
use crate::sync::{Mutex, lock};

/// An upload of one image, from the first byte that is written until the image is active.
///
/// Lock order: `gate`, `record`, the table of all uploads, the hashes' own.
pub struct Upload {
    image: ImageId,
    pub(super) home: Arc<Home>,
    pub(super) spool: Spool,
    /// Whoever writes holds it shared, whoever seals alone, so that nothing is written into what is sealed.
    gate: RwLock<()>,
    /// Held while the record is written to the disk: by threads that may block, only.
    pub(super) record: Mutex<Record>,
    /// The same for those who may not block.
    pub(super) stage: watch::Sender<Stage>,
    pub(super) has_writer: AtomicBool,
    /// Counts who had the right to write.
    pub(super) writers: AtomicU64,
    /// How many have it open, with the right to write or without.
    holds: AtomicUsize,
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
    quiet: Mutex<Option<AbortHandle>>,
}

pub(super) struct Record {
    pub(super) job: Job,
    /// Counts how often the upload was taken back. What a worker does for an earlier one is void.
    epoch: u64,
    /// It was given up, and its folder is not its own any more.
    pub(super) is_discarded: bool,
}

/// Where an upload is, for those who wait.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) epoch: u64,
    /// Counts how often it was opened again after it was sealed.
    reopened: u64,
    pub(super) state: State,
    name: Option<String>,
    /// How old the bytes are, where somebody said so.
    pub(super) time: Option<Timestamp>,
    /// The image as it is, once it is done.
    image: Option<Arc<Image>>,
    discarded: bool,
}

/// A step that was not made.
#[derive(Debug)]
pub(super) enum Missed {
    /// The upload was taken back.
    Superseded,
    /// The record could not be written.
    Disk(io::Error),
}

/// What came of sealing.
enum Sealing {
    /// It is sealed, and goes to the queue.
    Now,
    /// It was sealed before.
    Before,
    /// The service would not take it.
    Unfit(Cause),
}

impl Sealing {
    fn of(entered: Result<(), Missed>, outcome: Self) -> io::Result<Self> {
        match entered {
            Ok(()) => Ok(outcome),
            Err(Missed::Superseded) => Ok(Self::Before),
            Err(Missed::Disk(error)) => Err(error),
        }
    }
}

/// Somebody has an upload open.
#[derive(Debug)]
pub struct Hold(Arc<Upload>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
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

/// How safe a record has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    /// From a kill.
    Kill,
    /// From a power cut too, with all bytes.
    PowerCut,
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
            holds: AtomicUsize::new(0),
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

    /// Space that the bytes take on the disk, in units of 512 bytes; a hole takes none.
    pub fn blocks(&self) -> Result<u64, WriteError> {
        self.spool.blocks().map_err(|error| self.failed("look at", error))
    }

    /// The next data or hole from `offset` on; `ENXIO` behind the end.
    pub async fn seek(self: &Arc<Self>, whence: Whence, offset: u64) -> Result<u64, WriteError> {
        self.on_spool("look at", move |upload| upload.spool.seek(whence, offset)).await
    }

    /// Whether there are data: not if it is empty, a hole, or the header and the empty tables of a disk format, as they
    /// are before a program opens the file again and writes. Such an upload is better left to
    /// [`Self::seal_when_quiet`].
    pub async fn holds_data(self: &Arc<Self>) -> Result<bool, WriteError> {
        self.on_spool("look at", |upload| {
            let first = match upload.spool.seek(Whence::Data, 0) {
                Ok(first) => Some(first),
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => None,
                Err(error) => return Err(error),
            };
            blank::holds_data(&upload.spool.file, &upload.head()?, first)
        })
        .await
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

    /// The file with the bytes, for reading by the kernel itself.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.spool.file)
    }

    /// Nobody writes any more: the bytes are complete, and the queue sends them. What was sealed already is no failure.
    ///
    /// # Errors
    /// [`WriteError::Failed`] where the bytes contradict the format that the image names: then nothing is sent, and the
    /// upload has failed. [`WriteError::Spool`] where it cannot be written down: then it is as it was.
    pub async fn seal(self: &Arc<Self>) -> Result<(), WriteError> {
        self.set_timer(None);
        self.seal_and_queue().await
    }

    async fn seal_and_queue(self: &Arc<Self>) -> Result<(), WriteError> {
        let upload = Arc::clone(self);
        let seal = move || {
            let sealed = upload.seal_now();
            // Here, because who waits for it may go away.
            if let Ok(Sealing::Now) = sealed {
                upload.home.enqueue(upload.image, upload.home.clock.now());
            }
            sealed
        };
        match self.home.blocking(seal).await.map_err(|error| self.failed("seal", error))? {
            Sealing::Unfit(cause) => Err(WriteError::Failed(cause)),
            Sealing::Now | Sealing::Before => Ok(()),
        }
    }

    fn seal_now(&self) -> io::Result<Sealing> {
        if self.home.settings.write_back {
            // Most of what the disk has to take, while who writes need not wait for it.
            self.spool.sync()?;
        }
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let (epoch, state) = self.at();
        if state != State::Writing {
            return Ok(Sealing::Before);
        }
        self.spool.is_whole()?;
        let sealed = Sealed { size: self.spool.len()?, hashes: None };
        let size = sealed.size;
        if let Some(cause) = self.unfit()? {
            let failed = State::Failed { sealed, attempt: 0, cause: cause.clone() };
            let entered = self.enter(epoch, failed, Safe::PowerCut);
            if entered.is_ok() {
                // It may be sent after all, once the image names another format.
                self.spool.digest.complete(size);
            }
            return Sealing::of(entered, Sealing::Unfit(cause));
        }
        let safe = if self.home.settings.write_back { Safe::PowerCut } else { Safe::Kill };
        let entered = match self.enter(epoch, State::Sealed(sealed.clone()), safe) {
            // Who closes is told that all is well only when the service has the bytes: a full disk need not keep them
            // from being sent.
            Err(Missed::Disk(error)) if safe == Safe::Kill => {
                tracing::warn!(image = %self.image, %error, "the record of an upload could not be written");
                self.pretend(epoch, State::Sealed(sealed))
            }
            entered => entered,
        };
        if entered.is_ok() {
            self.spool.digest.complete(size);
        }
        Sealing::of(entered, Sealing::Now)
    }

    /// Why the service would refuse these bytes, if so.
    fn unfit(&self) -> io::Result<Option<Cause>> {
        let head = self.head()?;
        let record = lock(&self.record);
        let (container, disk) = (record.job.container_format.as_deref(), record.job.disk_format.as_deref());
        Ok(format::fit(&head, container, disk).err().map(|unfit| Cause::new(Reason::Format, unfit.to_string())))
    }

    /// Makes sure that a header, where there is one already, is that of the format that the image names.
    ///
    /// # Errors
    /// [`WriteError::Failed`] where it is another one's. The upload stays as it is.
    pub async fn fits(self: &Arc<Self>) -> Result<(), WriteError> {
        let found = |upload: &Self| match format::recognise(&upload.head()?) {
            // What is empty or zeros yet may become anything.
            Ok(Format::Raw) => Ok(None),
            _ => upload.unfit(),
        };
        self.on_spool("look at", found).await?.map_or(Ok(()), |cause| Err(WriteError::Failed(cause)))
    }

    /// The first bytes, as many as tell the format.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD];
        let count = self.spool.read_at(0, &mut head)?;
        head.truncate(count);
        Ok(head)
    }

    /// Writes down that it is to be sealed unless somebody writes more: for who is told that all is well, although they have
    /// it open still. If the daemon is killed meanwhile, the next mount seals it.
    pub async fn rest(self: &Arc<Self>) -> Result<(), WriteError> {
        let safe = if self.home.settings.write_back { Safe::PowerCut } else { Safe::Kill };
        let writers = self.turn();
        self.on_spool("seal", move |upload| upload.note_rest(writers, safe)).await
    }

    /// Writes down that it rests since the last of so many writers, unless there was one more. It blocks.
    fn note_rest(&self, writers: u64, safe: Safe) -> io::Result<()> {
        let is_durable = safe == Safe::PowerCut;
        self.spool.is_whole()?;
        if is_durable {
            self.spool.sync()?;
        }
        let mut record = lock(&self.record);
        if record.job.state != State::Writing || record.job.resting || self.writers.load(Ordering::Acquire) != writers {
            return Ok(());
        }
        let mut job = record.job.clone();
        job.resting = true;
        job.durable |= is_durable;
        self.write_job(&job, is_durable)?;
        record.job = job;
        Ok(())
    }

    /// Writes down that somebody writes it again, and answers whether it rested. It blocks.
    pub(super) fn wake(&self) -> io::Result<bool> {
        let mut record = lock(&self.record);
        let rested = record.job.resting;
        if rested {
            let mut job = record.job.clone();
            (job.resting, job.durable) = (false, false);
            job.is_of_this_boot();
            self.write_job(&job, false)?;
            record.job = job;
        }
        Ok(rested)
    }

    /// Has it open: it is not taken for quiet until that is dropped.
    pub fn hold(self: &Arc<Self>) -> Hold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold(Arc::clone(self))
    }

    /// The number of those who had the right to write so far. Each has a turn of its own.
    pub fn turn(&self) -> u64 {
        self.writers.load(Ordering::Acquire)
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiters.load(Ordering::Acquire) > 0
    }

    /// Seals it once nobody has had it open for as long as [`super::Settings::quiet`]. Opening it for writing again puts
    /// that off. Called by who has the right to write, so that it is not another writer's bytes that are sealed.
    pub fn seal_when_quiet(self: &Arc<Self>) {
        self.seal_after(self.home.settings.quiet, self.turn());
    }

    /// Seals it as soon as it can be, unless there was one more than so many writers.
    pub(super) fn seal_again(self: &Arc<Self>, writers: u64) {
        self.seal_after(Duration::ZERO, writers);
    }

    fn seal_after(self: &Arc<Self>, quiet: Duration, writers: u64) {
        let upload = Arc::downgrade(self);
        let timer = self.home.runtime.spawn(async move {
            if let Some(upload) = upload.upgrade()
                && let Err(error) = upload.on_spool("seal", move |upload| upload.note_rest(writers, Safe::Kill)).await
            {
                tracing::warn!(image = %upload.image, %error, "a kill would leave an upload unsealed");
            }
            tokio::time::sleep(quiet).await;
            if let Some(upload) = upload.upgrade()
                && upload.is_quiet(writers)
                && let Err(error) = upload.seal_and_queue().await
            {
                tracing::warn!(image = %upload.image, %error, "an upload could not be sealed");
            }
        });
        self.set_timer(Some(timer.abort_handle()));
    }

    /// Whether nobody has it open, and there was nobody after so many writers.
    fn is_quiet(&self, writers: u64) -> bool {
        !self.has_writer() && self.holds.load(Ordering::Acquire) == 0 && self.turn() == writers
    }

    /// Whether it is sealed soon ([`Self::seal_when_quiet`]).
    pub(super) fn is_resting(&self) -> bool {
        lock(&self.quiet).as_ref().is_some_and(|timer| !timer.is_finished())
    }

    pub(super) fn set_timer(&self, timer: Option<AbortHandle>) {
        if let Some(before) = std::mem::replace(&mut *lock(&self.quiet), timer) {
            before.abort();
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

    pub(super) async fn on_spool<T: Send + 'static>(
        self: &Arc<Self>,
        action: &str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let upload = Arc::clone(self);
        self.home.blocking(move || work(&upload)).await.map_err(|error| self.failed(action, error))
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
    pub(super) fn formats(&self) -> (Option<String>, Option<String>) {
        let record = lock(&self.record);
        (record.job.container_format.clone(), record.job.disk_format.clone())
    }

    /// Takes over what the service shows of the image, with the next record.
    pub(super) fn learn(&self, image: &Image) {
        lock(&self.record).job.learn(image);
        self.stage.send_modify(|stage| stage.name.clone_from(&image.name));
    }

    /// Goes to `next`, for who began in `epoch`: first the record, and then nobody goes back behind it. It blocks.
    pub(super) fn enter(&self, epoch: u64, next: State, safe: Safe) -> Result<(), Missed> {
        if safe == Safe::PowerCut {
            self.spool.sync().map_err(Missed::Disk)?;
        }
        let mut record = lock(&self.record);
        if record.is_discarded || record.epoch != epoch || !record.job.state.may_become(&next) {
            return Err(Missed::Superseded);
        }
        let mut job = record.job.clone();
        if matches!(next, State::Writing | State::Sealed(_)) && !matches!(job.state, State::Failed { .. }) {
            // What was durable before may have been written to since.
            job.durable = false;
            job.is_of_this_boot();
        }
        job.resting = false;
        job.state = next.clone();
        job.durable |= safe == Safe::PowerCut;
        self.write_job(&job, safe == Safe::PowerCut).map_err(Missed::Disk)?;
        record.job = job;
        self.show(|stage| {
            stage.reopened += u64::from(next == State::Writing);
            stage.state = next;
        });
        Ok(())
    }

    pub(super) fn write_job(&self, job: &Job, durable: bool) -> io::Result<()> {
        job.write(&self.home.journal.folder(self.image), durable)?;
        if durable { self.home.journal.sync() } else { Ok(()) }
    }

    /// The same where the disk takes no record of it: in memory only.
    pub(super) fn pretend(&self, epoch: u64, next: State) -> Result<(), Missed> {
        let mut record = lock(&self.record);
        if record.epoch != epoch || !record.job.state.may_become(&next) {
            return Err(Missed::Superseded);
        }
        record.job.state = next.clone();
        self.show(|stage| stage.state = next);
        Ok(())
    }

    /// The image is active with these bytes: nothing is left to keep. It blocks.
    pub(super) fn finish(&self, epoch: u64, image: Image, table: &Table) -> Result<(), Missed> {
        let mut record = lock(&self.record);
        if record.epoch != epoch {
            return Err(Missed::Superseded);
        }
        let removed = self.home.journal.take_away(self.image);
        record.job.state = State::Done;
        drop(record);
        if let Err(error) = removed.and_then(Removed::delete) {
            // The next mount finds that it is done.
            tracing::warn!(image = %self.image, %error, "an upload that is done could not be removed from the disk");
        }
        // Before nobody finds the bytes here any more.
        self.home.finished(&image);
        lock(table).remove(&self.image);
        self.show(|stage| {
            stage.state = State::Done;
            stage.image = Some(Arc::new(image));
        });
        Ok(())
    }

    fn show(&self, change: impl FnOnce(&mut Stage)) {
        self.stage.send_modify(change);
        self.home.moved.notify_waiters();
    }

    /// From now on whatever a worker does is void. Answers the new epoch.
    pub(super) fn supersede(&self) -> u64 {
        let mut record = lock(&self.record);
        record.epoch += 1;
        let epoch = record.epoch;
        self.show(|stage| stage.epoch = epoch);
        epoch
    }

    /// Waits until what was begun in `epoch` is void.
    pub(super) async fn superseded(&self, epoch: u64) {
        let _ = self.stage.subscribe().wait_for(|stage| stage.epoch != epoch).await;
    }

    /// Removes it from the disk. It blocks.
    pub(super) fn discard(&self) -> io::Result<()> {
        self.replace(|| self.home.journal.remove(self.image))
    }

    /// Lets `work` give its folder to another upload of the image: from then on this one is not sent. It blocks.
    pub(super) fn replace<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut record = lock(&self.record);
        let done = work()?;
        record.is_discarded = true;
        drop(record);
        self.show(|stage| stage.discarded = true);
        Ok(done)
    }

    /// The hashes, where they are computed.
    pub(super) fn hashes(&self) -> Option<Hashes> {
        self.spool.digest.known()
    }
}

impl Upload {
    /// Does `work` while nobody can seal. `None` where it is sealed.
    pub(super) fn while_writing<T>(&self, work: impl FnOnce(&Spool) -> io::Result<T>) -> io::Result<Option<T>> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.if_writing(work)
    }

    /// The same where it need not be waited for. `None` also where somebody is sealing it.
    pub(super) fn if_writing_now<T>(&self, work: impl FnOnce(&Spool) -> io::Result<T>) -> io::Result<Option<T>> {
        let gate = match self.gate.try_read() {
            Ok(gate) => Some(gate),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        gate.map_or(Ok(None), |_gate| self.if_writing(work))
    }

    fn if_writing<T>(&self, work: impl FnOnce(&Spool) -> io::Result<T>) -> io::Result<Option<T>> {
        if self.stage.borrow().state == State::Writing { work(&self.spool).map(Some) } else { Ok(None) }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Upload").field("image", &self.image).field("state", &self.state()).finish_non_exhaustive()
    }
}
