//! One change of an image at a time, and none while its bytes are under way. The service writes all that belongs to an
//! image as it was when it looked: of changes that come at once some would be lost, each answered with success, and the
//! end of an upload would undo what was changed since its beginning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::image::ImageId;

/// Whose turn it is, image by image; images that nobody changes take no room.
#[derive(Default)]
pub(super) struct Turns {
    // Held for a look and a change only, never across an await.
    lines: Mutex<HashMap<ImageId, Arc<Semaphore>>>,
    // How many uploads of an image are under way. Locked alone, and for a look and a change only.
    uploads: Mutex<HashMap<ImageId, u32>>,
}

/// An upload that is under way until this is dropped.
pub(super) struct Uploading<'a> {
    turns: &'a Turns,
    image: ImageId,
}

/// A turn at an image; the next one who waits has it when this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    image: ImageId,
    line: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for a turn, in the order of asking.
    pub(super) async fn take(&self, image: ImageId) -> Turn<'_> {
        let line = Arc::clone(self.lock().entry(image).or_insert_with(|| Arc::new(Semaphore::new(1))));
        // Made before it waits, so that who gives up waiting is counted out of the line too.
        let mut turn = Turn { turns: self, image, line, permit: None };
        // A semaphore that nobody closes always gives.
        turn.permit = Arc::clone(&turn.line).acquire_owned().await.ok();
        turn
    }

    /// Begins an upload, when no change is under way any more.
    pub(super) async fn upload(&self, image: ImageId) -> Uploading<'_> {
        let _turn = self.take(image).await;
        *self.uploads().entry(image).or_default() += 1;
        Uploading { turns: self, image }
    }

    /// Whether bytes of an image are under way.
    pub(super) fn is_uploading(&self, image: ImageId) -> bool {
        self.uploads().contains_key(&image)
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<ImageId, u32>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ImageId, Arc<Semaphore>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        drop(self.permit.take());
        // The map's own and this one: nobody else is in the line, and nobody enters it while the map is locked.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.image);
        }
    }
}

impl Drop for Uploading<'_> {
    fn drop(&mut self) {
        let mut uploads = self.turns.uploads();
        if let Some(count) = uploads.get_mut(&self.image) {
            *count -= 1;
            if *count == 0 {
                uploads.remove(&self.image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_image_is_changed_by_one_at_a_time_and_others_beside_it() {
        let (turns, one, other) = (Turns::default(), ImageId::random(), ImageId::random());
        let first = turns.take(one).await;
        assert!(turns.take(one).now_or_never().is_none());
        assert!(turns.take(other).now_or_never().is_some());
        drop(first);
        assert!(turns.take(one).now_or_never().is_some());
    }

    #[tokio::test]
    async fn images_that_nobody_changes_take_no_room() {
        let (turns, image) = (Turns::default(), ImageId::random());
        let first = turns.take(image).await;
        // Somebody who gave up waiting.
        assert!(turns.take(image).now_or_never().is_none());
        assert_eq!(turns.lock().len(), 1);
        drop(first);
        assert!(turns.lock().is_empty());
    }
    #[tokio::test]
    async fn an_upload_waits_for_the_change_before_it_and_is_known_to_its_end() {
        let (turns, image) = (Turns::default(), ImageId::random());
        let change = turns.take(image).await;
        assert!(turns.upload(image).now_or_never().is_none() && !turns.is_uploading(image));
        drop(change);
        let (first, second) = (turns.upload(image).await, turns.upload(image).await);
        drop(first);
        assert!(turns.is_uploading(image));
        drop(second);
        assert!(!turns.is_uploading(image) && turns.lock().is_empty());
    }
}
