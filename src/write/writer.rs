//! Writing an upload, and taking it back to be written again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::error::WriteError;
use super::record::{Missed, Safe};
use super::spool::{Allocation, Spool};
use super::state::State;
use super::upload::Upload;
use crate::image::Status;

/// The right to write an upload; there is one at a time. Dropping it gives the right back and seals nothing, unless the
/// upload was sealed before and is what it was then.
#[derive(Debug)]
pub struct Writer {
    upload: Arc<Upload>,
    /// The upload was sealed, and was taken back out of the queue.
    took_back: AtomicBool,
    /// It was to be sealed soon.
    rested: AtomicBool,
    /// Something was written since.
    changed: AtomicBool,
}

impl Writer {
    /// Takes the right, unless somebody has it.
    pub(super) fn of(upload: &Arc<Upload>) -> Result<Self, WriteError> {
        if upload.has_writer.swap(true, Ordering::AcqRel) {
            return Err(WriteError::Busy(upload.image()));
        }
        upload.writers.fetch_add(1, Ordering::AcqRel);
        let (took_back, changed) = (AtomicBool::new(false), AtomicBool::new(false));
        let rested = AtomicBool::new(upload.is_resting());
        upload.set_timer(None);
        Ok(Self { upload: Arc::clone(upload), took_back, rested, changed })
    }

    /// The upload.
    pub fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// Writes `bytes` at `offset`, all of them. What was sealed is taken out of the queue for it.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk is full or fails; [`WriteError::Immutable`] where the image is active.
    pub async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<(), WriteError> {
        self.change("write to", move |spool| spool.write_at(offset, &bytes)).await
    }

    /// The same on this thread, which it may block, where the upload is [`State::Writing`]; `false`, and nothing was
    /// written, where it is not, or is being sealed.
    pub fn write_now(&self, offset: u64, bytes: &[u8]) -> Result<bool, WriteError> {
        self.changed.store(true, Ordering::Release);
        let write = || self.upload.if_writing_now(|spool| spool.write_at(offset, bytes));
        Ok(write().map_err(|error| self.upload.failed("write to", error))?.is_some())
    }

    /// Makes it `length` bytes long; what is added reads as zeros.
    pub async fn truncate(&self, length: u64) -> Result<(), WriteError> {
        self.change("truncate", move |spool| spool.truncate(length)).await
    }

    /// Reserves or gives back space, as `fallocate(2)` does.
    pub async fn allocate(&self, how: Allocation, offset: u64, length: u64) -> Result<(), WriteError> {
        self.change("allocate space in", move |spool| spool.allocate(how, offset, length)).await
    }

    async fn change(
        &self,
        action: &str,
        work: impl Fn(&Spool) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<(), WriteError> {
        self.changed.store(true, Ordering::Release);
        let work = Arc::new(work);
        loop {
            let (upload, work) = (Arc::clone(&self.upload), Arc::clone(&work));
            let done = self.upload.home.blocking(move || upload.while_writing(|spool| work(spool))).await;
            match done.map_err(|error| self.upload.failed(action, error))? {
                Some(()) => return Ok(()),
                None => self.reopen().await?,
            }
        }
    }
}

impl std::ops::Deref for Writer {
    type Target = Arc<Upload>;

    fn deref(&self) -> &Self::Target {
        &self.upload
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let writers = self.upload.writers.load(Ordering::Acquire);
        self.upload.has_writer.store(false, Ordering::Release);
        if *self.changed.get_mut() {
            return;
        }
        // What somebody said before of the bytes still holds.
        if *self.took_back.get_mut() {
            self.upload.seal_again(writers);
        } else if *self.rested.get_mut() {
            self.upload.seal_when_quiet();
        }
    }
}

/// A place in the queue that was left, and that is taken again unless it is given up: also where who asked for it went away
/// in the middle.
pub(super) struct Place<'a>(Option<&'a Arc<Upload>>);

impl<'a> Place<'a> {
    pub(super) fn leave(upload: &'a Arc<Upload>) -> Self {
        upload.home.dequeue(upload.image());
        Self(Some(upload))
    }

    /// There is nothing more to send.
    pub(super) fn give_up(mut self) {
        self.0 = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.0.filter(|upload| upload.state().is_under_way()) {
            upload.home.enqueue(upload.image(), upload.home.clock.now());
        }
    }
}

/// How long the service may show `saving` after an upload to it was broken off; it takes about a second.
pub(super) const SETTLING: Duration = Duration::from_secs(15);

/// How often it is asked meanwhile.
pub(super) const ASKING: Duration = Duration::from_millis(200);

impl Writer {
    /// Takes the upload back out of the queue, whatever its state, to be written again.
    pub(super) async fn reopen(&self) -> Result<(), WriteError> {
        let upload = &self.upload;
        if upload.state() == State::Writing {
            let awake = Arc::clone(upload);
            let rested = upload.home.blocking(move || awake.wake()).await;
            self.rested.fetch_or(rested.map_err(|error| upload.failed("open", error))?, Ordering::AcqRel);
            return Ok(());
        }
        let place = Place::leave(upload);
        let epoch = upload.supersede();
        // The worker lets go, and with it of the connection.
        let _working = upload.working.lock().await;
        self.settle().await?;
        let taken = Arc::clone(upload);
        let entered = upload.home.blocking(move || Ok(taken.enter(epoch, State::Writing, Safe::Kill))).await;
        match entered.map_err(|error| upload.failed("open", error))? {
            Ok(()) => {
                place.give_up();
                self.took_back.store(true, Ordering::Release);
                upload.spool.digest.reopen();
                upload.sent.store(0, Ordering::Release);
                Ok(())
            }
            Err(Missed::Superseded) => Err(WriteError::Immutable(upload.image())),
            Err(Missed::Disk(error)) => Err(upload.failed("open", error)),
        }
    }

    /// Waits until the service is sure not to have the bytes that were on their way.
    async fn settle(&self) -> Result<(), WriteError> {
        let upload = &self.upload;
        match upload.state() {
            State::Done => return Err(WriteError::Immutable(upload.image())),
            State::Sending { .. } | State::Verifying { .. } => {}
            _ => return Ok(()),
        }
        let began = Instant::now();
        loop {
            let image = upload.home.service.show(upload.image()).await?;
            match image.status {
                Status::Queued => return Ok(()),
                Status::Saving if began.elapsed() < SETTLING => tokio::time::sleep(ASKING).await,
                _ if image.status.has_data() => return Err(WriteError::Immutable(upload.image())),
                status => return Err(WriteError::Status { image: upload.image(), status }),
            }
        }
    }
}
