//! Random edits of random images through their documents, against a model of what everybody wanted.
//!
//! The model knows images and no documents: it merges attribute by attribute what the writer and the others did to the
//! image that the writer had read.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::applied::applied;
use super::{Base, Parsed, Readings, Refused, changes, metadata, parse};
use crate::fs::Process;
use crate::fs::testing::{id, image};
use crate::image::{DATA_MTIME, Image, Status, Text};
use crate::schema::Schema;
use crate::service::Change;

const WRITER: Process = Process(7);
const ANOTHER: Process = Process(8);

/// What somebody does to an image.
#[derive(Clone, Debug)]
enum Edit {
    Name(Option<String>),
    Visibility(&'static str),
    Protected(bool),
    Hidden(bool),
    Format(Option<&'static str>),
    MinDisk(u64),
    Put(String, String),
    Cut(String),
    Tag(String),
    Untag(String),
    /// The line of an attribute is taken out of the document, which means nothing.
    LeaveOut(&'static str),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec!["", "a", "b", "1", "null", "é", "\"\\\n\t\u{0}", "\u{ffff}"]).prop_map(str::to_owned),
        // Characters that the service takes.
        1 => any::<String>().prop_map(|text| text.chars().filter(|character| *character <= '\u{ffff}').collect()),
    ]
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "x/y~z", "", "é\"\\", "Name"]).prop_map(str::to_owned)
}

fn tag() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "", "d/e", "é"]).prop_map(str::to_owned)
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        proptest::option::of(text()).prop_map(Edit::Name),
        select(vec!["public", "shared", "private"]).prop_map(Edit::Visibility),
        any::<bool>().prop_map(Edit::Protected),
        any::<bool>().prop_map(Edit::Hidden),
        select(vec![None, Some("raw"), Some("iso")]).prop_map(Edit::Format),
        (0..4_u64).prop_map(Edit::MinDisk),
        (key(), text()).prop_map(|(key, value)| Edit::Put(key, value)),
        (key(), text()).prop_map(|(key, value)| Edit::Put(key, value)),
        key().prop_map(Edit::Cut),
        tag().prop_map(Edit::Tag),
        tag().prop_map(Edit::Untag),
        select(vec!["name", "tags", "size", "min_disk", "stores", "direct_url"]).prop_map(Edit::LeaveOut),
    ];
    prop::collection::vec(edit, 0..8)
}

prop_compose! {
    /// An image with whatever `edits` make of it, and with what only the service writes.
    fn any_image()(edits in edits(), second in 0..3_u32, size in proptest::option::of(0..9_u64), others in 0..8_u8) -> Image {
        let mut image = edited(&image(1, "disk"), &edits).0;
        own_changes(&mut image, second, size, others);
        image
    }
}

/// What the service changes by itself.
fn own_changes(image: &mut Image, second: u32, size: Option<u64>, others: u8) {
    image.updated_at = format!("2026-02-03T04:05:{second:02}Z").parse().unwrap();
    image.size = size;
    image.status = if size.is_some() { Status::Active } else { Status::Queued };
    image.stores = size.map(|_| "fast".into()).into_iter().collect();
    let all = [("direct_url", json!("file:///x")), ("kernel_id", Value::Null), ("os_glance_failed_import", json!(""))];
    let shown = all.into_iter().enumerate().filter(|(bit, _)| others & (1 << bit) != 0);
    image.other = shown.map(|(_, (key, value))| (key.into(), value)).collect();
}

impl Edit {
    /// Does it to an image and to a document of that image.
    fn make(&self, image: &mut Image, document: &mut Map<String, Value>) {
        let mut write = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
        match self {
            Self::Name(name) => {
                image.name.clone_from(name);
                write("name", json!(name));
            }
            Self::Visibility(word) => {
                image.visibility = (*word).into();
                write("visibility", json!(word));
            }
            Self::Protected(flag) => {
                image.protected = *flag;
                write("protected", json!(flag));
            }
            Self::Hidden(flag) => {
                image.hidden = *flag;
                write("os_hidden", json!(flag));
            }
            Self::Format(word) => {
                image.disk_format = word.map(Text::from);
                write("disk_format", json!(word));
            }
            Self::MinDisk(size) => {
                image.min_disk = *size;
                write("min_disk", json!(size));
            }
            Self::Put(key, value) => {
                image.properties.insert(key.clone().into(), value.clone().into());
                write(key, json!(value));
            }
            Self::Cut(key) => {
                image.properties.remove(key.as_str());
                document.remove(key);
            }
            Self::Tag(tag) => retag(image, document, |tags| tags.push(tag.clone().into())),
            Self::Untag(tag) => retag(image, document, |tags| tags.retain(|present| present != tag)),
            Self::LeaveOut(key) => drop(document.remove(*key)),
        }
    }
}

/// Who finds no line with tags in a document changes none. In a document they may be there twice and in any order.
fn retag(image: &mut Image, document: &mut Map<String, Value>, change: impl Fn(&mut Vec<Text>)) {
    let Some(line) = document.get_mut("tags") else { return };
    let mut written: Vec<Text> = serde_json::from_value(line.take()).unwrap();
    change(&mut written);
    written.reverse();
    *line = json!(written);
    image.tags = written;
    image.tags.sort();
    image.tags.dedup();
}

/// The image and its document after the edits, those first that take lines out: what is written behind them is there.
fn edited(image: &Image, edits: &[Edit]) -> (Image, Map<String, Value>) {
    let (mut image, mut document) = (image.clone(), shown(image));
    let (first, then): (Vec<_>, Vec<_>) = edits.iter().partition(|edit| matches!(edit, Edit::LeaveOut(_)));
    first.into_iter().chain(then).for_each(|edit| edit.make(&mut image, &mut document));
    (image, document)
}

/// What `now` becomes when somebody makes of `read` what `wanted` is.
fn merged(read: &Image, wanted: &Image, now: &Image) -> Image {
    fn pick<T: PartialEq + Clone>(read: &T, wanted: &T, now: &T) -> T {
        if read == wanted { now.clone() } else { wanted.clone() }
    }
    let keys: BTreeSet<&Text> = [read, wanted, now].iter().flat_map(|image| image.properties.keys()).collect();
    let property = |key: &Text| {
        let of = |image: &Image| image.properties.get(key).cloned();
        Some((key.clone(), pick(&of(read), &of(wanted), &of(now))?))
    };
    let tags: BTreeSet<&Text> = [read, wanted, now].iter().flat_map(|image| &image.tags).collect();
    let has = |image: &Image, tag: &Text| image.tags.contains(tag);
    let is_tagged = |tag: &&Text| pick(&has(read, tag), &has(wanted, tag), &has(now, tag));
    Image {
        name: pick(&read.name, &wanted.name, &now.name),
        visibility: pick(&read.visibility, &wanted.visibility, &now.visibility),
        protected: pick(&read.protected, &wanted.protected, &now.protected),
        hidden: pick(&read.hidden, &wanted.hidden, &now.hidden),
        disk_format: pick(&read.disk_format, &wanted.disk_format, &now.disk_format),
        min_disk: pick(&read.min_disk, &wanted.min_disk, &now.min_disk),
        tags: tags.into_iter().filter(is_tagged).cloned().collect(),
        properties: keys.into_iter().filter_map(property).collect(),
        ..now.clone()
    }
}

/// Whether somebody else changed, since `read`, what the writer makes another thing of.
fn is_contested(read: &Image, wanted: &Image, now: &Image) -> bool {
    fn differ<T: PartialEq>(read: &T, wanted: &T, now: &T) -> bool {
        read != wanted && wanted != now && now != read
    }
    let mut keys = [read, wanted, now].into_iter().flat_map(|image| image.properties.keys());
    differ(&read.name, &wanted.name, &now.name)
        || differ(&read.visibility, &wanted.visibility, &now.visibility)
        || differ(&read.protected, &wanted.protected, &now.protected)
        || differ(&read.hidden, &wanted.hidden, &now.hidden)
        || differ(&read.disk_format, &wanted.disk_format, &now.disk_format)
        || differ(&read.min_disk, &wanted.min_disk, &now.min_disk)
        || keys.any(|key| differ(&read.properties.get(key), &wanted.properties.get(key), &now.properties.get(key)))
}

/// What `now` becomes where nothing is removed, because nobody knows what was read.
fn added(wanted: &Image, now: &Image) -> Image {
    let mut tags: Vec<_> = wanted.tags.iter().chain(&now.tags).cloned().collect();
    tags.sort();
    tags.dedup();
    let mut properties = now.properties.clone();
    properties.extend(wanted.properties.clone());
    Image { tags, properties, ..wanted.clone() }
}

/// What of another image is written to `now`.
fn restored(backup: &Image, now: &Image, anonymous: bool) -> Image {
    let is_queued = now.status == Status::Queued;
    let formats = if is_queued { backup } else { now };
    let mut properties = now.properties.clone();
    properties.extend(backup.properties.clone());
    if !anonymous && let Some(own) = now.properties.get(DATA_MTIME) {
        properties.insert(DATA_MTIME.into(), own.clone());
    }
    // Another image's name is that one's, where this one has one.
    let is_named = !anonymous && now.name.as_ref().is_some_and(|name| !name.is_empty());
    Image {
        name: if is_named { now } else { backup }.name.clone(),
        visibility: backup.visibility.clone(),
        protected: backup.protected,
        hidden: backup.hidden,
        disk_format: formats.disk_format.clone(),
        container_format: formats.container_format.clone(),
        min_disk: backup.min_disk,
        tags: backup.tags.clone(),
        properties,
        ..now.clone()
    }
}

/// A document on its way through an editor: written with or without indentation, and read again.
fn through_text(document: &Map<String, Value>, pretty: bool) -> Map<String, Value> {
    let text = if pretty { serde_json::to_string_pretty(document) } else { serde_json::to_string(document) };
    match parse((text.unwrap() + "\n").as_bytes()) {
        Ok(Parsed::Complete(document)) => document,
        other => panic!("{other:?}"),
    }
}

fn shown(image: &Image) -> Map<String, Value> {
    serde_json::from_str(&metadata(image)).unwrap()
}

/// Makes the changes and looks whether each of them was needed.
fn outcome(made: &[Change], now: &Image) -> Image {
    for change in made {
        assert_ne!(applied(std::slice::from_ref(change), now).as_ref(), Some(now), "{change:?} changes nothing");
    }
    applied(made, now).unwrap()
}

proptest! {
    #[test]
    fn an_edit_makes_its_change_and_what_others_did_stays(
        read in any_image(), mine in edits(), theirs in edits(), second in 0..3_u32, size in proptest::option::of(0..9_u64),
        others in 0..8_u8, pretty in any::<bool>(),
    ) {
        let mut now = edited(&read, &theirs).0;
        own_changes(&mut now, second, size, others);
        let (wanted, document) = edited(&read, &mine);
        let document = through_text(&document, pretty);

        let readings = Readings::default();
        readings.read(read.id, metadata(&read).as_bytes(), WRITER);
        readings.read(now.id, metadata(&now).as_bytes(), ANOTHER);
        let Base::Known(base) = readings.base_of(now.id, &document, &[WRITER]) else { panic!("it is known") };
        prop_assert_eq!(base.as_ref(), &shown(&read));
        let base = Some(base);

        let made = changes(&document, base.as_deref(), &now, &Schema::builtin());
        if is_contested(&read, &wanted, &now) {
            prop_assert!(matches!(made, Err(Refused::Contested { .. })), "{:?}", made);
            return Ok(());
        }
        let made = made.unwrap();
        let end = outcome(&made, &now);
        prop_assert_eq!(&end, &merged(&read, &wanted, &now));
        let again = changes(&document, base.as_deref(), &end, &Schema::builtin()).unwrap();
        prop_assert_eq!(again, []);
    }

    #[test]
    fn an_edit_of_an_unknown_reading_is_made_unless_something_is_missing(
        now in any_image(), mine in edits(), pretty in any::<bool>(),
    ) {
        let (wanted, document) = edited(&now, &mine);
        let made = changes(&through_text(&document, pretty), None, &now, &Schema::builtin());
        let is_missing = now.properties.keys().any(|key| !wanted.properties.contains_key(key))
            || now.tags.iter().any(|tag| !wanted.tags.contains(tag));
        if is_missing {
            prop_assert_eq!(made, Err(Refused::Outdated));
        } else {
            prop_assert_eq!(outcome(&made.unwrap(), &now), added(&wanted, &now));
        }
    }

    #[test]
    fn a_backup_makes_an_image_what_the_other_one_was(
        backup in any_image(), mut now in any_image(), anonymous in any::<bool>(), pretty in any::<bool>(),
    ) {
        now.id = id(2);
        let mut document = shown(&backup);
        if anonymous {
            document.remove("id");
        }
        let made = changes(&through_text(&document, pretty), Some(&shown(&now)), &now, &Schema::builtin()).unwrap();
        prop_assert_eq!(outcome(&made, &now), restored(&backup, &now, anonymous));
    }

    #[test]
    fn a_document_that_comes_back_as_it_was_changes_nothing(
        read in any_image(), theirs in edits(), second in 0..3_u32, size in proptest::option::of(0..9_u64), others in 0..8_u8,
    ) {
        let mut now = edited(&read, &theirs).0;
        own_changes(&mut now, second, size, others);
        let Ok(Parsed::Complete(document)) = parse(metadata(&read).as_bytes()) else { panic!("it is whole") };
        prop_assert_eq!(changes(&document, Some(&shown(&read)), &now, &Schema::builtin()), Ok(Vec::new()));
        prop_assert_eq!(changes(&document, None, &read, &Schema::builtin()), Ok(Vec::new()));
    }
}
