//! Documents of one image are saved in different seconds. The service tells the time of the last change in whole seconds, and
//! by it a document says which version it was made from: two changes in one second could not be told apart.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::Timestamp;
use lru::LruCache;
use tokio::time::{Instant, sleep};

use crate::image::ImageId;
use crate::sync::{Mutex, lock};

/// As long as the service's clock may show the same.
const SECOND: Duration = Duration::from_secs(1);

/// How many images are remembered: more are not saved in a second.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// When documents were saved last.
pub(super) struct Pacing(Mutex<LruCache<ImageId, Instant>>);

impl Default for Pacing {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Pacing {
    /// A change of the image was answered now.
    pub(super) fn changed(&self, image: ImageId) {
        lock(&self.0).put(image, Instant::now());
    }

    /// Waits until the next change of an image that was last changed at `updated` has another time, as far as the service's
    /// clock is like ours, which shows `now`; after a change of ours in any case.
    pub(super) async fn wait(&self, image: ImageId, updated: Timestamp, now: Timestamp) {
        let last = lock(&self.0).get(&image).copied();
        let ours = last.map(|last| (last + SECOND).saturating_duration_since(Instant::now()));
        let theirs = Duration::try_from((updated + SECOND).duration_since(now)).ok().filter(|left| *left <= SECOND);
        let left = ours.max(theirs).unwrap_or_default();
        if !left.is_zero() {
            sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_change_waits_until_a_second_has_passed_and_only_that_of_the_same_image() {
        let (pacing, one, other) = (Pacing::default(), ImageId::random(), ImageId::random());
        let (long_ago, now) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_secs(100));
        let waited = async |image| {
            let began = Instant::now();
            pacing.wait(image, long_ago, now).await;
            began.elapsed()
        };
        assert_eq!(waited(one).await, Duration::ZERO);
        pacing.changed(one);
        assert_eq!((waited(other).await, waited(one).await), (Duration::ZERO, SECOND));
        assert_eq!(waited(one).await, Duration::ZERO, "that was it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_waits_for_the_end_of_the_second_in_which_somebody_else_changed_the_image() {
        let updated = Timestamp::UNIX_EPOCH + Duration::from_secs(100);
        let waited = async |millis: i64| {
            let (began, now) = (Instant::now(), updated + SignedDuration::from_millis(millis));
            Pacing::default().wait(ImageId::random(), updated, now).await;
            began.elapsed().as_millis()
        };
        assert_eq!((waited(0).await, waited(300).await, waited(999).await, waited(1000).await), (1000, 700, 1, 0));
        assert_eq!((waited(-1).await, waited(-5000).await), (0, 0), "a clock that is behind ours is not waited for");
    }
}
