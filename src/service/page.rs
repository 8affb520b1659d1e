//! One page of a listing.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::readable::{Readable, shown};
use super::{Kind, Result, ServiceError};
use crate::image::{Image, ImageId, Status};

/// Bytes at the end of a page in which is looked for what tells of the next one.
pub(super) const TAIL: usize = 16 << 10;

/// Where a page of a listing begins: behind the image of this id, which need not be a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(pub String);

impl From<ImageId> for Marker {
    fn from(id: ImageId) -> Self {
        Self(id.as_str().to_owned())
    }
}

/// What was in a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The images, in the listing's order, without those that no folder can show.
    pub images: Vec<Arc<Image>>,
    /// How many there are with those.
    pub passed: usize,
    /// The last one, shown or not.
    pub end: Option<ImageId>,
    /// What could not be taken for an image, or not be read of one, as sentences. The rest is as good as ever.
    pub odd: Vec<String>,
    /// What to give as `marker` for the next page; `None` on the last one.
    pub next: Option<Marker>,
}

impl Contents {
    /// A page of these images.
    pub fn of(images: Vec<Arc<Image>>, odd: Vec<String>, next: Option<Marker>) -> Self {
        let mut contents = Self { odd, next, ..Self::default() };
        for image in images {
            contents.push(image);
        }
        contents
    }

    /// Takes in an image, which is shown or not.
    pub(super) fn push(&mut self, image: Arc<Image>) {
        self.passed = self.passed.saturating_add(1);
        self.end = Some(image.id);
        if is_shown(&image) {
            self.images.push(image);
        }
    }

    /// Takes in an image as the listing has it. What cannot be read of it takes neither its other fields nor its neighbours
    /// with it.
    pub(super) fn take<'a, F, V>(&mut self, image: &'a str, into_image: impl FnOnce(F, Option<&Image>) -> Option<Image>)
    where
        F: Deserialize<'a> + FromIterator<(String, V)>,
        V: Deserialize<'a>,
    {
        let Readable { fields, unread } = match Readable::of(image) {
            Ok(read) => read,
            Err(error) => return self.odd.push(left_out(&format!("something that is no image ({error})"), image)),
        };
        match into_image(fields, self.images.last().map(Arc::as_ref)) {
            Some(image) => {
                if is_shown(&image) {
                    self.odd.extend(unread.said(image.id));
                }
                self.push(Arc::new(image));
            }
            None => self.odd.push(left_out("something without an id that is a UUID", image)),
        }
    }
}

/// One page of a listing, as it came. To read a thousand images takes milliseconds, in which the next page can be asked
/// for.
pub struct Page {
    contents: Box<dyn FnOnce() -> Result<Contents> + Send>,
    /// What most likely is the `marker` for the next page. What is certain is in the contents.
    pub likely_next: Option<Marker>,
}

impl Page {
    /// A page that `contents` reads.
    pub fn unread(contents: impl FnOnce() -> Result<Contents> + Send + 'static, likely_next: Option<Marker>) -> Self {
        Self { contents: Box::new(contents), likely_next }
    }

    /// A page of these images.
    pub fn of(images: Vec<Image>, next: Option<Marker>) -> Self {
        let contents = Contents::of(images.into_iter().map(Arc::new).collect(), Vec::new(), next.clone());
        Self::unread(|| Ok(contents), next)
    }

    /// Reads what is in it.
    ///
    /// # Errors
    /// [`Kind::Malformed`] where it is no page.
    pub fn read(self) -> Result<Contents> {
        (self.contents)()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Page(likely next: {:?})", self.likely_next)
    }
}

/// The last bytes of a page, as text.
pub(super) fn tail(page: &[u8]) -> Option<Cow<'_, str>> {
    page.get(page.len().saturating_sub(TAIL)..).map(String::from_utf8_lossy)
}

/// A listing knows statuses that a folder cannot show.
fn is_shown(image: &Image) -> bool {
    !matches!(image.status, Status::Deleted | Status::PendingDelete)
}

/// The sentence about something in a listing that is not taken for an image.
fn left_out(what: &str, image: &str) -> String {
    format!("the service lists {what}, which is left out: {}", shown(image))
}

/// A 400 that names the marker says that the marker's image is gone, and a 403 that it is not ours to see any more:
/// without a marker, listing is forbidden to nobody.
pub(super) fn marker_gone(mut error: ServiceError, marker: Option<&Marker>) -> ServiceError {
    let names = |Marker(id): &Marker| error.words.as_deref().is_some_and(|words| words.contains(id));
    let gone = match error.kind {
        Kind::Invalid => marker.is_some_and(names),
        Kind::Forbidden => marker.is_some(),
        _ => false,
    };
    if gone {
        error.kind = Kind::MarkerGone;
    }
    error
}
