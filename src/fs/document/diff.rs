//! What somebody changed in `metadata.json`, as changes of the image. Pure.
//!
//! Three documents are compared: the one that was written, the one that its writer had read (the base), and the image as
//! it is now. What equals the base was not changed by this writer, so that what others changed meanwhile stays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::attributes;
use crate::image::{DATA_MTIME, Image, Status, Text};
use crate::schema::{ATTRIBUTES, Misfit, Schema, quoted};
use crate::service::Change;

/// Why nothing of a document is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The document has another value where only the service writes.
    #[error("{} cannot be changed, it is the service's own: leave it as it is, or leave it out", quoted(key))]
    ReadOnly {
        /// The attribute or property.
        key: String,
    },
    /// The document was made from an image that was different, and nobody knows how.
    #[error(
        "this document was made before the image was last changed, and what it looked like then is not known any more: \
         read it again, and change that"
    )]
    Outdated,
    /// The writer changed what somebody else changed meanwhile, and nobody knows which of it is to be.
    #[error("somebody else has changed {} since this document was read: read it again, and change that", quoted(key))]
    Contested {
        /// The attribute or property.
        key: String,
    },
    /// A document that nobody read here has only what cannot be written.
    #[error(
        "of this document nothing can be written: the Compute API takes properties alone, which stand in an object under 'metadata'"
    )]
    NoMetadata,
    /// A value that the service would refuse.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// The changes that make of `current` what the writer of `document` wants: attributes in the order of the document, then
/// properties by name. `base` is the document as the writer last read or saved it, where that is known.
///
/// A document with the image's own id is that image's, edited. One with another id, or none, is a backup or a template:
/// what of it can be written is, and the rest is passed over.
///
/// # Errors
/// Where something cannot be written as it is wanted; then nothing is.
pub(in crate::fs) fn changes(
    document: &Map<String, Value>,
    base: Option<&Map<String, Value>>,
    current: &Image,
    schema: &Schema,
) -> Result<Vec<Change>, Refused> {
    let is_own = document.get("id").and_then(Value::as_str) == Some(current.id.as_str());
    let before = base.filter(|base| is_own && base.get("id") == document.get("id"));
    let sides = Sides { document, before, now: fields(current), current, schema };
    if is_own { sides.edited() } else { sides.restored() }
}

/// Whether a change of what was `newest` is none of `older`: who wrote the document may have made it from that, and may not have
/// known what the newest has.
pub(in crate::fs) fn takes_back(
    change: &Change,
    document: &Map<String, Value>,
    newest: &Map<String, Value>,
    older: &Map<String, Value>,
) -> bool {
    let key = key_of(change);
    if key != TAGS {
        return document.get(key) == older.get(key);
    }
    let tags = |lines: &Map<String, Value>| -> BTreeSet<String> {
        let tags = lines.get(TAGS).and_then(|tags| tags_in(tags).ok()).unwrap_or_default();
        tags.into_iter().map(str::to_owned).collect()
    };
    let (given, newest, older) = (tags(document), tags(newest), tags(older));
    given.symmetric_difference(&newest).any(|tag| given.contains(tag) == older.contains(tag))
}

fn fields(image: &Image) -> BTreeMap<&str, Value> {
    attributes(image).into_iter().collect()
}

/// What is compared.
struct Sides<'a> {
    document: &'a Map<String, Value>,
    /// What the writer had read.
    before: Option<&'a Map<String, Value>>,
    /// The image as it is, and its lines.
    current: &'a Image,
    now: BTreeMap<&'a str, Value>,
    schema: &'a Schema,
}

impl Sides<'_> {
    /// The image's own document, after somebody edited it.
    fn edited(&self) -> Result<Vec<Change>, Refused> {
        if self.before.is_none() && !self.is_of_now() {
            return Err(Refused::Outdated);
        }
        let mut changes = self.removals()?;
        for (key, given) in self.lines() {
            changes.extend(self.edit(key, given)?);
        }
        changes.sort_by(|one, other| place(key_of(one)).cmp(&place(key_of(other))));
        Ok(changes)
    }

    /// Whether a document that nobody is known to have read can have been made from the image as it is. Its time is that of
    /// the image then; and since that tells whole seconds, nothing is missing: who took that out is not known, and it may
    /// have come to the image in the same second.
    fn is_of_now(&self) -> bool {
        let given = self.document.get(TAGS).and_then(|given| tags_in(given).ok());
        let has_tags = given.is_none_or(|given| tags_of(self.current).is_subset(&given));
        let has_properties = self.current.properties.keys().all(|key| self.document.contains_key(key.as_str()));
        self.document.get("updated_at") == self.now.get("updated_at") && has_tags && has_properties
    }

    /// The properties whose lines were taken out. An attribute is always there, and a line less says nothing of it.
    fn removals(&self) -> Result<Vec<Change>, Refused> {
        let read = self.before.into_iter().flat_map(Map::keys);
        let gone =
            read.filter(|key| !self.document.contains_key(*key) && self.current.properties.contains_key(key.as_str()));
        let writable = gone.filter(|key| !self.schema.is_attribute(key) && !self.is_read_only(key));
        writable.map(|key| self.uncontested(key).map(|()| Change::remove(key))).collect()
    }

    /// Refuses to change what somebody else changed since it was read. A document that was saved says nothing of an attribute
    /// whose line it left out.
    fn uncontested(&self, key: &str) -> Result<(), Refused> {
        let Some(before) = self.before else { return Ok(()) };
        let (read, now) = (before.get(key), self.now.get(key));
        let is_unknown = read.is_none() && self.schema.is_attribute(key);
        if read == now || is_unknown { Ok(()) } else { Err(Refused::Contested { key: key.to_owned() }) }
    }

    /// What one line of an edited document changes.
    fn edit(&self, key: &str, given: &Value) -> Result<Option<Change>, Refused> {
        let read = self.before.and_then(|before| before.get(key));
        if read == Some(given) || self.now.get(key) == Some(given) {
            return Ok(None);
        }
        if self.is_read_only(key) {
            return Err(Refused::ReadOnly { key: key.to_owned() });
        }
        self.schema.check(key, given)?;
        if key == TAGS {
            return Ok(self.set(key, self.merged(&tags_in(given)?)));
        }
        self.uncontested(key)?;
        Ok(self.set(key, given.clone()))
    }

    /// The image's tags, with those that the writer added and without those that they took out.
    fn merged(&self, given: &BTreeSet<&str>) -> Value {
        let now = tags_of(self.current);
        let read = self.before.and_then(|before| before.get(TAGS)).and_then(|tags| tags_in(tags).ok());
        let read = read.unwrap_or_else(|| given.intersection(&now).copied().collect());
        let kept = now.into_iter().filter(|tag| given.contains(tag) || !read.contains(tag));
        let added = given.difference(&read).copied();
        json!(kept.chain(added).collect::<BTreeSet<_>>())
    }

    /// Another image's document, or nobody's.
    fn restored(&self) -> Result<Vec<Change>, Refused> {
        let mut changes = Vec::new();
        for (key, given) in self.lines() {
            if self.is_passed_over(key, given) || self.now.get(key) == Some(given) {
                continue;
            }
            self.schema.check(key, given)?;
            let wanted = if key == TAGS { json!(tags_in(given)?) } else { given.clone() };
            changes.extend(self.set(key, wanted));
        }
        Ok(changes)
    }

    /// The change to `wanted`, if the image is not so already.
    fn set(&self, key: &str, wanted: Value) -> Option<Change> {
        let holds = match key {
            TAGS => wanted == json!(tags_of(self.current)),
            key => self.now.get(key) == Some(&wanted),
        };
        (!holds).then(|| Change::set(key, wanted))
    }

    /// Whether only the service writes it: by its schema, or because it is neither an attribute nor a property.
    fn is_read_only(&self, key: &str) -> bool {
        // Properties are texts: what is neither that nor an attribute was something else already when it was read.
        let read = self.before.and_then(|before| before.get(key)).filter(|_| !self.schema.is_attribute(key));
        self.schema.is_read_only(key)
            || self.current.other.contains_key(key)
            || read.is_some_and(|value| !value.is_string())
    }

    /// Whether a line means nothing in a document that is not the image's own: what cannot be written, or no longer. Some
    /// properties are shown as null where there are none (`kernel_id`). The name in another image's document is that image's:
    /// who copies it into a folder has said by the folder's name how this one is to be called. So is the time of its bytes,
    /// where the copy of these has one.
    fn is_passed_over(&self, key: &str, given: &Value) -> bool {
        match key {
            "owner" => true,
            "name" => {
                self.document.contains_key("id") && self.current.name.as_ref().is_some_and(|name| !name.is_empty())
            }
            DATA_MTIME => self.document.contains_key("id") && self.current.properties.contains_key(DATA_MTIME),
            "disk_format" | "container_format" => self.current.status != Status::Queued,
            key if self.is_read_only(key) => true,
            key => given.is_null() && !self.schema.is_attribute(key) && !self.current.properties.contains_key(key),
        }
    }

    /// The lines of the document, in the order in which an image's are shown.
    fn lines(&self) -> Vec<(&str, &Value)> {
        let mut lines: Vec<_> = self.document.iter().map(|(key, value)| (key.as_str(), value)).collect();
        lines.sort_by_key(|(key, _)| place(key));
        lines
    }
}

const TAGS: &str = "tags";

/// The tags of an image, which have no order.
fn tags_of(image: &Image) -> BTreeSet<&str> {
    image.tags.iter().map(Text::as_str).collect()
}

/// The tags in a document, where some may be written twice.
fn tags_in(given: &Value) -> Result<BTreeSet<&str>, Misfit> {
    let tags = given.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    tags.ok_or_else(|| Misfit::of(TAGS, given, "it is a list of texts"))
}

/// Attributes stand in their own order, and properties behind them by name.
fn place(key: &str) -> (usize, &str) {
    (ATTRIBUTES.iter().position(|attribute| *attribute == key).unwrap_or(ATTRIBUTES.len()), key)
}

fn key_of(change: &Change) -> &str {
    match change {
        Change::Set { key, .. } | Change::Remove { key } => key,
    }
}

#[cfg(test)]
mod tests;
