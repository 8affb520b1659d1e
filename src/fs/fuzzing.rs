//! What a fuzzer drives: bytes that somebody writes, and what holds whatever they are.
//!
//! `fuzz/` gives it what libFuzzer finds; a test here gives it documents that were damaged at random.

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

/// A sentence that a terminal can show.
fn assert_readable(sentence: &str) {
    assert!(!sentence.chars().any(char::is_control) && sentence.chars().count() < 400, "{sentence:?}");
}

/// The image that was read, with something of everything.
fn image() -> Image {
    Image {
        id: "00000001-0000-4000-8000-000000000000".parse().unwrap_or_else(|_| crate::image::ImageId::random()),
        name: Some("disk".to_owned()),
        status: Status::Queued,
        visibility: Visibility::Shared,
        owner: Some("own".to_owned()),
        size: None,
        virtual_size: None,
        disk_format: Some("raw".to_owned()),
        container_format: None,
        checksums: Checksums::default(),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        protected: false,
        hidden: false,
        min_disk: 1,
        min_ram: 0,
        tags: vec!["a".to_owned(), "b".to_owned()],
        stores: Vec::new(),
        properties: [("p", "1"), ("q", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        other: [("direct_url".to_owned(), json!("file:///x")), ("kernel_id".to_owned(), Value::Null)].into(),
    }
}

/// The same after others changed it.
fn changed() -> Image {
    let mut image = image();
    image.status = Status::Active;
    image.size = Some(5);
    image.protected = true;
    image.tags = vec!["b".to_owned(), "c".to_owned()];
    image.properties = [("p", "9"), ("r", "3")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    image.stores = vec!["fast".to_owned()];
    image
}

/// Documents to begin with: what is shown, and what people write.
fn seeds() -> Vec<Vec<u8>> {
    let templates = [r#"{"tags": ["x"], "p": "2", "min_disk": 4}"#, r#"{"name": null, "os_distro": "debian"}"#];
    let shown = [image(), changed()].map(|image| render(&image, Document::Metadata));
    shown.into_iter().chain(templates.map(str::to_owned)).map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// What is put into a document to break it, or to change what it says.
    const PIECES: [&str; 36] = [
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        " ",
        "\\u00e9",
        "\\ud800",
        "\\u0000",
        "\"p\": ",
        "\"tags\": [",
        "\"id\": ",
        "\"size\": ",
        "\"updated_at\"",
        "null",
        "true",
        "1e400",
        "-",
        "0.5",
        "18446744073709551616",
        "\0",
        "\u{1b}",
        "\u{85}",
        "é",
        "\u{1f600}",
        "\u{feff}",
        "//",
        "'",
        "\"os_glance_x\": \"\",",
        "[[[[[[[[",
        "{\"a\":{\"a\":",
        "999999999",
    ];

    fn damaged(random: &mut Rng, text: &mut Vec<u8>) {
        let at = random.usize(..=text.len());
        let end = text.len().min(at + random.usize(..12));
        match random.u32(..6) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..end)),
            2 => drop(text.splice(at..end, random.choice(PIECES).unwrap().bytes())),
            3 => drop(text.splice(at..at, random.choice(PIECES).unwrap().bytes())),
            4 => text.extend_from_within(at..end),
            _ => text.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
        }
    }

    fn any_value(random: &mut Rng) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(4.0),
            json!(u64::MAX),
            json!(""),
            json!("raw"),
            json!("x".repeat(256)),
            json!("\u{1b}[2J"),
            json!([]),
            json!(["a", "a", "\u{202e}"]),
            json!([1]),
            json!({}),
        ];
        random.choice(values).unwrap()
    }

    /// The document with other lines, but whole.
    fn rewritten(random: &mut Rng, text: &[u8]) -> Vec<u8> {
        let Ok(Parsed::Complete(mut document)) = parse(text) else { panic!("it begins whole") };
        for _ in 0..random.u32(1..4) {
            let present = random.choice(document.keys().cloned().collect::<Vec<_>>());
            let new =
                random.choice(["os_distro", "", "a/b~c", "owner", "size", "os_glance_x", "\u{1b}"]).map(str::to_owned);
            let Some(key) = (if random.bool() { present } else { new }) else { continue };
            if random.u32(..3) == 0 {
                document.remove(&key);
            } else {
                document.insert(key, any_value(random));
            }
        }
        serde_json::to_vec_pretty(&document).unwrap()
    }

    #[test]
    fn whatever_is_written_is_refused_or_does_what_it_says() {
        let first = fastrand::u64(..1 << 32);
        let rounds = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 40_000 } else { 4000 };
        println!("seeds from {first} on");
        let seeds = seeds();
        let mut kinds = [0_u64; 3];
        for seed in first..first + rounds {
            let mut random = Rng::with_seed(seed);
            let mut text = random.choice(&seeds).unwrap().clone();
            if random.bool() {
                text = rewritten(&mut random, &text);
            }
            if random.bool() {
                (0..random.u32(1..4)).for_each(|_| damaged(&mut random, &mut text));
            }
            kinds[match parse(&text) {
                Ok(Parsed::Complete(_)) => 0,
                Ok(Parsed::Incomplete) => 1,
                Err(_) => 2,
            }] += 1;
            text.insert(0, random.u8(..4));
            let outcome = std::panic::catch_unwind(|| document(&text));
            assert!(outcome.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&text));
            let any: Vec<u8> = (0..random.usize(..16)).map(|_| random.u8(..)).collect();
            assert!(std::panic::catch_unwind(|| document(&any)).is_ok(), "seed {seed}: {any:?}");
        }
        assert!(kinds.iter().all(|kind| *kind > rounds / 50), "all kinds are met: {kinds:?}");
    }
}
