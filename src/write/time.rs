//! How old the bytes of an upload are: the property `data_mtime`, told to the service with the bytes.
//!
//! While bytes are under way the service forgets what is changed, so the time is written down with the upload. It goes with
//! the formats, in one request, before the bytes; what is said later goes behind them.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::WriteError;
use super::upload::Upload;
use crate::image::{DATA_MTIME, Image};
use crate::service::{Change, ImageService, Kind, ServiceError};
use crate::sync::lock;

impl Upload {
    /// Notes how old the bytes are. Answers `false` where the upload is done or given up: then the service has to be told.
    pub async fn set_time(self: &Arc<Self>, time: Timestamp) -> Result<bool, WriteError> {
        self.on_spool("note the time of", move |upload| {
            let mut record = lock(&upload.record);
            if record.is_discarded || record.job.is_done() {
                return Ok(false);
            }
            let mut job = record.job.clone();
            job.time = Some(time);
            let durable = job.durable;
            upload.write_job(&job, durable)?;
            record.job = job;
            upload.stage.send_modify(|stage| stage.time = Some(time));
            Ok(true)
        })
        .await
    }

    /// How old the bytes are, where somebody said so.
    pub fn time(&self) -> Option<Timestamp> {
        self.stage.borrow().time
    }

    /// The change that tells the service, which shows `image`.
    pub(super) fn change_of_time(&self, image: Option<&Image>) -> Option<Change> {
        let time = self.time()?.to_string();
        let is_told = image.is_some_and(|image| image.properties.get(DATA_MTIME).is_some_and(|told| *told == time));
        (!is_told).then(|| Change::set(DATA_MTIME, time))
    }
}

/// Makes the changes, with the one of the time, and without that where the service takes none of it: the bytes matter more.
/// `None` where there is nothing to change.
pub(super) async fn tell(
    service: &dyn ImageService,
    upload: &Upload,
    mut changes: Vec<Change>,
    time: Option<Change>,
) -> Result<Option<Image>, ServiceError> {
    let without = changes.clone();
    let has_time = time.is_some();
    changes.extend(time);
    if changes.is_empty() {
        return Ok(None);
    }
    match service.update(upload.image(), &changes).await {
        Err(error) if has_time && is_refused(&error.kind) => {
            tracing::warn!(image = %upload.image(), %error, "the time of the data could not be kept");
            if without.is_empty() {
                return Ok(None);
            }
            service.update(upload.image(), &without).await.map(Some)
        }
        outcome => outcome.map(Some),
    }
}

fn is_refused(kind: &Kind) -> bool {
    matches!(kind, Kind::Forbidden | Kind::Invalid | Kind::OverQuota | Kind::TooLarge | Kind::NotOffered)
}
