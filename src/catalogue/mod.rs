//! Which images exist: listings turned into an immutable [`Snapshot`], at most a TTL old when it is asked for.

mod by_name;
mod changes;
mod flat;
mod flight;
mod snapshot;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

pub use self::by_name::Index;
use self::changes::{Change, Changes};
pub use self::flat::Flat;
use self::flight::Flight;
pub use self::snapshot::Snapshot;
use crate::image::{Image, ImageId, Member, Usage, Visibility};
use crate::service::{ImageService, Kind, ListQuery, Result, ServiceError};

/// How many images that no listing shows (hidden, community, shares not yet accepted), or whose members were asked for,
/// are remembered. Beyond that the one looked at longest ago is asked for again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Up to this many images, one page of the service, looking at one image again lists all of them again: the same one
/// request then answers for each neighbour that is looked at next.
const ONE_PAGE: usize = 1000;

/// How often a listing begins again because an image at a page's end was deleted meanwhile.
const LISTING_STARTS: u32 = 5;

/// Something the service told, and when.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// What was told.
    pub value: T,
    /// For how much longer it is younger than the TTL.
    pub fresh_for: Duration,
}

/// The images of one mount. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    service: Arc<dyn ImageService>,
    ttl: Duration,
    /// Held for moments, never across a request. Nothing else is locked under it.
    state: Mutex<State>,
}

struct State {
    listing: Option<Timed<Arc<Snapshot>>>,
    /// The last refresh failed: what is known is served at once while the next one runs.
    away: bool,
    refresh: Flight<Arc<Snapshot>>,
    changes: Changes,
    shown: LruCache<ImageId, Timed<Result<Arc<Image>>>>,
    members: LruCache<ImageId, Timed<Arc<[Member]>>>,
    /// How often members were forgotten. What was asked for before the last time may lack what was changed.
    forgotten: u64,
    usage: Option<Timed<Option<Usage>>>,
}

#[derive(Clone, Debug)]
struct Timed<T> {
    value: T,
    /// When the request was sent: what changed behind that moment may be missing.
    since: Instant,
}

impl<T: Clone> Timed<T> {
    fn within(&self, ttl: Duration) -> Option<Seen<T>> {
        let fresh_for = ttl.checked_sub(self.since.elapsed()).filter(|left| !left.is_zero())?;
        Some(Seen { value: self.value.clone(), fresh_for })
    }

    fn stale(&self) -> Seen<T> {
        Seen { value: self.value.clone(), fresh_for: Duration::ZERO }
    }
}

impl Catalogue {
    /// A catalogue of what `service` shows, each answer at most `ttl` old.
    pub fn new(service: Arc<dyn ImageService>, ttl: Duration) -> Self {
        let state = State {
            listing: None,
            away: false,
            refresh: Flight::default(),
            changes: Changes::default(),
            shown: LruCache::new(REMEMBERED),
            members: LruCache::new(REMEMBERED),
            forgotten: 0,
            usage: None,
        };
        Self(Arc::new(Inner { service, ttl, state: Mutex::new(state) }))
    }

    /// All images that the service lists. While the service is away, the last known ones.
    pub async fn listing(&self) -> Result<Seen<Arc<Snapshot>>> {
        let flight = {
            let mut state = self.state();
            if let Some(fresh) = state.listing.as_ref().and_then(|known| known.within(self.0.ttl)) {
                return Ok(fresh);
            }
            let inner = Arc::clone(&self.0);
            let flight = state.refresh.join(move || async move { inner.refresh().await });
            if let (true, Some(known)) = (state.away, &state.listing) {
                return Ok(known.stale());
            }
            flight
        };
        let outcome = flight.await;
        match (outcome, self.state().listing.as_ref()) {
            (Ok(value), Some(known)) => {
                Ok(known.within(self.0.ttl).unwrap_or(Seen { value, fresh_for: Duration::ZERO }))
            }
            (Ok(value), None) => Ok(Seen { value, fresh_for: Duration::ZERO }),
            (Err(error), Some(known)) if is_away(&error.kind) => Ok(known.stale()),
            (Err(error), _) => Err(error),
        }
    }

    /// One image, listed or not. While the service is away, as it was last seen.
    pub async fn image(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let (listed, away) = {
            let state = self.state();
            (state.listing.clone(), state.away)
        };
        let Some(listing) = listed else { return self.shown(id).await };
        let Some(known) = listing.value.image(id).cloned() else { return self.shown(id).await };
        if let Some(fresh) = listing.within(self.0.ttl) {
            return Ok(Seen { value: known, fresh_for: fresh.fresh_for });
        }
        // While the service is away, a listing is what finds out that it is back.
        if away || listing.value.len() <= ONE_PAGE {
            let again = self.listing().await?;
            if let Some(image) = again.value.image(id) {
                return Ok(Seen { value: Arc::clone(image), fresh_for: again.fresh_for });
            }
        }
        match self.shown(id).await {
            Err(error) if is_away(&error.kind) => {
                self.state().away = true;
                Ok(Seen { value: known, fresh_for: Duration::ZERO })
            }
            outcome => outcome,
        }
    }

    async fn shown(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let before = self.state().shown.get(&id).cloned();
        if let Some(seen) = before.as_ref().and_then(|known| known.within(self.0.ttl)) {
            return seen.value.map(|value| Seen { value, fresh_for: seen.fresh_for });
        }
        let since = Instant::now();
        let outcome = self.0.service.show(id).await.map(Arc::new);
        match (outcome, before) {
            (Err(error), Some(Timed { value: Ok(value), .. })) if is_away(&error.kind) => {
                Ok(Seen { value, fresh_for: Duration::ZERO })
            }
            (Err(error), _) if error.kind != Kind::NotFound => Err(error),
            (outcome, _) => {
                let newest = self.state().show(id, Timed { value: outcome, since });
                let fresh_for = newest.within(self.0.ttl).map_or(Duration::ZERO, |seen| seen.fresh_for);
                newest.value.map(|value| Seen { value, fresh_for })
            }
        }
    }

    /// The projects that an image is shared with; asked for only where its visibility is `shared`.
    pub async fn members(&self, image: &Image) -> Result<Seen<Arc<[Member]>>> {
        if image.visibility != Visibility::Shared {
            return Ok(Seen { value: Arc::default(), fresh_for: self.0.ttl });
        }
        let (before, forgotten) = {
            let mut state = self.state();
            (state.members.get(&image.id).cloned(), state.forgotten)
        };
        if let Some(fresh) = before.as_ref().and_then(|known| known.within(self.0.ttl)) {
            return Ok(fresh);
        }
        let since = Instant::now();
        match (self.0.service.members(image.id).await, before) {
            (Ok(members), _) => {
                let value: Arc<[Member]> = Arc::from(members);
                let mut state = self.state();
                if state.forgotten == forgotten {
                    state.members.put(image.id, Timed { value: Arc::clone(&value), since });
                }
                Ok(Seen { value, fresh_for: self.0.ttl })
            }
            (Err(error), Some(known)) if is_away(&error.kind) => Ok(known.stale()),
            (Err(error), _) => Err(error),
        }
    }

    /// How much of the quota is used; `None` where the service does not tell. While it is away, what it last told.
    pub async fn usage(&self) -> Result<Option<Usage>> {
        let (before, away) = {
            let state = self.state();
            (state.usage.clone(), state.away)
        };
        if let Some(fresh) = before.as_ref().and_then(|known| known.within(self.0.ttl)) {
            return Ok(fresh.value);
        }
        if let (true, Some(known)) = (away, &before) {
            // Which finds out that the service is back.
            let _ = self.listing().await;
            return Ok(known.value);
        }
        let since = Instant::now();
        match (self.0.service.usage().await, before) {
            (Ok(value), _) => {
                self.state().usage = Some(Timed { value, since });
                Ok(value)
            }
            (Err(error), Some(known)) if is_away(&error.kind) => Ok(known.value),
            (Err(error), _) => Err(error),
        }
    }

    /// Takes in what the service answered to a change of ours: an image that is new, or is now this.
    pub fn learn(&self, image: Image) {
        self.state().learn(Arc::new(image));
    }

    /// Takes in what the service showed to who asked for one image at `asked`, unless something newer is known.
    pub fn saw(&self, image: Image, asked: Instant) {
        let mut state = self.state();
        if state.shown.peek(&image.id).is_none_or(|known| known.since <= asked) {
            state.learn(Arc::new(image));
        }
    }

    /// Takes in a change of ours whose answer showed no image.
    pub fn amend(&self, id: ImageId, change: impl FnOnce(&mut Image)) {
        let mut state = self.state();
        let listed = state.listing.as_ref().and_then(|listing| listing.value.image(id).cloned());
        let shown = || state.shown.peek(&id).and_then(|known| known.value.clone().ok());
        let Some(mut image) = listed.or_else(shown) else { return };
        change(Arc::make_mut(&mut image));
        state.learn(image);
    }

    /// The members of an image were changed: they are asked for when they are looked at. An answer that is on its way is
    /// for who asked, and not remembered.
    pub fn forget_members(&self, id: ImageId) {
        self.state().forget_members(id);
    }

    /// Takes in that we deleted an image.
    pub fn gone(&self, id: ImageId) {
        let mut state = self.state();
        // An answer that is on its way may show it still.
        let value = Err(ServiceError::new(Kind::NotFound, format!("show image {id}")));
        state.shown.put(id, Timed { value, since: Instant::now() });
        state.forget_members(id);
        state.change(Change::Gone(id));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl State {
    fn learn(&mut self, image: Arc<Image>) {
        self.shown.put(image.id, Timed { value: Ok(Arc::clone(&image)), since: Instant::now() });
        self.change(Change::Image(image));
    }

    /// Takes in what the service showed, unless something newer is known; answers what is newest.
    fn show(&mut self, id: ImageId, shown: Timed<Result<Arc<Image>>>) -> Timed<Result<Arc<Image>>> {
        match self.shown.peek(&id) {
            Some(newer) if newer.since > shown.since => newer.clone(),
            _ => {
                self.shown.put(id, shown.clone());
                shown
            }
        }
    }

    fn forget_members(&mut self, id: ImageId) {
        self.members.pop(&id);
        self.forgotten = self.forgotten.wrapping_add(1);
    }

    fn change(&mut self, change: Change) {
        if let Some(listing) = &mut self.listing {
            listing.value = Arc::new(listing.value.with(&change));
        }
        self.changes.note(change);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; were it so, the state is still one of whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(self: Arc<Self>) -> Result<Arc<Snapshot>> {
        let since = Instant::now();
        let listed = list_all(self.service.as_ref()).await.map(Snapshot::new);
        let mut state = self.state();
        let listed = listed.map(|snapshot| Arc::new(state.changes.bring_up(snapshot, since)));
        state.away = listed.as_ref().err().is_some_and(|error| is_away(&error.kind));
        match &listed {
            Ok(snapshot) => state.listing = Some(Timed { value: Arc::clone(snapshot), since }),
            Err(error) => tracing::warn!(%error, "the images could not be listed"),
        }
        listed
    }
}

/// Whether a failure means that the service cannot be asked now, so that what is known is the best answer.
fn is_away(kind: &Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::TimedOut | Kind::Unreachable)
}

async fn list_all(service: &dyn ImageService) -> Result<Vec<Image>> {
    let mut start = 1;
    loop {
        match list_once(service).await {
            Err(error) if error.kind == Kind::MarkerGone && start < LISTING_STARTS => start += 1,
            outcome => return outcome,
        }
    }
}

async fn list_once(service: &dyn ImageService) -> Result<Vec<Image>> {
    let query = ListQuery::default();
    let mut images = Vec::new();
    let mut marker = None;
    loop {
        let page = service.list(&query, marker).await?;
        images.extend(page.images);
        match page.next {
            // A service that repeats its marker would have us list for ever.
            Some(next) if Some(next) != marker => marker = Some(next),
            _ => return Ok(images),
        }
    }
}
