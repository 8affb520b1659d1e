//! Documents of which not everything can be read: a text that is none, a number that is too large, too many brackets.
//! What can be read of an image is taken, and what cannot is said, whether it is listed or shown alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Kind, Result, ServiceError};
use crate::image::ImageId;

/// How much of what is odd a sentence shows, in characters.
const SHOWN: usize = 60;

/// The fields of an image that can be read, and what is known of the others.
#[derive(Clone, Debug)]
pub(super) struct Readable<F> {
    pub(super) fields: F,
    pub(super) unread: Unread,
}

/// The fields that are there and cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Vec<Field>);

/// The name of a field, and why it cannot be read.
#[derive(Clone, Debug)]
struct Field {
    key: String,
    why: String,
}

impl<F> Readable<F> {
    /// What can be read of an image.
    ///
    /// # Errors
    /// Where it is no image, or the name of a field cannot be read.
    pub(super) fn of<'a, V>(image: &'a str) -> serde_json::Result<Self>
    where
        F: Deserialize<'a> + FromIterator<(String, V)>,
        V: Deserialize<'a>,
    {
        let whole = serde_json::from_str(image).map(|fields| Self { fields, unread: Unread::default() });
        whole.or_else(|_| Self::in_part(image))
    }

    /// The same, field by field.
    fn in_part<'a, V>(image: &'a str) -> serde_json::Result<Self>
    where
        F: FromIterator<(String, V)>,
        V: Deserialize<'a>,
    {
        let fields: BTreeMap<String, &'a RawValue> = serde_json::from_str(image)?;
        let mut unread = Unread::default();
        let read = |(key, value): (String, &'a RawValue)| match serde_json::from_str(value.get()) {
            Ok(value) => Some((key, value)),
            Err(error) => {
                unread.0.push(Field { key, why: error.to_string() });
                None
            }
        };
        let fields = fields.into_iter().filter_map(read).collect();
        Ok(Self { fields, unread })
    }
}

impl Unread {
    /// Whether this field is there and cannot be read.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|field| field.key == key)
    }

    /// What cannot be read of the image, as sentences.
    pub(super) fn said(&self, image: ImageId) -> impl Iterator<Item = String> {
        self.0.iter().map(move |field| format!("image {image} is shown without its {field}"))
    }

    /// Refuses to go by fields that cannot be read: they are not empty.
    ///
    /// # Errors
    /// [`Kind::Malformed`] where one of them is among `keys`.
    pub(super) fn refuse(&self, keys: &[&str], action: &str) -> Result<()> {
        match self.0.iter().find(|field| keys.contains(&field.key.as_str())) {
            Some(field) => Err(ServiceError::new(Kind::Malformed, action).with_words(format!("the image has {field}"))),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, which cannot be read: {}", shown(&self.key), self.why)
    }
}

/// A document as text, with a sign in the place of bytes that are none.
pub(super) fn text(document: &[u8]) -> Cow<'_, str> {
    // The lossy way takes several times as long to find that all is well.
    std::str::from_utf8(document).map_or_else(|_| String::from_utf8_lossy(document), Cow::Borrowed)
}

/// What is odd, as far as a sentence shows it.
pub(super) fn shown(odd: &str) -> String {
    let shown: String = odd.chars().take(SHOWN).collect();
    let more = if shown.len() < odd.len() { "\u{2026}" } else { "" };
    format!("{}{more}", shown.escape_debug())
}
