//! A listing, page after page.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::refresh::ONE_PAGE;
use super::snapshot::Snapshot;
use crate::image::{Image, ImageId};
use crate::service::page::{Contents, Marker, Page};
use crate::service::remarks;
use crate::service::{ImageService, Kind, ListQuery, Remarks, Result, ServiceError};

/// How often a listing begins again because an image at a page's end was deleted meanwhile.
pub(super) const STARTS: u32 = 5;

/// More images than any service has, and as many as memory bears. A listing with more does not come to an end.
const MOST: usize = 1_000_000;

/// Nor does one in which so many pages in a row show no image that was not there before.
const BARREN: usize = 100;

/// What a listing showed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) images: Vec<Arc<Image>>,
    /// What was odd about it, as sentences.
    pub(super) odd: Vec<String>,
    /// It was cut off, and cost many pages: it did not come to an end.
    pub(super) is_endless: bool,
}

impl Listed {
    /// Adds what was known before it and it does not show. What was cut off may have come behind.
    pub(super) fn keep(&mut self, known: &Snapshot) {
        let shown: HashSet<ImageId> = self.images.iter().map(|image| image.id).collect();
        let room = MOST.saturating_sub(self.images.len());
        let kept = known.images().iter().filter(|image| !shown.contains(&image.id)).take(room);
        self.images.extend(kept.cloned());
    }

    /// Says what is odd about it.
    pub(super) fn say(&mut self, remarks: &Remarks) {
        remarks.say(std::mem::take(&mut self.odd));
    }
}

/// What of a listing is wanted.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// It begins behind this.
    pub(super) marker: Option<&'a Marker>,
    /// The images that are.
    pub(super) takes: &'a (dyn Fn(&Image) -> bool + Sync),
    /// So many of them are enough.
    pub(super) most: usize,
    /// What is known of an image already. Where that is the same, it is held once.
    pub(super) known: &'a (dyn Fn(ImageId) -> Option<Arc<Image>> + Sync),
    /// Called where there is another page.
    pub(super) goes_on: &'a (dyn Fn() + Sync),
}

impl Part<'_> {
    pub(super) const ALL: Self =
        Self { marker: None, takes: &|_| true, most: usize::MAX, known: &|_| None, goes_on: &|| () };
}

/// The images that match `query`, in the listing's order. An image that was changed meanwhile may be there twice.
pub(super) async fn all(service: &dyn ImageService, query: &ListQuery, part: &Part<'_>) -> Result<Listed> {
    let mut start = 1;
    loop {
        match once(service, query, part).await {
            Err(error) if error.kind == Kind::MarkerGone && start < STARTS => start += 1,
            outcome => return outcome,
        }
    }
}

async fn once(service: &dyn ImageService, query: &ListQuery, part: &Part<'_>) -> Result<Listed> {
    let mut listed = Listed::default();
    let mut course = Course::default();
    // A marker that somebody gave does not come back, however often the listing begins again.
    let unknown = |error: ServiceError| match error.kind {
        Kind::MarkerGone if part.marker.is_some() => ServiceError { kind: Kind::Invalid, ..error },
        _ => error,
    };
    let mut page = service.list(query, part.marker).await.map_err(unknown)?;
    loop {
        let wanted = part.most.saturating_sub(listed.images.len());
        let likely = page.likely_next.clone().filter(|next| !course.markers.contains(&next.0));
        if likely.is_some() {
            (part.goes_on)();
        }
        let (contents, ahead) = tokio::join!(read(page), ahead(service, query, likely, wanted));
        let contents = contents?;
        course.passes(&contents);
        let share = |image: Arc<Image>| (part.known)(image.id).filter(|known| *known == image).unwrap_or(image);
        listed.images.extend(contents.images.into_iter().filter(|image| (part.takes)(image)).map(share));
        let room = remarks::MOST.saturating_sub(listed.odd.len());
        listed.odd.extend(contents.odd.into_iter().take(room));
        let Some(next) = contents.next.filter(|_| listed.images.len() < part.most) else { break };
        if let Some(why) = course.ends_before(&next) {
            listed.is_endless = matches!(why, Cut::Endless(_));
            // In front of what else is odd, of which there may be too much to be said.
            listed.odd.insert(0, why.to_string());
            break;
        }
        page = match ahead {
            Some((marker, answer)) if marker == next => answer?,
            _ => service.list(query, Some(&next)).await?,
        };
    }
    Ok(listed)
}

/// How far a listing has come.
#[derive(Default)]
struct Course {
    markers: HashSet<String>,
    /// The images at the ends of its pages.
    ends: HashSet<ImageId>,
    /// Images so far, also those that nobody wants, and those that are deleted.
    images: usize,
    /// Pages since one that ended with a new image.
    barren: usize,
}

impl Course {
    /// There is a page of this.
    fn passes(&mut self, contents: &Contents) {
        self.images = self.images.saturating_add(contents.passed);
        let is_new = contents.end.is_some_and(|end| self.ends.insert(end));
        self.barren = if is_new { 0 } else { self.barren.saturating_add(1) };
    }

    /// Why a listing is cut off that would go on with the page behind `next`.
    fn ends_before(&mut self, next: &Marker) -> Option<Cut> {
        if !self.markers.insert(next.0.clone()) {
            Some(Cut::Repeated(next.0.clone()))
        } else if self.images >= MOST {
            Some(Cut::Endless(format!("it goes on behind {MOST} images")))
        } else if self.barren >= BARREN {
            Some(Cut::Endless(format!("{BARREN} pages in a row show no new image")))
        } else {
            None
        }
    }
}

/// Why a listing is cut off.
enum Cut {
    /// It goes on with what it went on with before, behind this image.
    Repeated(String),
    /// It is too long, because of this.
    Endless(String),
}

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(id) => {
                write!(out, "the service repeats itself: behind image {id} it lists what it listed before")
            }
            Self::Endless(why) => {
                write!(out, "the service's listing does not come to an end, and is cut off: {why}")
            }
        }
    }
}

/// The next page, asked for before the one in front of it is read; none where that may be enough.
async fn ahead(
    service: &dyn ImageService,
    query: &ListQuery,
    likely: Option<Marker>,
    wanted: usize,
) -> Option<(Marker, Result<Page>)> {
    let marker = likely.filter(|_| wanted > ONE_PAGE)?;
    let answer = service.list(query, Some(&marker)).await;
    Some((marker, answer))
}

async fn read(page: Page) -> Result<Contents> {
    let read = tokio::task::spawn_blocking(|| page.read()).await;
    read.unwrap_or_else(|_| Err(ServiceError::new(Kind::Malformed, "list images").with_words("the program failed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::{Fake, MadeUp, image};
    use crate::image::Status;

    /// A listing of what the service makes up for each request, and how many there were.
    async fn made_up(page: MadeUp, part: &Part<'_>) -> (Listed, usize) {
        let service = Fake::with([]);
        service.change(|world| world.makes_up = Some(page));
        let listed = all(&service, &ListQuery::default(), part).await.unwrap();
        (listed, service.calls("list"))
    }

    #[tokio::test]
    async fn a_listing_that_shows_nothing_new_for_a_hundred_pages_comes_to_an_end() {
        let odd = |page| (Vec::new(), (0..1000).map(|n| format!("odd {page} {n}")).collect());
        let (listed, pages) = made_up(odd, &Part::ALL).await;
        assert_eq!((listed.images.len(), pages, listed.odd.len()), (0, BARREN, remarks::MOST + 1));
        assert!(listed.odd[0].contains("does not come to an end"), "{}", listed.odd[0]);

        let again = |_| (vec![Arc::new(image(1, "x")), Arc::new(image(2, "x"))], Vec::new());
        assert_eq!(made_up(again, &Part::ALL).await.1, BARREN + 1);
    }

    #[tokio::test]
    async fn a_listing_of_ever_more_images_comes_to_an_end_also_where_nobody_wants_them() {
        // Most of them are one in memory.
        let more = |page| {
            let one = Arc::new(image(0, "x"));
            let mut images = vec![one; 9_999];
            images.push(Arc::new(image(page, "x")));
            (images, Vec::new())
        };
        let (listed, pages) = made_up(more, &Part::ALL).await;
        assert_eq!((listed.images.len(), pages, listed.odd.len()), (MOST, MOST / 10_000, 1));
        let (listed, pages) = made_up(more, &Part { takes: &|_| false, ..Part::ALL }).await;
        assert_eq!((listed.images.len(), pages), (0, MOST / 10_000));
    }

    fn deleted(n: u32) -> Arc<Image> {
        Arc::new(Image { status: Status::Deleted, ..image(n, "x") })
    }

    #[tokio::test]
    async fn a_listing_of_pages_of_deleted_images_goes_on_to_those_behind_them() {
        let some = |page| match page {
            1..=1000 => (vec![deleted(page)], Vec::new()),
            1001 => (vec![Arc::new(image(1001, "x")), deleted(1002)], Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let (listed, pages) = made_up(some, &Part::ALL).await;
        assert_eq!((listed.images.len(), pages), (1, 1001 + BARREN));
    }

    #[tokio::test]
    async fn an_endless_listing_of_deleted_images_comes_to_an_end() {
        let again = |_| (vec![deleted(1), deleted(2)], Vec::new());
        assert_eq!(made_up(again, &Part::ALL).await.1, BARREN + 1, "they are the same ones each time");
        let more = |page| {
            let mut images = vec![deleted(0); 9_999];
            images.push(deleted(page));
            (images, Vec::new())
        };
        let (listed, pages) = made_up(more, &Part::ALL).await;
        assert_eq!((listed.images.len(), pages, listed.odd.len()), (0, MOST / 10_000, 1));
    }

    #[tokio::test]
    async fn a_listing_with_some_odd_pages_goes_on() {
        let page = |page| match page {
            300 => (Vec::new(), Vec::new()),
            page if page % 100 == 0 => (vec![Arc::new(image(page, "x"))], Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let (listed, pages) = made_up(page, &Part::ALL).await;
        assert_eq!((listed.images.len(), pages), (2, 200 + BARREN));
    }
}
