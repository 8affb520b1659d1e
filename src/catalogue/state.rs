//! What a catalogue knows.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lru::LruCache;
use tokio::time::Instant;

use super::changes::{Change, Changes};
use super::difference::Difference;
use super::flight::Flight;
use super::pages::Listed;
use super::snapshot::Snapshot;
use super::watch::Watch;
use super::{AT_FIRST, Inner, REMEMBERED, Seen, Timed, is_away};
use crate::image::{Image, ImageId, Member, Usage};
use crate::service::{Kind, Result, ServiceError};

pub(super) struct State {
    pub(super) listing: Option<Timed<Arc<Snapshot>>>,
    /// The last refresh failed: what is known is served at once while the next one runs.
    pub(super) away: bool,
    /// Why the last refresh failed, if it did.
    pub(super) failed: Option<Timed<ServiceError>>,
    pub(super) refresh: Flight<()>,
    /// The first listing is under way, and has more than one page.
    pub(super) lists_for_long: bool,
    /// When the last complete listing was asked for.
    pub(super) complete: Option<Instant>,
    /// The last question for all of it, whatever came of that: how long it took.
    pub(super) asked_for_all: Option<Timed<Duration>>,
    pub(super) ends: Ends,
    /// It failed behind a short question that did not.
    pub(super) is_incomplete: bool,
    pub(super) completing: Flight<()>,
    /// The latest `updated_at` that a listing showed.
    pub(super) latest: Timestamp,
    pub(super) changes: Changes,
    /// Images of which a change of ours is known and not what else the service changed with it, and since when.
    pub(super) amended: LruCache<ImageId, Instant>,
    /// How many changes of ours there were.
    pub(super) own_changes: u64,
    pub(super) shown: LruCache<ImageId, Timed<Result<Arc<Image>>>>,
    pub(super) members: LruCache<ImageId, Timed<Arc<[Member]>>>,
    /// How often members were forgotten. What was asked for before the last time may lack what was changed.
    pub(super) forgotten: u64,
    pub(super) usage: Option<Timed<Option<Usage>>>,
    pub(super) asked_usage: Flight<Option<Usage>>,
    pub(super) watch: Watch,
    /// What whoever watches is to be told when the lock is given back.
    news: Difference,
}

/// Which listings come to an end. One that does not costs many pages each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ends {
    #[default]
    All,
    /// The last complete one did not.
    Short,
    /// Nor did a short one, of which none is asked for until a complete one does.
    None,
}

impl Default for State {
    fn default() -> Self {
        Self {
            listing: None,
            away: false,
            failed: None,
            refresh: Flight::default(),
            lists_for_long: false,
            complete: None,
            asked_for_all: None,
            ends: Ends::default(),
            is_incomplete: false,
            completing: Flight::default(),
            latest: Timestamp::UNIX_EPOCH,
            changes: Changes::default(),
            amended: LruCache::new(REMEMBERED),
            own_changes: 0,
            shown: LruCache::new(REMEMBERED),
            members: LruCache::new(REMEMBERED),
            forgotten: 0,
            usage: None,
            asked_usage: Flight::default(),
            watch: Watch::default(),
            news: Difference::default(),
        }
    }
}

impl State {
    /// Why the last refresh failed, where that is not long enough ago for another one.
    pub(super) fn failed(&self, ttl: Duration) -> Option<ServiceError> {
        let pause = if self.listing.is_some() { ttl } else { ttl.min(AT_FIRST) };
        Some(self.failed.as_ref()?.within(pause)?.value)
    }

    /// What is answered where the listing is too old and could not be refreshed.
    pub(super) fn in_place_of_a_refresh(&self, error: ServiceError) -> Result<Seen<Arc<Snapshot>>> {
        match &self.listing {
            Some(known) if is_away(&error.kind) => Ok(known.stale()),
            _ => Err(error),
        }
    }

    /// Takes in an image that is new, or is now this.
    pub(super) fn learn(&mut self, image: Arc<Image>) {
        self.shown.put(image.id, Timed { value: Ok(Arc::clone(&image)), since: Instant::now() });
        self.apply(vec![Change::Image(image)], Instant::now());
    }

    /// Takes in that an image was deleted.
    pub(super) fn lose(&mut self, id: ImageId) {
        // An answer that is on its way may show it still.
        let value = Err(ServiceError::new(Kind::NotFound, format!("show image {id}")));
        self.shown.put(id, Timed { value, since: Instant::now() });
        self.forget_members(id);
        self.apply(vec![Change::Gone(id)], Instant::now());
    }

    /// Takes in what the service showed, unless something newer is known; answers what is newest. What the listing has
    /// otherwise is put right.
    pub(super) fn show(&mut self, id: ImageId, shown: Timed<Result<Arc<Image>>>) -> Timed<Result<Arc<Image>>> {
        if let Some(newer) = self.shown.peek(&id).filter(|known| known.since > shown.since) {
            return newer.clone();
        }
        let listed = self.listing.as_ref().and_then(|listing| listing.value.image(id));
        let correction = match (&shown.value, listed) {
            (Ok(image), Some(listed)) if image != listed => Some(Change::Image(Arc::clone(image))),
            (Err(_), Some(_)) => Some(Change::Gone(id)),
            _ => None,
        };
        if !self.changes.is_newer(id, shown.since) {
            self.apply(correction.into_iter().collect(), shown.since);
        }
        self.shown.put(id, shown.clone());
        shown
    }

    /// Something was changed by us.
    pub(super) fn has_changed(&mut self) {
        self.own_changes = self.own_changes.wrapping_add(1);
    }

    pub(super) fn forget_members(&mut self, id: ImageId) {
        self.members.pop(&id);
        self.forgotten = self.forgotten.wrapping_add(1);
        self.news.images.push(id);
    }

    /// Makes changes that were known at `since`. Listings that others hold stay as they are.
    pub(super) fn apply(&mut self, changes: Vec<Change>, since: Instant) {
        if let Some(listing) = &mut self.listing
            && !changes.is_empty()
        {
            self.news.make(&changes, Arc::make_mut(&mut listing.value));
        }
        for change in changes {
            self.news.images.push(change.image());
            self.changes.note(change, since);
        }
    }

    /// Takes in a complete listing that was asked for at `since`, or as much of it as there is without an end.
    pub(super) fn replace(&mut self, listing: Snapshot, since: Instant) {
        if self.ends == Ends::All {
            self.complete = Some(since);
        }
        let (value, newer) = match &self.listing {
            Some(known) => {
                let listing = listing.behind(&known.value);
                self.news.add(&known.value, &listing);
                (listing, known.since.max(since))
            }
            None => (listing, since),
        };
        self.listing = Some(Timed { value: Arc::new(value), since: newer });
    }

    /// Notes how far the listing reaches.
    pub(super) fn reaches(&mut self, listed: &Listed) {
        let latest = listed.images.iter().map(|image| image.updated_at).max();
        self.latest = self.latest.max(latest.unwrap_or_default());
    }
}

/// The state, held. What became otherwise meanwhile is told once it is given back.
pub(super) struct Held<'a> {
    // Given back before what is behind it.
    state: MutexGuard<'a, State>,
    telling: Telling<'a>,
}

struct Telling<'a> {
    inner: &'a Inner,
    news: Difference,
}

impl Inner {
    pub(super) fn state(&self) -> Held<'_> {
        // Nothing panics while it holds the lock; were it so, the state is still one of whole values.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Held { state, telling: Telling { inner: self, news: Difference::default() } }
    }
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.telling.news = std::mem::take(&mut self.state.news);
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if let Some(watcher) = self.inner.watcher.get().filter(|_| !self.news.is_empty()) {
            watcher(std::mem::take(&mut self.news));
        }
    }
}
