//! What a fuzzer drives: bytes that somebody writes, and what holds whatever they are.
//!
//! `fuzz/` gives it what libFuzzer finds; tests here give it what was damaged at random.

mod control;
mod names;
mod scene;
#[cfg(test)]
mod tests;

pub use self::control::control;
pub use self::names::names;
use serde_json::{Map, Value, json};

use super::document::applied::applied;
use super::document::{Parsed, changes, parse, render};
use super::node::Document;
use crate::image::{Checksums, Image, Status, Visibility};
use crate::schema::Schema;
use crate::service::Change;

/// Writes `data` to `metadata.json`. Its first byte chooses what the writer had read, what the image is by now, and whether
/// the rest is all that is written or takes the place of a part of a document.
///
/// # Panics
/// Where what was promised does not hold.
pub fn document(data: &[u8]) {
    match data {
        [scene, at, length, part @ ..] if scene & 4 != 0 => written(*scene, &spliced(scene >> 3, *at, *length, part)),
        [scene, text @ ..] => written(*scene, text),
        [] => {}
    }
}

/// One of the documents to begin with, and `part` in place of `length` bytes of it.
fn spliced(which: u8, at: u8, length: u8, part: &[u8]) -> Vec<u8> {
    let all = seeds();
    let mut text = all.get(usize::from(which) % all.len()).cloned().unwrap_or_default();
    let at = usize::from(at).saturating_mul(text.len()) / 255;
    let end = at.saturating_add(usize::from(length)).min(text.len());
    text.splice(at..end, part.iter().copied());
    text
}

fn written(scene: u8, text: &[u8]) {
    let read = image();
    let now = if scene & 1 == 0 { read.clone() } else { changed() };
    let base = Some(lines_of(&read)).filter(|_| scene & 2 == 0);
    match parse(text) {
        Ok(Parsed::Incomplete) => {}
        Ok(Parsed::Complete(document)) => {
            assert_begun(text);
            assert_changes(&document, base.as_ref(), &now);
        }
        Err(malformed) => {
            assert!(malformed.line > 0 && malformed.column > 0);
            assert_readable(&malformed.to_string());
            let more = [text, b"\"}"].concat();
            assert!(parse(&more).is_err(), "nothing mends a document that was refused");
        }
    }
}

/// What ends before the last bracket can still be completed.
fn assert_begun(text: &[u8]) {
    let end = text.iter().rposition(|byte| *byte == b'}').unwrap_or_default();
    for end in [0, end / 3, end / 2, end] {
        let begun = text.get(..end).unwrap_or_default();
        assert_eq!(parse(begun), Ok(Parsed::Incomplete), "{:?}", String::from_utf8_lossy(begun));
    }
}

/// The document of an image, as somebody has it who read it.
fn lines_of(image: &Image) -> Map<String, Value> {
    match parse(render(image, Document::Metadata).as_bytes()) {
        Ok(Parsed::Complete(document)) => document,
        Ok(Parsed::Incomplete) | Err(_) => Map::new(),
    }
}

fn assert_changes(document: &Map<String, Value>, base: Option<&Map<String, Value>>, now: &Image) {
    let schema = Schema::builtin();
    let made = match changes(document, base, now, &schema) {
        Ok(made) => made,
        Err(refused) => return assert_readable(&refused.to_string()),
    };
    let keys: Vec<&String> = made.iter().map(key).collect();
    for (at, one) in keys.iter().enumerate() {
        assert!(!schema.is_read_only(one) && !keys.iter().skip(at.saturating_add(1)).any(|other| one == other));
    }
    for change in &made {
        let alone = applied(std::slice::from_ref(change), now);
        assert!(alone.is_some_and(|alone| alone != *now), "{change:?} is none");
        if let Change::Set { key, value } = change {
            assert_eq!(schema.check(key, value), Ok(()));
        }
    }
    let after = applied(&made, now);
    let again = after.map(|after| changes(document, base, &after, &schema));
    assert_eq!(again, Some(Ok(Vec::new())), "what was changed is changed");
}

fn key(change: &Change) -> &String {
    match change {
        Change::Set { key, .. } | Change::Remove { key } => key,
    }
}

/// A sentence that a terminal can show. A name of 255 bytes in it has six characters for each of them at most.
fn assert_readable(sentence: &str) {
    assert!(!sentence.chars().any(char::is_control) && sentence.chars().count() < 2000, "{sentence:?}");
}

/// The image that was read, with something of everything.
fn image() -> Image {
    Image {
        id: "00000001-0000-4000-8000-000000000000".parse().unwrap_or_else(|_| crate::image::ImageId::random()),
        name: Some("disk".to_owned()),
        status: Status::Queued,
        visibility: Visibility::Shared,
        owner: Some("own".into()),
        size: None,
        virtual_size: None,
        disk_format: Some("raw".into()),
        container_format: None,
        checksums: Checksums::default(),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        protected: false,
        hidden: false,
        min_disk: 1,
        min_ram: 0,
        tags: vec!["a".into(), "b".into()],
        stores: Vec::new(),
        properties: [("p", "1"), ("q", "2")].map(|(key, value)| (key.into(), value.into())).into_iter().collect(),
        other: [("direct_url".into(), json!("file:///x")), ("kernel_id".into(), Value::Null)].into_iter().collect(),
    }
}

/// The same after others changed it.
fn changed() -> Image {
    let mut image = image();
    image.status = Status::Active;
    image.size = Some(5);
    image.protected = true;
    image.tags = vec!["b".into(), "c".into()];
    image.properties = [("p", "9"), ("r", "3")].map(|(key, value)| (key.into(), value.into())).into_iter().collect();
    image.stores = vec!["fast".into()];
    image
}

/// Documents to begin with: what is shown, and what people write.
fn seeds() -> Vec<Vec<u8>> {
    let templates = [r#"{"tags": ["x"], "p": "2", "min_disk": 4}"#, r#"{"name": null, "os_distro": "debian"}"#];
    let shown = [image(), changed()].map(|image| render(&image, Document::Metadata));
    shown.into_iter().chain(templates.map(str::to_owned)).map(String::into_bytes).collect()
}
