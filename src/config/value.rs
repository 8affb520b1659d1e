//! The tree that a configuration file is: text, lists and mappings, nothing more.
//!
//! A scalar keeps the text that the person wrote: a password `0123` or `1e5` is not a number to us, whatever YAML thinks
//! of it.

use std::collections::BTreeMap;
use std::fmt;

/// A mapping of a configuration file, by key.
pub type Map = BTreeMap<String, Value>;

/// A node of a configuration file.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// A scalar, as it was written.
    Text {
        /// The characters, without quotes and escapes.
        text: String,
        /// What YAML 1.1 makes of it where it stands without quotes: `yes`, `off` and their like are booleans.
        boolean: Option<bool>,
    },
    /// A sequence.
    List(Vec<Value>),
    /// A mapping.
    Map(Map),
}

impl Value {
    /// A text that is only a text: what comes from the environment or the command line.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), boolean: None }
    }

    /// The text of a scalar; `None` for anything else, and for an empty text, which counts as not given.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The sequence, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// A switch that is off unless it says yes: a YAML boolean, or the word `true`.
    pub fn is_on(&self) -> bool {
        match self {
            Self::Text { boolean: Some(boolean), .. } => *boolean,
            Self::Text { text, .. } => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }

    /// A switch that is on unless it says no. Text from the environment says it with the words that YAML 1.1 knows.
    pub fn is_off(&self) -> bool {
        match self {
            Self::Text { boolean: Some(boolean), .. } => !boolean,
            Self::Text { text, .. } => boolean_of(text) == Some(false) || text == "0",
            _ => false,
        }
    }

    /// What it is, in a word for an error message. It never tells the content, which may be a secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text { .. } => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The content may be a password, so that it shows its kind only.
impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.kind())
    }
}

/// The booleans of YAML 1.1, which is what Python's YAML and with it every other OpenStack client reads.
pub fn boolean_of(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 6] =
        [("yes", true), ("true", true), ("on", true), ("no", false), ("false", false), ("off", false)];
    let (_, value) = WORDS.into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word))?;
    let mut letters = text.chars();
    let first_is_upper = letters.next().is_some_and(char::is_uppercase);
    let rest = letters.as_str();
    let all_lower = rest.chars().all(char::is_lowercase);
    let all_upper = rest.chars().all(char::is_uppercase);
    (all_lower || (first_is_upper && all_upper)).then_some(value)
}

/// Lays `above` over `below`: mappings are merged at every depth, anything else replaces what was there.
pub fn merge_deep(below: &mut Map, above: Map) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge_deep(old, new),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Lays one cloud over another: the mapping `auth` is merged, every other key is replaced.
pub fn merge_cloud(below: &mut Map, above: Map) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) if key == "auth" => old.extend(new),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// The same mapping with `_` for `-` in its keys, at every depth of mappings: `auth-url` is `auth_url`.
pub fn underscored(map: Map) -> Map {
    let inner = |value| match value {
        Value::Map(map) => Value::Map(underscored(map)),
        Value::List(list) => Value::List(list.into_iter().map(underscored_item).collect()),
        other => other,
    };
    map.into_iter().map(|(key, value)| (key.replace('-', "_"), inner(value))).collect()
}

fn underscored_item(value: Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(underscored(map)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_1_1_booleans_are_known_in_their_three_spellings() {
        for (text, value) in [("yes", true), ("Yes", true), ("YES", true), ("off", false), ("False", false)] {
            assert_eq!(boolean_of(text), Some(value), "{text}");
        }
        for text in ["y", "n", "yEs", "tRUE", "1", "", "truer"] {
            assert_eq!(boolean_of(text), None, "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_content() {
        let map = Map::from([("password".to_owned(), Value::text("s3cret"))]);
        assert!(!format!("{map:?}").contains("s3cret"));
    }

    #[test]
    fn a_cloud_laid_over_another_keeps_the_auth_keys_it_does_not_name() {
        let auth = |pairs: &[(&str, &str)]| {
            Value::Map(pairs.iter().map(|(key, text)| ((*key).to_owned(), Value::text(*text))).collect())
        };
        let mut below = Map::from([("auth".to_owned(), auth(&[("a", "1"), ("b", "1")]))]);
        merge_cloud(&mut below, Map::from([("auth".to_owned(), auth(&[("b", "2")]))]));
        assert!(below.get("auth") == Some(&auth(&[("a", "1"), ("b", "2")])));
    }
}
