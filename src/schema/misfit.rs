//! A value that an attribute cannot have, and how that is told.

use serde_json::Value;

use crate::plain::Plain;

/// As many characters of a value or a key are shown.
const SHOWN: usize = 60;

/// A value that the service would refuse. Its `Display` names the key, what was given and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot {given}: {accepted}", quoted(key))]
pub struct Misfit {
    key: String,
    /// "be …" or "hold …".
    given: String,
    accepted: String,
}

impl Misfit {
    /// `key` cannot have `value`; `accepted` is a clause that says what it can have.
    pub(crate) fn of(key: &str, value: &Value, accepted: &str) -> Self {
        Self { key: key.to_owned(), given: format!("be {}", shown(value)), accepted: accepted.to_owned() }
    }

    /// The list under `key` cannot hold `element`.
    pub(super) fn inside(key: &str, element: &Value, accepted: &str) -> Self {
        Self { key: key.to_owned(), given: format!("hold {}", shown(element)), accepted: accepted.to_owned() }
    }

    /// The attribute or property.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What to do about a property that is no text; `None` for a text.
pub(super) fn no_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_) => None,
        Value::Null => Some("a property is removed by leaving its line out".to_owned()),
        Value::Bool(_) | Value::Number(_) => Some(format!("properties are texts, so write \"{value}\", in quotes")),
        Value::Array(_) | Value::Object(_) => Some("properties are texts in quotes".to_owned()),
    }
}

/// A value as it stands in a document, shortened.
pub(super) fn shown(value: &Value) -> String {
    printable(&value.to_string())
}

/// A key or a word of somebody in quotes, shortened.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", printable(text))
}

/// The beginning of a text, without what would disturb a terminal or the order of what stands around it.
pub(crate) fn printable(text: &str) -> String {
    let (head, rest) = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => (text.get(..end).unwrap_or(text), "…"),
        None => (text, ""),
    };
    format!("{}{rest}", Plain(head))
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(only) if words.is_empty() => only,
        Some(end) => format!("{} or {end}", words.join(", ")),
        None => String::new(),
    }
}
