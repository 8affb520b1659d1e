//! From bytes that are being written to bytes that are complete: who holds an upload open, who closes it, and when it rests.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::blank;
use super::error::WriteError;
use super::format::{self, Format};
use super::record::{Missed, Safe};
use super::spool::Spool;
use super::state::{Cause, Sealed, State};
use super::upload::Upload;
use crate::sync::lock;

/// What came of sealing.
enum Sealing {
    /// It is sealed, and goes to the queue.
    Now,
    /// It was sealed before.
    Before,
    /// The service would not take it.
    Unfit(Cause),
    /// There are no bytes, and none are not what the image is to be.
    Nothing,
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

impl Upload {
    /// Whether there are data: not if it is empty, a hole, or the header and the empty tables of a disk format, as they
    /// are before a program opens the file again and writes. It blocks.
    fn holds_data(&self) -> io::Result<bool> {
        // Before anything is read: pages of reserved space that were read count as written.
        let first = self.spool.first_data()?;
        blank::holds_data(&self.spool.file, &self.head()?, first)
    }

    /// Nobody writes any more: the bytes are complete, and the queue sends them. What was sealed already is no failure. No
    /// bytes are sent too, but to an image of a format that they are not: that goes on waiting for data.
    ///
    /// # Errors
    /// [`WriteError::Failed`] where the bytes contradict the format that the image names: then nothing is sent, and the
    /// upload has failed. [`WriteError::Spool`] where it cannot be written down: then it is as it was.
    pub async fn seal(self: &Arc<Self>) -> Result<(), WriteError> {
        self.set_timer(None);
        self.seal_and_queue().await
    }

    async fn seal_and_queue(self: &Arc<Self>) -> Result<(), WriteError> {
        let sealed = self.on_spool("seal", Self::seal_now_and_queue).await?;
        sealed.map_err(WriteError::Failed)
    }

    /// Seals it and gives it to the queue, or answers why the service would refuse it. It blocks. Both are one step, because
    /// who waits for it may go away.
    fn seal_now_and_queue(&self) -> io::Result<Result<(), Cause>> {
        match self.seal_now()? {
            Sealing::Unfit(cause) => return Ok(Err(cause)),
            Sealing::Now => self.home.enqueue(self.image(), self.home.clock.now()),
            Sealing::Nothing => self.is_left(self.turn()),
            Sealing::Before => {}
        }
        Ok(Ok(()))
    }

    /// Who wrote has closed it. What holds data is sealed, and `true` is answered. Programs that make a file first and fill
    /// it later close it in between: what holds none is noted to be sealed unless somebody writes more, also by the next
    /// mount if this one is killed.
    ///
    /// # Errors
    /// As [`Self::seal`]; also where a header is there already, of another format than the image names.
    pub async fn close(self: &Arc<Self>) -> Result<bool, WriteError> {
        self.set_timer(None);
        let turn = self.turn();
        let close = move |upload: &Self| {
            if upload.holds_data()? {
                return Ok(upload.seal_now_and_queue()?.map(|()| true));
            }
            if let Some(cause) = upload.unfit_header()? {
                return Ok(Err(cause));
            }
            let safe = if upload.home.settings.write_back { Safe::PowerCut } else { Safe::Kill };
            upload.note_rest(turn, safe).map(|()| Ok(false))
        };
        let closed = self.step(close).await.map_err(|error| self.failed("seal", error))?;
        closed.map_err(WriteError::Failed)
    }

    /// Somebody wants the image to be active: what rests, and nobody has open, is sealed now. Answers whether the upload is
    /// under way.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub async fn hasten(self: &Arc<Self>) -> Result<bool, WriteError> {
        self.stays_queued.store(false, Ordering::Release);
        if self.is_resting() && self.is_quiet(self.turn()) {
            self.seal().await?;
        }
        Ok(self.state().is_under_way())
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
        if self.is_unfit_nothing()? {
            return Ok(Sealing::Nothing);
        }
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
                tracing::warn!(image = %self.image(), %error, "the record of an upload could not be written");
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
    pub(super) fn unfit(&self) -> io::Result<Option<Cause>> {
        let head = self.head()?;
        let record = lock(&self.record);
        let (container, disk) = (record.job.container_format.as_deref(), record.job.disk_format.as_deref());
        Ok(format::fit(&head, container, disk).err().map(|unfit| unfit.cause(Some(self.image()))))
    }

    /// Why the service would refuse bytes with the header that is there already, if so.
    fn unfit_header(&self) -> io::Result<Option<Cause>> {
        match format::recognise(&self.head()?) {
            // What is empty or zeros yet may become anything.
            Ok(Format::Raw) => Ok(None),
            _ => self.unfit(),
        }
    }

    /// Writes down that it rests since the last of so many writers, unless there was one more. It blocks.
    fn note_rest(&self, writers: u64, safe: Safe) -> io::Result<()> {
        let is_durable = safe == Safe::PowerCut;
        self.spool.is_whole()?;
        if self.is_unfit_nothing()? {
            return Ok(());
        }
        if is_durable {
            self.spool.sync()?;
        }
        let mut record = lock(&self.record);
        let is_over = record.is_discarded || self.writers.load(Ordering::Acquire) != writers;
        if is_over || record.job.state != State::Writing || record.job.resting {
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
        let rested = record.job.resting && !record.is_discarded;
        let is_taken_over = record.job.foretold && self.home.settings.takes_up;
        if rested || (is_taken_over && !record.is_discarded) {
            let mut job = record.job.clone();
            if rested {
                (job.resting, job.durable) = (false, false);
                job.is_of_this_boot();
            }
            job.foretold &= !is_taken_over;
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

    /// Seals it once nobody has had it open for as long as [`super::Settings::quiet`]. Opening it for writing again puts
    /// that off. Called by who has the right to write, so that it is not another writer's bytes that are sealed.
    pub fn seal_when_quiet(self: &Arc<Self>) {
        self.seal_after(self.home.settings.quiet, self.turn());
    }

    /// Seals it as soon as it can be, unless there was one more than so many writers.
    pub(super) fn seal_again(self: &Arc<Self>, writers: u64) {
        self.seal_after(Duration::ZERO, writers);
    }

    pub(super) fn seal_after(self: &Arc<Self>, quiet: Duration, writers: u64) {
        let upload = Arc::downgrade(self);
        let timer = self.home.runtime.spawn(async move {
            if let Some(upload) = upload.upgrade()
                && let Err(error) = upload.on_spool("seal", move |upload| upload.note_rest(writers, Safe::Kill)).await
            {
                tracing::warn!(image = %upload.image(), %error, "a kill would leave an upload unsealed");
            }
            loop {
                tokio::time::sleep(quiet).await;
                match upload.upgrade() {
                    // What is changed of the image says, perhaps, what is to become of it.
                    Some(upload) if upload.is_stirred() => {}
                    Some(upload) if upload.is_quiet(writers) => return upload.seal_behind().await,
                    _ => return,
                }
            }
        });
        self.set_timer(Some(timer.abort_handle()));
    }

    async fn seal_behind(self: &Arc<Self>) {
        if let Err(error) = self.seal_and_queue().await {
            if let WriteError::Failed(cause) = &error {
                self.fails_behind(cause);
            }
            tracing::warn!(image = %self.image(), %error, "an upload could not be sealed");
        }
    }

    /// Whether nobody has it open, and there was nobody after so many writers.
    fn is_quiet(&self, writers: u64) -> bool {
        !self.has_writer() && !self.is_held() && self.turn() == writers
    }

    /// Whether somebody has it open, with the right to write or without.
    pub(super) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
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
