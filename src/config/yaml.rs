//! YAML and JSON text into a [`Value`].
//!
//! The reader works on the parser's events, so that every scalar keeps its text: no number is ever made of it.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::value::{Map, Value, boolean_of};

/// More nodes than any real configuration file has. It bounds what aliases that contain aliases can unfold to.
const MOST_NODES: usize = 100_000;
/// Deeper than any real configuration file is. It bounds the recursion.
const DEEPEST: usize = 64;

/// Where a file is not what it should be. It quotes nothing of the file, which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct SyntaxError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl SyntaxError {
    fn at(marker: &Marker, reason: impl Into<String>) -> Self {
        Self { line: marker.line(), column: marker.col() + 1, reason: reason.into() }
    }
}

/// Reads a YAML text: its first document, or [`Value::Null`] for an empty text.
pub fn from_yaml(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    loop {
        match reader.next()? {
            Some((Event::StreamStart | Event::DocumentStart(..), _)) => {}
            Some((Event::StreamEnd | Event::DocumentEnd, _)) | None => return Ok(Value::Null),
            Some((event, span)) => {
                let value = reader.node(event, &span, 0)?;
                return reader.end().map(|()| value);
            }
        }
    }
}

/// Reads a JSON text.
pub fn from_json(text: &str) -> Result<Value, SyntaxError> {
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|error| SyntaxError {
        line: error.line(),
        column: error.column(),
        reason: "it is not valid JSON".to_owned(),
    })?;
    Ok(of_json(parsed))
}

fn of_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(boolean) => Value::Text { text: boolean.to_string(), boolean: Some(boolean) },
        serde_json::Value::Number(number) => Value::text(number.to_string()),
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(list) => Value::List(list.into_iter().map(of_json).collect()),
        serde_json::Value::Object(map) => {
            Value::Map(map.into_iter().map(|(key, value)| (key, of_json(value))).collect())
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// The nodes that have an anchor, with how many nodes each is.
    anchors: BTreeMap<usize, (Value, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
        self.events.next().transpose().map_err(|error| SyntaxError::at(error.marker(), reason(error.kind())))
    }

    /// Reads on to the end of the document, so that a defect behind the last node is found too.
    fn end(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.next()? {
                Some((Event::StreamEnd, _)) | None => return Ok(()),
                Some((Event::DocumentStart(..), span)) => {
                    return Err(SyntaxError::at(&span.start, "a second document begins; there may be one only"));
                }
                Some(_) => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Value, SyntaxError> {
        self.count(1, span)?;
        if depth > DEEPEST {
            return Err(SyntaxError::at(&span.start, "it is nested too deeply"));
        }
        let before = self.nodes;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (anchor, scalar(text.into_owned(), plain))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(SyntaxError::at(&span.start, "a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before + 1));
        }
        Ok(value)
    }

    fn count(&mut self, nodes: usize, span: &Span) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            Err(SyntaxError::at(&span.start, "it unfolds to too many values"))
        } else {
            Ok(())
        }
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Value, SyntaxError> {
        let Some((value, nodes)) = self.anchors.get(&anchor).cloned() else {
            return Err(SyntaxError::at(&span.start, "an alias stands inside of what it names"));
        };
        self.count(nodes, span)?;
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut list = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            list.push(self.node(event, &span, depth + 1)?);
        }
        Ok(Value::List(list))
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut own = Map::new();
        let mut merged = Map::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = key(event, &span)?;
            let Some((event, value_span)) = self.next()? else { break };
            let value = self.node(event, &value_span, depth + 1)?;
            if key == "<<" {
                merge(&mut merged, value, &value_span)?;
            } else if own.insert(key, value).is_some() {
                return Err(SyntaxError::at(&span.start, "this key stands here for the second time"));
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Ok(Value::Map(own))
    }
}

fn key(event: Event<'_>, span: &Span) -> Result<String, SyntaxError> {
    match event {
        Event::Scalar(text, ..) => Ok(text.into_owned()),
        _ => Err(SyntaxError::at(&span.start, "a key has to be a plain text")),
    }
}

/// The merge key `<<`: the mappings that it names lie below the keys that stand beside it, the first one highest.
fn merge(into: &mut Map, value: Value, span: &Span) -> Result<(), SyntaxError> {
    match value {
        Value::Map(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::List(list) => list.into_iter().try_for_each(|item| merge(into, item, span)),
        _ => Err(SyntaxError::at(&span.start, "the merge key << needs a mapping")),
    }
}

fn scalar(text: String, plain: bool) -> Value {
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    let boolean = if plain { boolean_of(&text) } else { None };
    Value::Text { text, boolean }
}

/// The parser's sentence, unless it quotes a character of the file.
fn reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnexpectedCharacter { .. } => "a character that may not begin a value; quote the value".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
        path.iter().try_fold(value, |value, key| value.as_map()?.get(*key))
    }

    fn text(yaml: &str, path: &[&str]) -> Option<String> {
        get(&from_yaml(yaml).unwrap(), path)?.as_text().map(str::to_owned)
    }

    #[test]
    fn a_scalar_keeps_the_text_that_was_written() {
        for scalar in ["1e5", "0123", "1_000", "12:30:45", "0x10", "yes", "1.10", "2024-01-01", ".inf", "610275"] {
            assert_eq!(text(&format!("a:\n  b: {scalar}\n"), &["a", "b"]).as_deref(), Some(scalar));
        }
        assert_eq!(text("a: \"x\\ty\"", &["a"]).as_deref(), Some("x\ty"));
    }

    #[test]
    fn only_a_plain_scalar_can_be_a_boolean_or_nothing() {
        let value = from_yaml("a: yes\nb: 'yes'\nc: null\nd: 'null'\ne:\n").unwrap();
        assert!(get(&value, &["a"]).unwrap().is_on());
        assert!(!get(&value, &["b"]).unwrap().is_on());
        assert!(get(&value, &["c"]) == Some(&Value::Null) && get(&value, &["e"]) == Some(&Value::Null));
        assert_eq!(get(&value, &["d"]).unwrap().as_text(), Some("null"));
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let yaml = "base: &base {x: 1, y: 1}\none:\n  <<: *base\n  y: 2\ntwo: *base\n";
        assert_eq!(text(yaml, &["one", "x"]).as_deref(), Some("1"));
        assert_eq!(text(yaml, &["one", "y"]).as_deref(), Some("2"));
        assert_eq!(text(yaml, &["two", "y"]).as_deref(), Some("1"));
    }

    #[test]
    fn a_defect_is_told_with_line_and_column_and_without_the_text() {
        let error = from_yaml("clouds:\n  a:\n    password: 'hidden\n").unwrap_err();
        assert!(error.line >= 3, "{error:?}");
        assert!(!error.reason.contains("hidden"));
        let error = from_yaml("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 1));
        assert!(from_yaml("a:\n\t- b\n").is_err());
        assert!(from_json("{\"a\": }").is_err());
    }

    #[test]
    fn aliases_that_unfold_without_end_are_refused() {
        let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for step in 1..12 {
            let last = format!("*a{}", step - 1);
            yaml = format!("{yaml}a{step}: &a{step} [{}]\n", vec![last; 10].join(", "));
        }
        assert!(from_yaml(&yaml).unwrap_err().reason.contains("too many"));
        assert!(from_yaml(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn an_empty_text_is_nothing() {
        assert!(from_yaml("").unwrap() == Value::Null);
        assert!(from_yaml("# only a comment\n").unwrap() == Value::Null);
    }

    #[test]
    fn json_numbers_and_booleans_are_text_that_knows_it() {
        let value = from_json(r#"{"a": 3, "b": true, "c": null}"#).unwrap();
        assert_eq!(get(&value, &["a"]).unwrap().as_text(), Some("3"));
        assert!(get(&value, &["b"]).unwrap().is_on());
        assert!(get(&value, &["c"]) == Some(&Value::Null));
    }
}
