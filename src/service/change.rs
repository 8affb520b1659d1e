//! What is sent to the service to change something: a new image, changes of its attributes, its bytes.

use serde_json::Value;

use super::{ByteStream, Kind, ServiceError};
use crate::image::{ImageId, Properties, Text, Visibility};

/// An image to be made. What is `None` or empty is left out of the request, and is then as the service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    /// The id, chosen by who asks, so that an answer that was lost never makes two images.
    pub id: ImageId,
    /// The name.
    pub name: Option<String>,
    /// The wrapping around the disk (`bare`, …).
    pub container_format: Option<Text>,
    /// The format of the disk inside.
    pub disk_format: Option<Text>,
    /// Who sees it.
    pub visibility: Option<Visibility>,
    /// Additional properties.
    pub properties: Properties,
    /// Tags.
    pub tags: Vec<Text>,
}

impl NewImage {
    /// An image of which nothing is given but its id.
    pub fn new(id: ImageId) -> Self {
        Self {
            id,
            name: None,
            container_format: None,
            disk_format: None,
            visibility: None,
            properties: Properties::default(),
            tags: Vec::new(),
        }
    }
}

/// One change of an image's attributes or additional properties.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The attribute or property has this value afterwards, whether it was there before or not.
    Set {
        /// Its name, as the API spells it.
        key: String,
        /// Its value: a string for properties; `tags` is an array that replaces all of them.
        value: Value,
    },
    /// The property is not there afterwards. Attributes cannot be removed.
    Remove {
        /// Its name.
        key: String,
    },
}

impl Change {
    /// The attribute or property is to have this value.
    pub fn set(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Set { key: key.into(), value: value.into() }
    }

    /// The name of what it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Remove { key } => key,
        }
    }

    /// The property is to go.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::Remove { key: key.into() }
    }
}

/// What is done to an image as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nobody but an administrator reads its bytes from now on.
    Deactivate,
    /// Its bytes can be read again.
    Reactivate,
}

impl Action {
    /// The action in the service's spelling, which is also the verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deactivate => "deactivate",
            Self::Reactivate => "reactivate",
        }
    }
}

/// An image's bytes, to be sent.
pub struct Outgoing {
    /// The image, which has to be queued.
    pub image: ImageId,
    /// How many bytes there are.
    pub size: u64,
    /// The bytes, exactly `size` of them. An error that it yields ends the upload, which fails with that very error.
    pub body: ByteStream,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Outgoing").field("image", &self.image).field("size", &self.size).finish_non_exhaustive()
    }
}

/// The changes without those that a later one of the same key makes void: how the image is to be afterwards.
pub(super) fn last_of_each_key(changes: &[Change]) -> Vec<&Change> {
    let is_last =
        |(at, change): &(usize, &Change)| !changes.iter().skip(at + 1).any(|later| later.key() == change.key());
    changes.iter().enumerate().filter(is_last).map(|(_, change)| change).collect()
}

/// The service said time and again that it made the changes, and did not.
pub(super) fn undone(action: &str, left: &[&Change]) -> ServiceError {
    let keys: Vec<_> = left.iter().map(|change| format!("'{}'", change.key())).collect();
    let words = format!(
        "the service takes the change, and shows {} as before; somebody else may be changing the image",
        keys.join(", ")
    );
    ServiceError::new(Kind::Conflict, action).with_words(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_changes_of_one_key_the_last_counts() {
        let changes = [Change::set("p", "1"), Change::set("q", "1"), Change::remove("p"), Change::set("p", "2")];
        assert_eq!(last_of_each_key(&changes), [&changes[1], &changes[3]]);
    }
}
