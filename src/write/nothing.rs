//! Uploads to which nothing was written. Whoever leaves a file empty makes an image of no bytes, like any other; three kinds
//! of them are dropped instead, and their images wait for data as before: what was only opened, what is to be of a format that
//! no bytes are not, and what somebody says is to stay queued.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::WriteError;
use super::expected::Expected;
use super::home::Table;
use super::state::State;
use super::upload::Upload;
use super::uploads::Uploads;
use super::writer::Writer;
use crate::image::ImageId;
use crate::sync::lock;

impl Upload {
    /// Whether there are no bytes, and none are to be sent: the image is to stay queued, or is to be of a format that they
    /// are not.
    pub(super) fn is_unfit_nothing(&self) -> io::Result<bool> {
        let is_unfit = || Ok(self.stays_queued.load(Ordering::Acquire) || self.unfit()?.is_some());
        if self.spool.len()? == 0 { is_unfit() } else { Ok(false) }
    }

    /// Somebody says that the image is to stay queued: while there are no bytes, nothing is sent.
    pub fn stay_queued(&self) {
        self.stays_queued.store(true, Ordering::Release);
    }

    /// The last who had the right to write, in this turn, leaves no bytes, and none are to be sent: it goes as soon as nobody
    /// has it open.
    pub fn leave(&self, turn: u64) {
        if !self.is_resting() && self.is_empty().is_ok_and(|is_empty| is_empty) {
            self.is_left(turn);
        }
    }

    pub(super) fn is_left(&self, turn: u64) {
        self.left.store(turn, Ordering::Release);
        self.home.enqueue(self.image(), self.home.clock.now());
    }

    /// Whether it was given up.
    fn is_discarded(&self) -> bool {
        self.stage.borrow().discarded
    }
}

impl Uploads {
    /// The right to write an upload; `None` where that has gone, because it held nothing.
    pub(super) async fn right_to(&self, upload: &Arc<Upload>) -> Result<Option<Writer>, WriteError> {
        let writer = match Writer::of(upload) {
            Err(_) if upload.is_empty()? => {
                // Who takes it away has the right for that moment.
                let _doorstep = self.home.doorstep.lock().await;
                if upload.is_discarded() {
                    return Ok(None);
                }
                Writer::of(upload)?
            }
            other => other?,
        };
        Ok((!upload.is_discarded()).then_some(writer))
    }

    /// Drops an upload with what was written to it.
    async fn empty(&self, upload: &Arc<Upload>) -> Result<(), WriteError> {
        let Some(writer) = self.right_to(upload).await? else { return Ok(()) };
        writer.reopen().await?;
        writer.truncate(0).await?;
        drop(writer);
        let_go(upload, &self.table, upload.turn()).await;
        Ok(())
    }

    /// Somebody says that an image is to stay queued: no bytes that wait to be sent to it, or that somebody is about to leave,
    /// are not sent. Bytes are.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk fails.
    pub async fn stay_queued(&self, image: ImageId) -> Result<(), WriteError> {
        let Some(upload) = self.of(image) else { return Ok(()) };
        upload.stay_queued();
        if upload.is_held() || !upload.is_empty()? {
            return Ok(());
        }
        match self.empty(&upload).await {
            // Who opens it at this moment finds what was said.
            Err(WriteError::Busy(_)) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Takes away an upload that holds nothing, that nobody has open, and that nobody wrote since this turn. What its data are to
/// be is kept, where somebody said so.
pub(super) async fn let_go(upload: &Arc<Upload>, table: &Table, turn: u64) {
    let image = upload.image();
    let _doorstep = upload.home.doorstep.lock().await;
    let is_idle = |upload: &Upload| {
        let is_told = upload.expected().is_some_and(|expected| expected != Expected::default());
        upload.state() == State::Writing && !upload.is_held() && !is_told && upload.is_empty().is_ok_and(|empty| empty)
    };
    if !is_idle(upload) || upload.turn() != turn {
        return;
    }
    let Ok(_writer) = Writer::of(upload) else { return };
    // The turn of this writer follows that one, unless there was somebody between the two.
    if !is_idle(upload) || upload.is_discarded() || upload.turn() != turn.wrapping_add(1) {
        return;
    }
    upload.supersede();
    let gone = Arc::clone(upload);
    match upload.home.blocking(move || gone.discard()).await {
        Ok(()) => drop(lock(table).remove(&image)),
        Err(error) => tracing::warn!(%image, %error, "an upload that holds nothing stays on the disk"),
    }
}
