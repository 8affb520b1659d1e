//! Watching: a listing that is kept young for as long as somebody relies on hearing what becomes otherwise in it.
//!
//! A kernel that was told how a file looks asks no more for a while, so that nobody sees whether the file is still looked
//! at. For as long as that while lasts, the listing is refreshed each TTL, and what it shows otherwise is told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{self, Instant};

use super::difference::Difference;
use super::{Catalogue, Inner};

/// For how long what is told of watched images may be relied upon: long enough to walk through the files of all of them
/// again and again, and no longer, because a mount that is left alone asks for so long what nobody wants to know any more.
const EACH: Duration = Duration::from_millis(10);

/// And never longer than this.
const LONGEST: Duration = Duration::from_mins(5);

/// Whoever is told what becomes otherwise, with no lock held.
pub(super) type Watcher = Box<dyn Fn(Difference) + Send + Sync>;

/// Until when somebody relies on hearing it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    until: Option<Instant>,
    is_running: bool,
}

impl Catalogue {
    /// Has `watcher` told, from now on, what becomes otherwise: by a change of ours at once, and by somebody else's when
    /// the listing shows it. Only the first one is.
    pub fn watch(&self, watcher: impl Fn(Difference) + Send + Sync + 'static) {
        // A second one would rely on what it does not hear.
        let _ = self.0.watcher.set(Box::new(watcher));
    }

    /// Whether somebody hears what becomes otherwise.
    pub fn has_watcher(&self) -> bool {
        self.0.watcher.get().is_some()
    }

    /// Somebody relies on what he was told, for as long as this answers.
    pub fn vouch(&self) -> Duration {
        let mut state = self.state();
        let images = state.listing.as_ref().map_or(0, |listing| listing.value.len());
        let all = EACH.saturating_mul(u32::try_from(images).unwrap_or(u32::MAX));
        let span = all.min(LONGEST).max(self.0.ttl * 2);
        state.watch.until = state.watch.until.max(Some(Instant::now() + span));
        if !state.watch.is_running {
            state.watch.is_running = true;
            tokio::spawn(keep_young(Arc::downgrade(&self.0)));
        }
        span
    }
}

/// Refreshes the listing each TTL, until nobody relies on it or the catalogue is gone.
async fn keep_young(inner: Weak<Inner>) {
    while let Some(due) = inner.upgrade().and_then(|inner| inner.next_refresh()) {
        time::sleep_until(due).await;
        let Some(inner) = inner.upgrade() else { return };
        // One that fails is logged where it fails, and tried again when the next is due.
        let _ = Catalogue(inner).listing().await;
    }
}

impl Inner {
    /// When the listing has to be refreshed next; `None` where nobody will rely on it then, which ends the watch.
    fn next_refresh(&self) -> Option<Instant> {
        let mut state = self.state();
        let now = Instant::now();
        // At once where it is too old, but never in haste where the service is away.
        let due = state.listing.as_ref().map_or(now, |listing| listing.since) + self.ttl;
        let due = if due <= now { now + self.ttl } else { due };
        let due = Some(due).filter(|due| state.watch.until.is_some_and(|until| *due < until));
        state.watch.is_running = due.is_some();
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::fs::testing::{Fake, id, image};
    use crate::image::Image;

    const TTL: Duration = Duration::from_secs(5);

    /// A catalogue that has been listed, and what its watcher is told.
    async fn watched(service: &Fake) -> (Catalogue, Arc<Mutex<Vec<Difference>>>) {
        let catalogue = Catalogue::new(Arc::new(service.clone()), TTL);
        let told: Arc<Mutex<Vec<Difference>>> = Arc::default();
        let hears = Arc::clone(&told);
        let listens = catalogue.clone();
        catalogue.watch(move |difference| {
            // Which would wait for ever if anything were locked.
            let _ = listens.health();
            hears.lock().unwrap().push(difference);
        });
        catalogue.listing().await.unwrap();
        assert!(told.lock().unwrap().is_empty(), "what nobody knew yet is not otherwise");
        (catalogue, told)
    }

    #[tokio::test]
    async fn a_change_of_ours_is_told_before_its_call_returns() {
        let (catalogue, told) = watched(&Fake::with([image(1, "a"), image(2, "b")])).await;
        catalogue.learn(image(1, "b"));
        let all: Vec<Difference> = std::mem::take(&mut *told.lock().unwrap());
        let [difference] = &all[..] else { panic!("{all:?}") };
        assert!(difference.images.contains(&id(1)) && difference.entries);
        assert_eq!(difference.names, ["a".into(), "b".into()], "b is ambiguous now");
        catalogue.gone(id(2));
        let all = told.lock().unwrap();
        assert_eq!(all[0].names, ["b~00000001".into(), "b~00000002".into()], "the other one is called b again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_change_is_told_once_a_ttl_for_as_long_as_somebody_relies_on_it() {
        let service = Fake::with([image(1, "a")]);
        let (catalogue, told) = watched(&service).await;
        let span = catalogue.vouch();
        assert_eq!(span, TTL * 2);
        service.change(|world| world.images = vec![Image { protected: true, ..image(1, "a") }]);
        time::sleep(TTL + Duration::from_millis(1)).await;
        let first: Vec<Difference> = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(first, [Difference { images: vec![id(1)], names: Vec::new(), entries: false }]);
        assert_eq!(service.calls("list"), 2);
        time::sleep(TTL * 20).await;
        assert_eq!(service.calls("list"), 2, "nobody relies on it any more");
        catalogue.vouch();
        time::sleep(TTL + Duration::from_millis(1)).await;
        assert_eq!(service.calls("list"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_away_is_asked_no_more_often() {
        let service = Fake::with([image(1, "a")]);
        let (catalogue, told) = watched(&service).await;
        service.change(|world| world.failing = Some(crate::service::Kind::Unreachable));
        for _ in 0..10 {
            catalogue.vouch();
            time::sleep(TTL).await;
        }
        assert!(service.calls("list") <= 12, "{}", service.calls("list"));
        assert!(told.lock().unwrap().is_empty(), "what is known goes on being shown");
    }

    #[tokio::test(start_paused = true)]
    async fn a_larger_cloud_may_be_relied_upon_for_longer() {
        let service = Fake::with((0..30_000).map(|n| image(n, "x")));
        let (catalogue, _) = watched(&service).await;
        assert_eq!(catalogue.vouch(), Duration::from_mins(5));
    }
}
