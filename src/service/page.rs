//! One page of a listing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Kind, Result, ServiceError};
use crate::image::{Image, ImageId, Status};

/// Bytes at the end of a page in which is looked for what tells of the next one.
pub(super) const TAIL: usize = 16 << 10;

/// How much of what is odd a sentence shows, in characters.
const SHOWN: usize = 60;

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
    /// What could not be taken for an image, or not be read of one, as sentences. The rest is as good as ever.
    pub odd: Vec<String>,
    /// What to give as `marker` for the next page; `None` on the last one.
    pub next: Option<Marker>,
}

impl Contents {
    /// Takes in an image as the listing has it. What cannot be read of it takes neither its other fields nor its neighbours
    /// with it.
    pub(super) fn take<'a, F, V>(&mut self, image: &'a str, into_image: impl FnOnce(F, Option<&Image>) -> Option<Image>)
    where
        F: Deserialize<'a> + FromIterator<(String, V)>,
        V: Deserialize<'a>,
    {
        let whole = serde_json::from_str(image).map(|fields| (fields, Vec::new()));
        let (fields, unread) = match whole.or_else(|_| readable(image)) {
            Ok(read) => read,
            Err(error) => return self.odd.push(left_out(&format!("something that is no image ({error})"), image)),
        };
        match into_image(fields, self.images.last().map(Arc::as_ref)) {
            Some(image) if is_shown(&image) => {
                let said = |field| format!("image {} is shown without its {field}", image.id);
                self.odd.extend(unread.into_iter().map(said));
                self.images.push(Arc::new(image));
            }
            Some(_) => {}
            None => self.odd.push(left_out("something without an id that is a UUID", image)),
        }
    }
}

/// The fields of an image that can be read, and each other one with the reason.
fn readable<'a, F, V>(image: &'a str) -> serde_json::Result<(F, Vec<String>)>
where
    F: FromIterator<(String, V)>,
    V: Deserialize<'a>,
{
    let fields: BTreeMap<String, &'a RawValue> = serde_json::from_str(image)?;
    let mut unread = Vec::new();
    let read = |(key, value): (String, &'a RawValue)| match serde_json::from_str(value.get()) {
        Ok(value) => Some((key, value)),
        Err(error) => {
            unread.push(format!("{}, which cannot be read: {error}", shown(&key)));
            None
        }
    };
    let fields = fields.into_iter().filter_map(read).collect();
    Ok((fields, unread))
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

/// A page as text, with a sign in the place of bytes that are none.
pub(super) fn text(page: &[u8]) -> Cow<'_, str> {
    // The lossy way takes several times as long to find that all is well.
    std::str::from_utf8(page).map_or_else(|_| String::from_utf8_lossy(page), Cow::Borrowed)
}

/// The last bytes of a page, as text.
pub(super) fn tail(page: &[u8]) -> Option<Cow<'_, str>> {
    page.get(page.len().saturating_sub(TAIL)..).map(String::from_utf8_lossy)
}

/// A listing knows statuses that a folder cannot show.
pub(super) fn is_shown(image: &Image) -> bool {
    !matches!(image.status, Status::Deleted | Status::PendingDelete)
}

/// The sentence about something in a listing that is not taken for an image.
fn left_out(what: &str, image: &str) -> String {
    format!("the service lists {what}, which is left out: {}", shown(image))
}

fn shown(odd: &str) -> String {
    let shown: String = odd.chars().take(SHOWN).collect();
    let more = if shown.len() < odd.len() { "\u{2026}" } else { "" };
    format!("{}{more}", shown.escape_debug())
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
