//! `metadata.json` as it was written, piece by piece: not yet whole, whole, or past mending.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::schema::quoted;

/// What was written of a document so far.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::fs) enum Parsed {
    /// More bytes can still make it one.
    Incomplete,
    /// The whole object.
    Complete(Map<String, Value>),
}

/// A document that no further byte can mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a JSON document of an image: line {line}, column {column}: {why}")]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub why: String,
}

impl Malformed {
    /// A document that ends before it is whole.
    pub(in crate::fs) fn unfinished(text: &[u8]) -> Self {
        let (text, _) = split(text);
        at(text, text.len(), "the document ends before its last }")
    }
}

/// Reads a document.
///
/// # Errors
/// Where it is broken, whatever else is written behind it: what comes is more than JSON's object, is none of UTF-8, or has
/// a key twice, of which nobody can tell which one was meant.
pub(in crate::fs) fn parse(text: &[u8]) -> Result<Parsed, Malformed> {
    let (text, rest) = split(text);
    let Some(first) = text.find(|letter| !is_blank(letter)) else {
        return match rest {
            Rest::Nothing => Ok(Parsed::Incomplete),
            Rest::Begun | Rest::Foreign => Err(at(text, text.len(), NO_OBJECT)),
        };
    };
    if !text.get(first..).unwrap_or_default().starts_with('{') {
        return Err(at(text, first, NO_OBJECT));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_map(Object).and_then(|object| reader.end().map(|()| object));
    match read {
        Ok(object) if rest == Rest::Nothing => Ok(Parsed::Complete(object)),
        Ok(_) => Err(at(text, text.len(), BEHIND)),
        Err(error) if may_go_on(&error, text) => match rest {
            Rest::Nothing | Rest::Begun => Ok(Parsed::Incomplete),
            Rest::Foreign => Err(at(text, text.len(), "these bytes are not UTF-8")),
        },
        Err(error) => Err(at(text, offset(text, error.line(), error.column()), &words(&error))),
    }
}

const NO_OBJECT: &str = "a document begins with {";
const BEHIND: &str = "the document has ended, and nothing can stand behind its last }";

/// What is behind the part of a text that is UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The beginning of a character.
    Begun,
    /// What no character begins with.
    Foreign,
}

fn split(text: &[u8]) -> (&str, Rest) {
    match std::str::from_utf8(text) {
        Ok(text) => (text, Rest::Nothing),
        Err(error) => {
            let valid = text.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
            let rest = if error.error_len().is_some() { Rest::Foreign } else { Rest::Begun };
            (valid.unwrap_or_default(), rest)
        }
    }
}

/// White space, as JSON has it.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r')
}

/// Whether only the end of the text is the error. A number that is too large at the end may still get an exponent.
fn may_go_on(error: &serde_json::Error, text: &str) -> bool {
    match error.classify() {
        Category::Eof => true,
        Category::Syntax => {
            error.to_string().starts_with("number out of range")
                && offset(text, error.line(), error.column()).saturating_add(1) >= text.len()
        }
        Category::Data | Category::Io => false,
    }
}

/// The byte that an error of the parser is about. It counts bytes, from 1; 0 is the line break before, which ended the
/// line where the mistake is.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    before.saturating_add(column).saturating_sub(1).min(text.len())
}

/// A complaint about the character with the byte `offset`.
fn at(text: &str, offset: usize, why: &str) -> Malformed {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    Malformed {
        line: before.matches('\n').count().saturating_add(1),
        column: line.chars().count().saturating_add(1),
        why: why.to_owned(),
    }
}

/// What the parser says, without the place, and in other words where it speaks of itself.
fn words(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(words, _)| words);
    match said {
        "expected value" => "a value is missing here, or a text has no quotes".to_owned(),
        "expected ident" => "of words without quotes there are only true, false and null".to_owned(),
        "key must be a string" => "a key is missing here, or has no quotes".to_owned(),
        "trailing comma" => "a comma stands before the end, with nothing behind it".to_owned(),
        "trailing characters" => BEHIND.to_owned(),
        "recursion limit exceeded" => "too many brackets are open".to_owned(),
        said if said.starts_with("control character") => {
            "a text goes on over the end of the line, or holds a control character: its closing quote may be missing"
                .to_owned()
        }
        said => said.to_owned(),
    }
}

/// An object that has each key once.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Map<String, Value>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("{} is there twice", quoted(&key))));
            }
            object.insert(key, entries.next_value()?);
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::document::metadata;
    use crate::fs::testing::image;

    fn place(text: impl AsRef<[u8]>) -> (usize, usize, String) {
        let Malformed { line, column, why } = parse(text.as_ref()).unwrap_err();
        (line, column, why)
    }

    #[test]
    fn what_can_still_become_a_document_is_incomplete() {
        let whole = b"\n { \"a\" : \"\\u00e9\\ud83d\\ude00 \xc3\xa9\", \"b\": [1.5e-3, {\"c\": null}], \"d\": true }";
        for end in 0..whole.len() {
            let begun = &whole[..end];
            assert_eq!(parse(begun), Ok(Parsed::Incomplete), "{:?}", String::from_utf8_lossy(begun));
        }
        assert!(matches!(parse(whole), Ok(Parsed::Complete(_))));
        for begun in ["", " \n", "{", "{\"a", "{\"a\": -", "{\"a\": 1e400"] {
            assert_eq!(parse(begun.as_bytes()), Ok(Parsed::Incomplete), "{begun}");
        }
    }

    #[test]
    fn white_space_may_stand_around_a_document_and_nothing_else() {
        for whole in ["{}", "\r\n\t {} \n\n", "{}\n"] {
            assert_eq!(parse(whole.as_bytes()), Ok(Parsed::Complete(Map::new())), "{whole}");
        }
        for (text, line, column) in [("{}\n{}", 2, 1), ("{} x", 1, 4), ("{}\0", 1, 3), ("x {}", 1, 1), ("é{}", 1, 1)] {
            assert_eq!((place(text).0, place(text).1), (line, column), "{text}");
        }
        assert_eq!(place(b"{}\xc3").2, BEHIND);
        assert_eq!(place(b" \xff").2, NO_OBJECT);
    }

    #[test]
    fn anything_else_than_an_object_is_no_document() {
        for text in ["[", "[{}]", "\"a", "5", "-", "t", "null", "#!/bin/sh", "\u{feff}{}"] {
            assert_eq!(place(text), (1, 1, NO_OBJECT.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_column_in_characters() {
        let table = [
            ("{\n  \"name\": \"x\"\n  \"tags\": []\n}", 3, 3, "expected `,` or `}`"),
            ("{\n  \"é\": é}", 2, 8, "a value is missing here, or a text has no quotes"),
            ("{\"name\": True}", 1, 10, "a value is missing here"),
            ("{\"a\": nul}", 1, 10, "only true, false and null"),
            ("{\"a\": 1,}", 1, 9, "nothing behind it"),
            ("{'a': 1}", 1, 2, "a key is missing here, or has no quotes"),
            ("{\n  \"a\": \"open,\n  \"b\": 1\n}", 2, 14, "its closing quote may be missing"),
            ("{\"a\": \"\\x\"}", 1, 9, "invalid escape"),
            ("{\"a\": 01}", 1, 8, "invalid number"),
            ("{\"a\" 1}", 1, 6, "expected `:`"),
        ];
        for (text, line, column, why) in table {
            let told = place(text);
            assert_eq!((told.0, told.1), (line, column), "{text}: {told:?}");
            assert!(told.2.contains(why), "{text}: {told:?}");
        }
        assert_eq!(
            parse(b"{\n x").unwrap_err().to_string(),
            "this is not a JSON document of an image: line 2, column 2: a key is missing here, or has no quotes"
        );
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        for text in ["{\"a\": 1,\n\"a\": 2}", "{\"a\": 1,\n\"\\u0061\"", "{\"a\": 1,\n\"a\"  : 1}"] {
            let (line, _, why) = place(text);
            assert_eq!((line, why.as_str()), (2, "'a' is there twice"), "{text}");
        }
        let (.., why) = place("{\"a at line 1\": 1, \"a at line 1\": 1}");
        assert_eq!(why, "'a at line 1' is there twice");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        assert_eq!(place(b"{\"a\":\n\"\xc3\xa9\xff"), (2, 3, "these bytes are not UTF-8".to_owned()));
        assert_eq!(place(b"{\"a\" x \xff").1, 6, "the first mistake counts");
        assert_eq!(place(b"\x7fELF\x02\x01").2, NO_OBJECT);
    }

    #[test]
    fn brackets_without_end_are_refused_before_they_use_up_the_stack() {
        let deep = "{\"a\": ".to_owned() + &"[".repeat(1_000_000);
        assert_eq!(place(deep).2, "too many brackets are open");
    }

    #[test]
    fn a_document_of_ten_megabytes_is_read() {
        let text = format!("{{\"a\": \"{}\"}}", "x".repeat(10 << 20));
        assert!(matches!(parse(text.as_bytes()), Ok(Parsed::Complete(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_it_was(name in "\\PC{0,20}|[\\x00-\\x1f\"\\\\]{0,8}", value in any::<String>(), cut in any::<prop::sample::Index>()) {
            let mut image = image(1, &name);
            image.properties.insert(format!("p{name}").into(), value.clone().into());
            let text = metadata(&image);
            let Ok(Parsed::Complete(object)) = parse(text.as_bytes()) else { panic!("{text}") };
            prop_assert_eq!(&object["name"], &Value::from(name.clone()));
            prop_assert_eq!(&object[&format!("p{name}")], &Value::from(value));
            let end = cut.index(text.len() - 1);
            prop_assert_eq!(parse(&text.as_bytes()[..end]), Ok(Parsed::Incomplete));
        }

        #[test]
        fn no_text_mends_what_is_malformed(begun in "\\{[{}\\[\\]\",:a1 \n\\\\-]{0,12}", more in "[{}\\[\\]\",:a1 \n\\\\-]{0,6}") {
            if let Err(first) = parse(begun.as_bytes()) {
                let later = parse((begun.clone() + &more).as_bytes());
                prop_assert_eq!(later.map_err(|later| later.line), Err(first.line));
            }
        }
    }
}
