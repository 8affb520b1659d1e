//! `query/`: folders whose names are questions, with a symbolic link to each image that is the answer.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::time::Instant;

use super::error::FsError;
use super::node::View;
use super::query::{Expression, NoQuery};
use super::{FileSystem, Result};
use crate::catalogue::{Index, Seen};
use crate::image::{Image, ImageId};
use crate::service::Kind;

/// Answers that are remembered for the TTL: a person looks into a few of them in turn.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// The images that answer a question, in its order, and what their links are called.
#[derive(Debug, Default)]
pub(super) struct Results {
    rows: Vec<(Box<str>, ImageId)>,
    places: HashMap<Box<str>, usize>,
}

/// The answers of late, by their questions, and when these were asked.
#[derive(Debug)]
pub(super) struct Answers(Mutex<LruCache<Box<str>, Answer>>);

type Answer = (Instant, Arc<Results>);

impl Default for Answers {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Results {
    /// Links are called as the images are in `by-name`, told apart by their ids where two of them share a name; those
    /// without a name by their ids.
    fn new(images: &[Arc<Image>]) -> Self {
        let names = Index::new(images.iter().cloned());
        let mut entries: HashMap<ImageId, Box<str>> = names.iter().map(|(entry, id)| (id, entry.into())).collect();
        let name =
            |image: &Arc<Image>| (entries.remove(&image.id).unwrap_or_else(|| image.id.as_str().into()), image.id);
        let rows: Vec<(Box<str>, ImageId)> = images.iter().map(name).collect();
        let places = (0..).zip(&rows).map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { rows, places }
    }

    /// The links and their images.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, ImageId)> {
        self.rows.iter().map(|(name, id)| (&**name, *id))
    }

    /// The image of a link.
    pub(super) fn get(&self, name: &str) -> Option<ImageId> {
        self.places.get(name).and_then(|at| self.rows.get(*at)).map(|(_, id)| *id)
    }
}

impl FileSystem {
    /// The answer to a question, at most a TTL old.
    pub(super) async fn results(&self, expression: &str) -> Result<Seen<Arc<Results>>> {
        let ttl = self.settings.ttl;
        let known = self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).get(expression).cloned();
        if let Some((asked, value)) = known
            && let Some(fresh_for) = ttl.checked_sub(asked.elapsed()).filter(|left| !left.is_zero())
        {
            return Ok(Seen { value, fresh_for });
        }
        let asked = Instant::now();
        let value = Arc::new(self.ask(expression).await?);
        let mut answers = self.answers.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.put(expression.into(), (asked, Arc::clone(&value)));
        Ok(Seen { value, fresh_for: ttl })
    }

    async fn ask(&self, text: &str) -> Result<Results> {
        let refused = |why: NoQuery| FsError::NoQuery(why);
        let expression = Expression::parse(text).map_err(refused)?;
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
        Ok(Results::new(&images))
    }

    /// That a question has no answer is said of a filter that does not exist, and not shown as an empty folder.
    async fn has_properties(&self, asked: &[String]) -> std::result::Result<(), NoQuery> {
        let Ok(listing) = self.catalogue.listing().await else { return Ok(()) };
        let is_known = |name: &String| listing.value.images().iter().any(|image| image.properties.contains_key(name));
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
