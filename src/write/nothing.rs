//! Uploads to which nothing was written. Zero bytes are no image: an image that got them would be active, and nobody could
//! write to it any more. A file that is made, emptied or copied empty has its image wait for data as before.

use std::io;
use std::sync::Arc;

use super::error::WriteError;
use super::expected::Expected;
use super::home::Table;
use super::state::State;
use super::upload::Upload;
use super::uploads::Uploads;
use super::writer::Writer;
use crate::sync::lock;

impl Upload {
    /// Whether there are no bytes, and nobody has said that there are to be none.
    pub(super) fn holds_nothing(&self) -> io::Result<bool> {
        Ok(self.spool.len()? == 0 && !self.is_to_hold_nothing())
    }

    /// Whether there are no bytes, as somebody has said that there are to be none.
    pub(super) fn is_nothing_as_told(&self) -> bool {
        self.is_empty().is_ok_and(|is_empty| is_empty) && self.is_to_hold_nothing()
    }

    fn is_to_hold_nothing(&self) -> bool {
        self.expected().is_some_and(|expected| expected.is_of_nothing())
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

    /// Drops what was written to an image before, where something was.
    pub(super) async fn empty(&self, before: Option<&Arc<Upload>>) -> Result<(), WriteError> {
        let Some(upload) = before else { return Ok(()) };
        let Some(writer) = self.right_to(upload).await? else { return Ok(()) };
        writer.reopen().await?;
        writer.truncate(0).await?;
        drop(writer);
        let_go(upload, &self.table).await;
        Ok(())
    }
}

/// Takes away an upload that holds nothing and that nobody has open. What its data are to be is kept, where somebody said so.
pub(super) async fn let_go(upload: &Arc<Upload>, table: &Table) {
    let image = upload.image();
    let _doorstep = upload.home.doorstep.lock().await;
    let is_idle = |upload: &Upload| {
        let is_told = upload.expected().is_some_and(|expected| expected != Expected::default());
        upload.state() == State::Writing && !upload.is_held() && !is_told && upload.is_empty().is_ok_and(|empty| empty)
    };
    if !is_idle(upload) {
        return;
    }
    let Ok(_writer) = Writer::of(upload) else { return };
    if !is_idle(upload) || upload.is_discarded() {
        return;
    }
    upload.supersede();
    let gone = Arc::clone(upload);
    match upload.home.blocking(move || gone.discard()).await {
        Ok(()) => drop(lock(table).remove(&image)),
        Err(error) => tracing::warn!(%image, %error, "an upload that holds nothing stays on the disk"),
    }
}
