//! The schema of an image: which attributes there are, who writes them, and what they may be. No I/O.
//!
//! The service publishes it (`GET /v2/schemas/image`), because an operator can change it: more disk formats, properties
//! with values of their own. Only those keywords of JSON Schema are understood that Glance uses; another one forbids
//! nothing here, and the service has the last word.

mod misfit;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::misfit::Misfit;
pub(crate) use self::misfit::{printable, quoted};
use self::rule::Rule;

/// The attributes of every image, in the order in which people are shown them.
pub(crate) const ATTRIBUTES: [&str; 20] = [
    "id",
    "name",
    "status",
    "visibility",
    "owner",
    "protected",
    "os_hidden",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "created_at",
    "updated_at",
    "tags",
    "stores",
];

/// What nobody can write, whatever a schema says of it: Glance answers 403 for each of them, also for the last three,
/// which its schema does not list.
const READ_ONLY: [&str; 18] = [
    "id",
    "status",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "created_at",
    "updated_at",
    "stores",
    "self",
    "file",
    "schema",
    "direct_url",
    "locations",
    "location",
    "deleted",
    "deleted_at",
];

/// What of that is in no schema.
const UNLISTED: [&str; 3] = ["location", "deleted", "deleted_at"];

/// What Glance keeps for itself begins so.
const RESERVED: &str = "os_glance_";

/// The longest name of a property, in characters.
const LONGEST_NAME: usize = 255;

/// What an image's attributes and additional properties may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    rules: BTreeMap<String, Rule>,
    /// The rule of what is not listed; `None` where nothing else may be.
    additional: Option<Rule>,
}

/// What no name, value or tag has (Glance refuses it with 400).
pub const NOT_BEYOND: &str = "the service takes no characters of 4 bytes, as emoji are";

/// Whether a text has a character that no image of the service can have.
pub fn is_beyond(text: &str) -> bool {
    text.chars().any(|character| character > '\u{ffff}')
}

/// The texts of a value.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
    value.as_str().into_iter().chain(elements.iter().filter_map(Value::as_str))
}

impl Schema {
    /// The schema that the service shows; `None` where the answer is none.
    pub fn of(json: &Value) -> Option<Self> {
        let listed = json.get("properties")?.as_object()?;
        let rules = listed.iter().map(|(key, rule)| (key.clone(), Rule::of(key, rule))).collect();
        let additional = json.get("additionalProperties").unwrap_or(&Value::Null);
        Some(Self { rules, additional: (*additional != Value::Bool(false)).then(|| Rule::of("", additional)) })
    }

    /// What Glance has without an operator's changes, for a service that shows no schema.
    pub fn builtin() -> Self {
        let written = rule::builtin().into_iter();
        let read = READ_ONLY.into_iter().filter(|key| !UNLISTED.contains(key)).map(|key| (key, Rule::default()));
        let rules = written.chain(read).map(|(key, rule)| (key.to_owned(), rule)).collect();
        Self { rules, additional: Some(Rule::default()) }
    }

    /// Whether only the service itself writes it.
    pub fn is_read_only(&self, key: &str) -> bool {
        READ_ONLY.contains(&key) || key.starts_with(RESERVED) || self.rules.get(key).is_some_and(|rule| rule.read_only)
    }

    /// Whether it is an attribute, which an image always has, and not an additional property, which can be removed.
    pub fn is_attribute(&self, key: &str) -> bool {
        ATTRIBUTES.contains(&key) || self.rules.get(key).is_some_and(|rule| !rule.is_property)
    }

    /// Whether the attribute or property may have this value.
    ///
    /// # Errors
    /// Where the service would refuse it. A property is a text, also where the schema allows null: null is how a document
    /// would say that there is none.
    pub fn check(&self, key: &str, value: &Value) -> Result<(), Misfit> {
        let misfit = |accepted: &str| Err(Misfit::of(key, value, accepted));
        if is_beyond(key) || texts(value).any(is_beyond) {
            return misfit(NOT_BEYOND);
        }
        if !self.is_attribute(key) {
            if let Some(accepted) = misfit::no_text(value) {
                return misfit(&accepted);
            }
            if key.chars().count() > LONGEST_NAME {
                return misfit("the name of a property has at most 255 characters");
            }
        }
        match self.rules.get(key).or(self.additional.as_ref()) {
            Some(_) if ATTRIBUTES.contains(&key) && !self.rules.contains_key(key) => {
                misfit("this service does not have the attribute")
            }
            Some(rule) => rule.check(key, value),
            None => misfit("this service takes no properties but those that it lists in its schema"),
        }
    }
}
