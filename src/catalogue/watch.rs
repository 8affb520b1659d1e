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
const EACH: Duration = Duration::from_millis(1);

/// And never longer than this.
const LONGEST: Duration = Duration::from_mins(2);

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
        state.watch.until = Some(Instant::now() + span);
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
