//! A listing, page after page.

use std::collections::HashSet;
use std::sync::Arc;

use super::refresh::ONE_PAGE;
use crate::image::{Image, ImageId};
use crate::service::page::{Contents, Marker, Page};
use crate::service::{ImageService, Kind, ListQuery, Result, ServiceError};

/// How often a listing begins again because an image at a page's end was deleted meanwhile.
pub(super) const STARTS: u32 = 5;

/// More images than any service has. One that lists more does not come to an end.
const MOST: usize = 10_000_000;

/// What a listing showed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) images: Vec<Arc<Image>>,
    /// What was odd about it, as sentences.
    pub(super) odd: Vec<String>,
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
    let mut markers = HashSet::new();
    // A marker that somebody gave does not come back, however often the listing begins again.
    let unknown = |error: ServiceError| match error.kind {
        Kind::MarkerGone if part.marker.is_some() => ServiceError { kind: Kind::Invalid, ..error },
        _ => error,
    };
    let mut page = service.list(query, part.marker).await.map_err(unknown)?;
    loop {
        let wanted = part.most.saturating_sub(listed.images.len());
        let likely = page.likely_next.clone().filter(|next| !markers.contains(&next.0));
        if likely.is_some() {
            (part.goes_on)();
        }
        let (contents, ahead) = tokio::join!(read(page), ahead(service, query, likely, wanted));
        let contents = contents?;
        let share = |image: Arc<Image>| (part.known)(image.id).filter(|known| *known == image).unwrap_or(image);
        listed.images.extend(contents.images.into_iter().filter(|image| (part.takes)(image)).map(share));
        listed.odd.extend(contents.odd);
        let Some(next) = contents.next.filter(|_| listed.images.len() < part.most) else { break };
        if !markers.insert(next.0.clone()) || listed.images.len() > MOST {
            let odd = format!("the service repeats itself: behind image {} it lists what it listed before", next.0);
            listed.odd.push(odd);
            break;
        }
        page = match ahead {
            Some((marker, answer)) if marker == next => answer?,
            _ => service.list(query, Some(&next)).await?,
        };
    }
    Ok(listed)
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
