//! What a configuration file says, as a type that serde can read: of structs, lists, mappings, texts, booleans and `i64`.

use std::fmt::Write;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

use super::value::{Map, Value, boolean_of};

/// Where a configuration file has another shape than it should. It quotes nothing that may be a secret: no value, and no key
/// that is not known, which `password:hush` is without a blank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct ShapeError {
    words: String,
    /// The last part of its place is a key that is not known.
    is_about_a_key: bool,
}

/// Serde's own words quote what is not as expected.
impl Error for ShapeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { words: message.to_string(), is_about_a_key: false }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("{expected} is expected there"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("one of {} is expected there", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let words = format!("a key there is none of {}", expected.join(", "));
        Self { words, is_about_a_key: true }
    }
}

/// Reads a tree. An error begins with its place: `users[0].password: …`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ShapeError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (parts, about_a_key) = (error.path().iter().len(), usize::from(error.inner().is_about_a_key));
        let mut place = String::new();
        for part in error.path().iter().take(parts.saturating_sub(about_a_key)) {
            // A text takes whatever is written to it.
            let _ = match part {
                Segment::Seq { index } => write!(place, "[{index}]"),
                part if place.is_empty() => write!(place, "{part}"),
                part => write!(place, ".{part}"),
            };
        }
        if place.is_empty() { error.into_inner() } else { Error::custom(format_args!("{place}: {}", error.inner())) }
    })
}

/// Scalars are texts, of which booleans and whole numbers are made where they are asked for, in quotes or not. A list or a
/// mapping of which nothing is said is empty.
impl<'de> Deserializer<'de> for Value {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Text { text, .. } => visitor.visit_string(text),
            Self::List(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter())),
            Self::Map(map) => visitor.visit_map(MapDeserializer::new(map.into_iter())),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.as_text().and_then(boolean_of) {
            Some(boolean) => visitor.visit_bool(boolean),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.as_text().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_i64(number),
            None => Err(Error::custom("a whole number is expected there")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => Self::List(Vec::new()).deserialize_any(visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => Self::Map(Map::new()).deserialize_any(visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match self {
            // Serde would take its elements for the fields in their order.
            Self::List(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            other => other.deserialize_map(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, ShapeError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::super::yaml::from_yaml;
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Thing {
        name: String,
        secret: Option<String>,
        is_on: bool,
        count: i64,
        list: Vec<Thing>,
        map: BTreeMap<String, Vec<String>>,
    }

    const KEYS: &str = "name, secret, is_on, count, list, map";

    fn read(text: &str) -> Result<Thing, String> {
        from_value(from_yaml(text).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_tree_is_read_as_it_is_meant() {
        let read =
            read("{name: 0123, secret: ~, is_on: 'yes', count: -5, list: [{name: '1e5'}], map: {a: [b, c], d: }}");
        let within = Thing { name: "1e5".into(), ..Thing::default() };
        let map = BTreeMap::from([("a".into(), vec!["b".into(), "c".into()]), ("d".into(), vec![])]);
        let wanted = Thing { name: "0123".into(), is_on: true, count: -5, list: vec![within], map, ..Thing::default() };
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn what_is_empty_is_the_default() {
        for text in ["", "list:\n", "map:\n"] {
            assert_eq!(read(text), Ok(Thing::default()), "{text:?}");
        }
    }

    #[test]
    fn an_error_says_where_and_what_but_quotes_no_value() {
        for (text, wanted) in [
            ("hush", "struct Thing is expected there"),
            ("name: [hush]", "name: a string is expected there"),
            ("is_on: hush", "is_on: a boolean is expected there"),
            ("count: hush", "count: a whole number is expected there"),
            ("list: [{}, {secret: {hush: hush}}]", "list[1].secret: a string is expected there"),
            ("list: {hush: 1}", "list: a sequence is expected there"),
            ("map: {a: hush}", "map.a: a sequence is expected there"),
            ("[hush]", "struct Thing is expected there"),
            ("list: [[hush]]", "list[0]: struct Thing is expected there"),
            ("secret:hush: 1", &format!("a key there is none of {KEYS}")),
            ("list: [{}, {list: [{secret:hush}]}]", &format!("list[1].list[0]: a key there is none of {KEYS}")),
        ] {
            assert_eq!(read(text).unwrap_err(), wanted, "{text}");
        }
    }
}
