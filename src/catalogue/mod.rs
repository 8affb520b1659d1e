//! Which images exist: listings turned into an immutable [`Snapshot`], at most a TTL old when it is asked for.

mod by_name;
mod changes;
mod difference;
mod flat;
mod flight;
mod named;
mod own;
mod pages;
mod refresh;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::by_name::Index;
pub use self::difference::Difference;
pub use self::flat::Flat;
use self::pages::Part;
pub use self::snapshot::Snapshot;
use self::state::{Held, State};
use self::watch::Watcher;
use crate::image::{Image, ImageId, Member, Visibility};
use crate::service::{ImageService, Kind, ListQuery, Marker, Remarks, Result};

/// How many images that no listing shows (hidden, community, shares not yet accepted), or whose members were asked for,
/// are remembered. Beyond that the one looked at longest ago is asked for again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Where no listing is known, a person waits for the first one, who mended what was wrong and tries again: a failure is
/// the answer for so long, which is no tight loop.
const AT_FIRST: Duration = Duration::from_secs(1);

/// Something the service told, and when.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// What was told.
    pub value: T,
    /// For how much longer it is younger than the TTL.
    pub fresh_for: Duration,
    /// Whoever watches the listing ([`Catalogue::watch`]) is told when it is otherwise.
    pub is_watched: bool,
}

/// How a listing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// How many images it has.
    pub images: usize,
    /// The service could not be asked the last time.
    pub stale: bool,
    /// How old it is.
    pub listed: Option<Duration>,
    /// How old the last one is that was complete.
    pub complete: Option<Duration>,
}

/// The images of one mount. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    service: Arc<dyn ImageService>,
    remarks: Remarks,
    ttl: Duration,
    watcher: OnceLock<Watcher>,
    /// The first listing turns out to be long ([`State::lists_for_long`]).
    goes_on: Notify,
    /// Held for moments, never across a request. Nothing else is locked under it.
    state: Mutex<State>,
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
        Some(Seen { value: self.value.clone(), fresh_for, is_watched: false })
    }

    fn stale(&self) -> Seen<T> {
        Seen { value: self.value.clone(), fresh_for: Duration::ZERO, is_watched: false }
    }
}

impl<T> Seen<T> {
    /// It belongs to the listing.
    fn watched(self) -> Self {
        Self { is_watched: !self.fresh_for.is_zero(), ..self }
    }
}

impl Catalogue {
    /// A catalogue of what `service` shows, each answer at most `ttl` old.
    pub fn new(service: Arc<dyn ImageService>, ttl: Duration) -> Self {
        let (remarks, state) = (service.remarks(), Mutex::new(State::default()));
        Self(Arc::new(Inner { service, remarks, ttl, watcher: OnceLock::new(), goes_on: Notify::new(), state }))
    }

    /// All images that the service lists. While the service is away, the last known ones. Where it could not be asked less
    /// than a TTL ago, it is asked no more until then.
    pub async fn listing(&self) -> Result<Seen<Arc<Snapshot>>> {
        let flight = {
            let mut state = self.state();
            if let Some(fresh) = state.listing.as_ref().and_then(|known| known.within(self.0.ttl)) {
                return Ok(fresh.watched());
            }
            if let Some(failed) = state.failed(self.0.ttl) {
                return state.in_place_of_a_refresh(failed);
            }
            let (inner, asked) = (Arc::clone(&self.0), Instant::now());
            let flight = state.refresh.join(move || async move { inner.refresh(asked).await });
            if let (true, Some(known)) = (state.away, &state.listing) {
                return Ok(known.stale());
            }
            flight
        };
        let outcome = flight.await;
        let state = self.state();
        match (outcome, &state.listing) {
            (Ok(()), Some(known)) => Ok(known.within(self.0.ttl).unwrap_or_else(|| known.stale()).watched()),
            (Ok(()), None) => Ok(Seen { value: Arc::default(), fresh_for: Duration::ZERO, is_watched: false }),
            (Err(error), _) => state.in_place_of_a_refresh(error),
        }
    }

    /// The listing, where somebody has looked at it before: who only passes by does not begin one of a hundred requests.
    pub async fn known_listing(&self) -> Option<Seen<Arc<Snapshot>>> {
        let is_known = self.state().listing.is_some();
        if is_known { self.listing().await.ok() } else { None }
    }

    /// Whether an entry of `by-name` is listed, without asking.
    pub fn lists(&self, entry: &str) -> bool {
        self.state().listing.as_ref().is_some_and(|listing| listing.value.names().get(entry).is_some())
    }

    /// How the listing does, without asking.
    pub fn health(&self) -> Health {
        let state = self.state();
        Health {
            images: state.listing.as_ref().map_or(0, |listing| listing.value.len()),
            stale: state.away,
            listed: state.listing.as_ref().map(|listing| listing.since.elapsed()),
            complete: state.complete.map(|since| since.elapsed()),
        }
    }

    /// What is known of an image, and whether it is fresh, without asking.
    pub fn known(&self, id: ImageId) -> Option<Seen<Arc<Image>>> {
        let mut state = self.state();
        if let Some(listing) = &state.listing
            && let Some(image) = listing.value.image(id)
        {
            let fresh_for = self.0.ttl.saturating_sub(listing.since.elapsed());
            return Some(Seen { value: Arc::clone(image), fresh_for, is_watched: !fresh_for.is_zero() });
        }
        let shown = state.shown.get(&id)?;
        let value = shown.value.clone().ok()?;
        let fresh_for = self.0.ttl.saturating_sub(shown.since.elapsed());
        Some(Seen { value, fresh_for, is_watched: false })
    }

    /// The images that match `query` and are taken by `takes`, as the service lists them now: in its order, beginning
    /// behind `marker`, at most `most` of them.
    pub async fn find(
        &self,
        query: &ListQuery,
        marker: Option<&Marker>,
        most: usize,
        takes: impl Fn(&Image) -> bool + Sync,
    ) -> Result<Vec<Arc<Image>>> {
        let part = Part { marker, takes: &takes, most, known: &|id| self.0.listed(id), ..Part::ALL };
        let mut listed = pages::all(self.0.service.as_ref(), query, &part).await?;
        listed.say(&self.0.remarks);
        let mut seen = HashSet::new();
        Ok(listed.images.into_iter().filter(|image| seen.insert(image.id)).take(most).collect())
    }

    /// One image, listed or not. While the service is away, as it was last seen.
    ///
    /// In a long listing, an image that somebody deleted is still there until the next complete one; see
    /// [`Self::current`].
    pub async fn image(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let listed = self.state().listing.clone();
        let Some(listing) = listed.filter(|listing| listing.value.image(id).is_some()) else {
            return self.shown(id).await;
        };
        let seen = match listing.within(self.0.ttl) {
            Some(seen) => seen.watched(),
            None => self.listing().await?,
        };
        match seen.value.image(id) {
            Some(image) => {
                Ok(Seen { value: Arc::clone(image), fresh_for: seen.fresh_for, is_watched: seen.is_watched })
            }
            None => self.shown(id).await,
        }
    }

    /// One image as the service showed it at most a TTL ago, a deletion by somebody else included. While the service is
    /// away, as it was last seen.
    pub async fn current(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let known = self.image(id).await?;
        let is_sure = {
            let state = self.state();
            let is_complete = state.complete.is_some_and(|since| since.elapsed() < self.0.ttl);
            let is_listed = state.listing.as_ref().is_some_and(|listing| listing.value.image(id).is_some());
            state.away || is_complete || !is_listed
        };
        if is_sure {
            return Ok(known);
        }
        match self.shown(id).await {
            Err(error) if is_away(&error.kind) => {
                self.state().away = true;
                Ok(Seen { fresh_for: Duration::ZERO, ..known })
            }
            outcome => outcome,
        }
    }

    async fn shown(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let before = self.state().shown.get(&id).cloned();
        if let Some(seen) = before.as_ref().and_then(|known| known.within(self.0.ttl)) {
            return seen.value.map(|value| Seen { value, fresh_for: seen.fresh_for, is_watched: false });
        }
        let since = Instant::now();
        let outcome = self.0.service.show(id).await.map(Arc::new);
        match (outcome, before) {
            (Err(error), Some(Timed { value: Ok(value), .. })) if is_away(&error.kind) => {
                Ok(Seen { value, fresh_for: Duration::ZERO, is_watched: false })
            }
            (Err(error), _) if error.kind != Kind::NotFound => Err(error),
            (outcome, _) => {
                let newest = self.state().show(id, Timed { value: outcome, since });
                let fresh_for = newest.within(self.0.ttl).map_or(Duration::ZERO, |seen| seen.fresh_for);
                newest.value.map(|value| Seen { value, fresh_for, is_watched: false })
            }
        }
    }

    /// The projects that an image is shared with; asked for only where its visibility is `shared`.
    pub async fn members(&self, image: &Image) -> Result<Seen<Arc<[Member]>>> {
        if image.visibility != Visibility::Shared {
            return Ok(Seen { value: Arc::default(), fresh_for: self.0.ttl, is_watched: false });
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
                Ok(Seen { value, fresh_for: self.0.ttl, is_watched: false })
            }
            (Err(error), Some(known)) if is_away(&error.kind) => Ok(known.stale()),
            (Err(error), _) => Err(error),
        }
    }

    /// What was last seen of an image's members, as texts that are others where there are other members. Once it is older
    /// than the TTL, they are so each time; nothing where nobody has looked.
    pub fn members_seen(&self, id: ImageId) -> Vec<String> {
        let mut state = self.state();
        let Some(seen) = state.members.get(&id) else { return Vec::new() };
        let age = seen.since.elapsed();
        if age < self.0.ttl {
            seen.value.iter().map(|member| member.project.clone()).collect()
        } else {
            vec![format!("{age:?}")]
        }
    }

    fn state(&self) -> Held<'_> {
        self.0.state()
    }
}

/// Whether a failure means that the service cannot be asked now, so that what is known is the best answer.
pub fn is_away(kind: &Kind) -> bool {
    // What answers with something else than a document is not the service, or not whole.
    matches!(kind, Kind::Unavailable | Kind::TimedOut | Kind::Unreachable | Kind::Malformed)
}
