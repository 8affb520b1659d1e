//! A listing, page after page.

use std::collections::HashSet;
use std::sync::Arc;

use crate::image::Image;
use crate::service::page::{Contents, Marker, Page};
use crate::service::{ImageService, Kind, ListQuery, Result, ServiceError};

/// How often a listing begins again because an image at a page's end was deleted meanwhile.
pub(super) const STARTS: u32 = 5;

/// More images than any service has. One that lists more does not come to an end.
const MOST: usize = 10_000_000;

/// What a listing showed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) images: Vec<Image>,
    /// What was odd about it, as sentences.
    pub(super) odd: Vec<String>,
}

/// What of a listing is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// It begins behind this.
    pub(super) marker: Option<&'a Marker>,
    /// So many images are enough.
    pub(super) most: usize,
}

impl Part<'_> {
    pub(super) const ALL: Self = Self { marker: None, most: usize::MAX };
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
    let mut markers = HashSet::new();
    // A marker that somebody gave does not come back, however often the listing begins again.
    let unknown = |error: ServiceError| match error.kind {
        Kind::MarkerGone if part.marker.is_some() => ServiceError { kind: Kind::Invalid, ..error },
        _ => error,
    };
    let mut page = service.list(query, part.marker).await.map_err(unknown)?;
    while let Some(marker) = page.next.clone().filter(|_| listed.images.len() < part.most) {
        if !markers.insert(marker.0.clone()) || listed.images.len() > MOST {
            listed
                .odd
                .push(format!("the service repeats itself: behind image {} it lists what it listed before", marker.0));
            break;
        }
        page = listed.take_and_ask(service, query, page, &marker).await?;
    }
    listed.take(read(page).await?);
    Ok(listed)
}

impl Listed {
    /// Reads a page while the next one is asked for.
    async fn take_and_ask(
        &mut self,
        service: &dyn ImageService,
        query: &ListQuery,
        page: Page,
        marker: &Marker,
    ) -> Result<Page> {
        let (contents, next) = tokio::join!(read(page), service.list(query, Some(marker)));
        self.take(contents?);
        next
    }

    fn take(&mut self, contents: Contents) {
        self.images.extend(contents.images);
        self.odd.extend(contents.odd);
    }
}

async fn read(page: Page) -> Result<Contents> {
    let read = tokio::task::spawn_blocking(|| page.read()).await;
    read.map_err(|_| ServiceError::new(Kind::Malformed, "list images").with_words("the program failed"))
}

/// Images as they are held: what is equal to what is known already is shared with it.
pub(super) fn shared(images: Vec<Image>, known: impl Fn(&Image) -> Option<Arc<Image>>) -> Vec<Arc<Image>> {
    let share = |image: Image| known(&image).filter(|known| **known == image).unwrap_or_else(|| Arc::new(image));
    images.into_iter().map(share).collect()
}
