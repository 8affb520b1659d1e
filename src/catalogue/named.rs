//! Images by their names while the first listing is under way: who wants one of a hundred thousand does not wait for all of
//! them.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::pages::{self, Part};
use super::snapshot::Snapshot;
use super::{Catalogue, Inner, Timed};
use crate::image::ImageId;
use crate::name::{LONGEST, decode};
use crate::service::{ListQuery, Result};

/// What makes the service take a name for several.
const SEVERAL: &str = "in:";

impl Catalogue {
    /// The image that an entry of `by-name` stands for. Where the first listing turns out to be long, the service is asked for
    /// that name alone.
    pub async fn named(&self, entry: &str) -> Result<Option<ImageId>> {
        let listing = self.listing();
        tokio::pin!(listing);
        let names = names_behind(entry);
        tokio::select! {
            biased;
            listing = &mut listing => return Ok(listing?.value.names().resolve(entry)),
            () = self.0.lists_for_long(), if !names.is_empty() => {}
        }
        tokio::select! {
            biased;
            listing = &mut listing => Ok(listing?.value.names().resolve(entry)),
            Ok(found) = self.ask_for(entry, &names) => Ok(found),
        }
    }

    /// What the entry stands for among the images of these names, which are all that could have it.
    async fn ask_for(&self, entry: &str, names: &[String]) -> Result<Option<ImageId>> {
        let since = Instant::now();
        let query =
            |name: &String| ListQuery { filters: vec![("name".to_owned(), name.clone())], ..ListQuery::default() };
        let queries: Vec<ListQuery> = names.iter().map(query).collect();
        let asked = queries.iter().map(|query| pages::all(self.0.service.as_ref(), query, &Part::ALL));
        let mut images = Vec::new();
        for mut listed in try_join_all(asked).await? {
            listed.say(&self.0.remarks);
            images.extend(listed.images);
        }
        let mut state = self.state();
        for image in &images {
            state.show(image.id, Timed { value: Ok(Arc::clone(image)), since });
        }
        Ok(Snapshot::of(images).names().resolve(entry))
    }
}

impl Inner {
    /// The first listing has more than one page.
    pub(super) fn list_for_long(&self) {
        let mut state = self.state();
        state.lists_for_long = state.listing.is_none();
        drop(state);
        self.goes_on.notify_waiters();
    }

    async fn lists_for_long(&self) {
        loop {
            let goes_on = self.goes_on.notified();
            tokio::pin!(goes_on);
            goes_on.as_mut().enable();
            if self.state().lists_for_long {
                return;
            }
            goes_on.await;
        }
    }
}

/// The names that an image can have to be what the entry stands for; none where they cannot be told, or not asked for.
fn names_behind(entry: &str) -> Vec<String> {
    let with_id = entry.rsplit_once('~').map(|(base, _)| base);
    let names: Vec<String> = [Some(entry), with_id].into_iter().flatten().filter_map(decode).collect();
    // A long name is cut, and what was cut off is not known.
    let is_told = entry.len() + 33 <= LONGEST && !names.iter().any(|name| name.starts_with(SEVERAL) || name.is_empty());
    if is_told { names } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::fs::testing::{Fake, id, image};

    #[test]
    fn the_names_behind_an_entry_are_those_that_it_can_be_made_of() {
        assert_eq!(names_behind("a"), ["a"]);
        assert_eq!(names_behind("a%2Fb~00000001"), ["a/b~00000001", "a/b"]);
        assert_eq!(names_behind("~1"), ["~1"]);
        let long = "n".repeat(LONGEST - 10);
        for unknown in ["in:a,b", "%", long.as_str()] {
            assert!(names_behind(unknown).is_empty(), "{unknown}");
        }
    }

    #[tokio::test]
    async fn who_wants_one_image_does_not_wait_for_a_long_listing() {
        let service = Fake::with([image(1, "a"), image(2, "b"), image(3, "b"), image(4, "c"), image(5, "c~00000002")]);
        let pages = Arc::new(Semaphore::new(1));
        service.change(|world| {
            world.page = 2;
            world.holding.insert("list", Arc::clone(&pages));
        });
        let catalogue = Catalogue::new(Arc::new(service.clone()), std::time::Duration::from_secs(5));
        let cases = [("c", Some(4)), ("b", None), ("b~00000003", Some(3)), ("none", None), ("c~00000002", Some(5))];
        for (entry, found) in cases {
            assert_eq!(catalogue.named(entry).await.unwrap(), found.map(id), "{entry}");
        }
        assert_eq!(catalogue.image(id(4)).await.unwrap().value.name.as_deref(), Some("c"));
        // Those that are called b fill a page.
        assert_eq!((service.calls("named"), service.calls("show")), (1 + 2 + (1 + 2) + 1 + 2, 0));
        pages.add_permits(9);
        assert_eq!(catalogue.listing().await.unwrap().value.len(), 5);
        for (entry, found) in cases {
            assert_eq!(catalogue.named(entry).await.unwrap(), found.map(id), "{entry}, listed");
        }
        assert_eq!(service.calls("named"), 9);
    }

    #[tokio::test]
    async fn a_short_listing_is_all_that_is_asked_for() {
        let service = Fake::with([image(1, "a")]);
        let catalogue = Catalogue::new(Arc::new(service.clone()), std::time::Duration::from_secs(5));
        assert_eq!(catalogue.named("a").await.unwrap(), Some(id(1)));
        assert_eq!((service.calls("list"), service.calls("named")), (1, 0));
    }
}
