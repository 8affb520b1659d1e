//! `query/`: folders whose names are questions, with a symbolic link to each image that is the answer.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lru::LruCache;
use tokio::time::Instant;

use super::error::FsError;
use super::node::View;
use super::position;
use super::query::{Expression, NoQuery};
use super::{FileSystem, Result};
use crate::catalogue::{Index, Seen, is_away};
use crate::image::{Image, ImageId};
use crate::service::Kind;

/// Answers that are remembered for the TTL: a person looks into a few of them in turn.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// Earlier answers of one question: whoever reads a folder that slowly meets images of a later one at the same places.
const BEFORE: usize = 8;

/// The images that answer a question, in its order, and what their links are called.
#[derive(Debug)]
pub(super) struct Results {
    /// Which answer of all this is.
    number: u32,
    /// When it was another one than before.
    time: SystemTime,
    rows: Vec<(Box<str>, ImageId)>,
    places: HashMap<Box<str>, usize>,
}

/// The answers of late, by their questions.
#[derive(Debug)]
pub(super) struct Answers {
    numbers: AtomicU32,
    known: Mutex<LruCache<Box<str>, Answer>>,
}

#[derive(Clone, Debug)]
struct Answer {
    /// When the service was asked, whether or not it was there to answer.
    asked: Instant,
    /// How many changes of ours there were before it was asked.
    changes: u64,
    results: Arc<Results>,
    /// The answers before, for who is still reading one of them; the youngest is first.
    before: Vec<Arc<Results>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { numbers: AtomicU32::new(0), known: Mutex::new(LruCache::new(REMEMBERED)) }
    }
}

impl Answers {
    fn get(&self, expression: &str) -> Option<Answer> {
        self.known().get(expression).cloned()
    }

    /// Takes in what a question was answered with when it was asked, behind so many changes of ours. An answer that is no
    /// other one stays the one before.
    fn put(&self, expression: &str, (asked, changes): (Instant, u64), images: &[Arc<Image>]) -> Arc<Results> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let new = Arc::new(Results::new(number, images));
        let mut known = self.known();
        let (results, before) = match known.pop(expression) {
            Some(answer) if answer.results.rows == new.rows => (answer.results, answer.before),
            Some(answer) => {
                let before = iter::once(answer.results).chain(answer.before).take(BEFORE).collect();
                (new, before)
            }
            None => (new, Vec::new()),
        };
        known.put(expression.into(), Answer { asked, changes, results: Arc::clone(&results), before });
        results
    }

    /// The last answer, where the service is not there to give another one; it is not asked again before the TTL is over.
    fn put_off(&self, expression: &str) -> Option<Arc<Results>> {
        let mut known = self.known();
        let answer = known.get_mut(expression)?;
        answer.asked = Instant::now();
        Some(Arc::clone(&answer.results))
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Box<str>, Answer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Results {
    /// Links are called as the images are in `by-name`, told apart by their ids where two of them share a name; those
    /// without a name by their ids, and whoever is called as one of those is by a longer name.
    fn new(number: u32, images: &[Arc<Image>]) -> Self {
        let names = Index::new(images);
        let mut entries: HashMap<ImageId, Box<str>> = names.iter().map(|(entry, id)| (id, entry.into())).collect();
        let is_nameless = |image: &&Arc<Image>| !entries.contains_key(&image.id);
        let ids: HashSet<&str> = images.iter().filter(is_nameless).map(|image| image.id.as_str()).collect();
        let name = |image: &Arc<Image>| match entries.remove(&image.id) {
            None => (image.id.as_str().into(), image.id),
            Some(entry) if ids.contains(&*entry) => (Index::longer(&entry, image.id).into(), image.id),
            Some(entry) => (entry, image.id),
        };
        let rows: Vec<(Box<str>, ImageId)> = images.iter().map(name).collect();
        let places = (0..).zip(&rows).map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { number, time: SystemTime::now(), rows, places }
    }

    /// Which answer of all this is.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Since when it is the answer.
    pub(super) fn time(&self) -> SystemTime {
        self.time
    }

    /// The links and their images.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, ImageId)> {
        self.rows.iter().map(|(name, id)| (&**name, *id))
    }

    /// The image of a link.
    fn get(&self, name: &str) -> Option<ImageId> {
        self.places.get(name).and_then(|at| self.rows.get(*at)).map(|(_, id)| *id)
    }
}

impl FileSystem {
    /// The answer to a question, at most a TTL old; while the service is away, the last one. It may be of before a change
    /// of ours: who goes through the folder to change image after image would have it asked again behind each.
    pub(super) async fn results(&self, expression: &str) -> Result<Seen<Arc<Results>>> {
        self.results_where(expression, |_| true).await
    }

    /// The same behind all changes of ours: for who looks at what the answer is.
    async fn results_now(&self, expression: &str) -> Result<Arc<Results>> {
        let changes = self.catalogue.changes();
        Ok(self.results_where(expression, |known| known.changes == changes).await?.value)
    }

    async fn results_where(&self, expression: &str, will_do: impl Fn(&Answer) -> bool) -> Result<Seen<Arc<Results>>> {
        let ttl = self.settings.ttl;
        if let Some(known) = self.answers.get(expression).filter(will_do)
            && let Some(fresh_for) = ttl.checked_sub(known.asked.elapsed()).filter(|left| !left.is_zero())
        {
            return Ok(Seen { value: known.results, fresh_for, is_watched: false });
        }
        let asked = (Instant::now(), self.catalogue.changes());
        let images = match self.ask(expression).await {
            Err(FsError::Service(error)) if is_away(&error.kind) => {
                let stale = |value| Seen { value, fresh_for: Duration::ZERO, is_watched: false };
                return self.answers.put_off(expression).map(stale).ok_or(FsError::Service(error));
            }
            outcome => outcome?,
        };
        let value = self.answers.put(expression, asked, &images);
        Ok(Seen { value, fresh_for: ttl, is_watched: false })
    }

    /// Since when a question has its answer; behind a change of ours that is another time each, until it is asked again. It
    /// is not asked for that: who goes through the folder to change image after image does not look at what is in it.
    pub(super) async fn answer_time(&self, expression: &str) -> Result<SystemTime> {
        let time = self.results(expression).await?.value.time();
        let changes = self.catalogue.changes();
        let is_current = self.answers.get(expression).is_none_or(|known| known.changes == changes);
        Ok(if is_current { time } else { time + Duration::from_nanos(changes) })
    }

    /// The image that a link leads to.
    pub(super) async fn result(&self, expression: &str, name: &str) -> Result<Option<ImageId>> {
        match self.results(expression).await?.value.get(name) {
            Some(id) => Ok(Some(id)),
            None => Ok(self.results_now(expression).await?.get(name)),
        }
    }

    /// The answer in which somebody has read up to a position: the one before, where it is that one's.
    pub(super) async fn results_from(&self, expression: &str, from: u64) -> Result<Arc<Results>> {
        let is_of = |results: &Arc<Results>| position::is_of_answer(from, results.number);
        let known = self.answers.get(expression);
        let read = known.and_then(|known| iter::once(known.results).chain(known.before).find(is_of));
        match read {
            Some(results) => Ok(results),
            None => self.results_now(expression).await,
        }
    }

    async fn ask(&self, text: &str) -> Result<Vec<Arc<Image>>> {
        let refused = |why: NoQuery| FsError::NoQuery(why);
        let expression = Expression::parse(text, self.offers.api).map_err(refused)?;
        let most = expression.limit.unwrap_or(usize::MAX);
        let listed =
            self.catalogue.find(&expression.list, expression.marker.as_ref(), most, |image| expression.takes(image));
        let images = listed.await.map_err(|error| match error.kind {
            Kind::Invalid => FsError::NoAnswer(error),
            _ => error.into(),
        })?;
        if images.is_empty() && !expression.goes_beyond() {
            self.has_properties(&expression.properties).await.map_err(refused)?;
        }
        Ok(images)
    }

    /// That a question has no answer is said of a filter that does not exist, and not shown as an empty folder.
    async fn has_properties(&self, asked: &[String]) -> std::result::Result<(), NoQuery> {
        let Ok(listing) = self.catalogue.listing().await else { return Ok(()) };
        let is_known =
            |name: &String| listing.value.images().iter().any(|image| image.properties.contains_key(name.as_str()));
        match asked.iter().find(|name| !is_known(name)) {
            Some(unknown) => Err(NoQuery::NoProperty(unknown.clone())),
            None => Ok(()),
        }
    }
}

/// Where the link to an image leads, from a folder of `query/`.
pub(super) fn target(image: ImageId) -> PathBuf {
    ["..", "..", View::ById.name(), image.as_str()].iter().collect()
}
