//! What is changed of an image beside its data. A program that copies a folder leaves an empty file first and says behind it
//! what is to become of it, which takes as long as the service takes for what comes between: so an upload without data rests
//! until all is quiet about its image, not its file alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::upload::Upload;
use super::uploads::Uploads;
use crate::image::ImageId;

/// How many times as long as a change took is waited behind it, where the service is slow: the next one comes behind look-ups
/// that are as slow.
const NEXT: u32 = 4;

/// Somebody changes something of an image. What rests of it is not sealed before all is quiet again.
#[derive(Debug)]
pub struct Stir {
    upload: Option<Arc<Upload>>,
    began: Instant,
}

impl Uploads {
    /// Somebody changes something of `image`, until the answer is dropped.
    pub fn stir(&self, image: ImageId) -> Stir {
        let upload = self.of(image);
        if let Some(upload) = &upload {
            upload.stirrers.fetch_add(1, Ordering::AcqRel);
        }
        Stir { upload, began: Instant::now() }
    }
}

impl Upload {
    pub(super) fn is_stirred(&self) -> bool {
        self.stirrers.load(Ordering::Acquire) > 0
    }

    /// How long nothing may happen about an image before it is quiet, behind a change that took so long.
    fn quiet_behind(&self, took: Duration) -> Duration {
        self.home.settings.quiet.max(took.saturating_mul(NEXT))
    }
}

impl Drop for Stir {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        upload.stirrers.fetch_sub(1, Ordering::AcqRel);
        if upload.is_resting() {
            upload.seal_after(upload.quiet_behind(self.began.elapsed()), upload.turn());
        }
    }
}
