//! One page of a listing.

use std::fmt;
use std::sync::Arc;

use super::Result;
use crate::image::{Image, ImageId};

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
    /// The images, in the listing's order.
    pub images: Vec<Arc<Image>>,
    /// What could not be taken for an image, as sentences. The rest is as good as ever.
    pub odd: Vec<String>,
    /// What to give as `marker` for the next page; `None` on the last one.
    pub next: Option<Marker>,
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
        let images = images.into_iter().map(Arc::new).collect();
        let contents = Contents { images, odd: Vec::new(), next: next.clone() };
        Self::unread(|| Ok(contents), next)
    }

    /// Reads what is in it.
    ///
    /// # Errors
    /// [`Kind::Malformed`](super::Kind::Malformed) where it is no page.
    pub fn read(self) -> Result<Contents> {
        (self.contents)()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Page(likely next: {:?})", self.likely_next)
    }
}
