//! One edit of an image at a time: what is compared with the image as it is shall not be overtaken by another edit of it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::image::ImageId;
use crate::sync::{Mutex, lock};

/// Whose turn it is, image by image. Images that nobody edits are forgotten.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<ImageId, Weak<Semaphore>>>);

/// A turn at an image, which ends when this is dropped.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for a turn, in the order of asking.
    pub(super) async fn turn(&self, image: ImageId) -> Turn {
        let line = self.line(image);
        // A semaphore that nobody closes always gives.
        Turn { _permit: line.acquire_owned().await.ok() }
    }

    fn line(&self, image: ImageId) -> Arc<Semaphore> {
        let mut lines = lock(&self.0);
        lines.retain(|_, line| line.strong_count() > 0);
        if let Some(line) = lines.get(&image).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Semaphore::new(1));
        lines.insert(image, Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fs::testing::id;

    #[tokio::test]
    async fn an_image_is_edited_by_one_at_a_time_and_others_beside_it() {
        let turns = Turns::default();
        let first = turns.turn(id(1)).await;
        assert!(turns.turn(id(1)).now_or_never().is_none());
        assert!(turns.turn(id(2)).now_or_never().is_some());
        drop(first);
        assert!(turns.turn(id(1)).now_or_never().is_some());
        assert!(lock(&turns.0).len() <= 2);
    }
}
