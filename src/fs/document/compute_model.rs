//! Random edits of random metadata through documents of the Compute API, carried out on a model of Nova, against what was
//! asked for.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::compute::{attributes, changes};
use crate::fs::testing::image;
use crate::image::Image;
use crate::service::compute::model::Nova;
use crate::service::{Kind, ServiceError};

/// The most items of an image.
const MOST: usize = 128;

type Items = BTreeMap<String, String>;

/// What somebody does to an item: another value, or none.
type Edit = (String, Option<String>);

/// Names that the Compute API takes, and such as only the Image service does.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(vec!["a", "b", "c", "d", "e f", "."]),
        1 => select(vec!["x/y", "\u{e9}", " k", "mappings", "status", "..", "k0", "k1"]),
    ]
    .prop_map(str::to_owned)
}

/// Few values, so that one often goes under one name while it comes under another.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(vec!["", "1", "2", "\u{e9}"]).prop_map(str::to_owned),
        1 => select(vec![255, 256_usize]).prop_map(|length| "v".repeat(length)),
        1 => Just("\u{1f600}".to_owned()),
    ]
}

/// Metadata that others may have written through the Image service: a few items, or about as many as there may be.
fn items() -> impl Strategy<Value = Items> {
    let few = proptest::collection::btree_map(key(), value(), 0..6);
    let more = prop_oneof![3 => Just(0), 1 => 120..=MOST];
    (few, more).prop_map(|(mut items, more)| {
        let room = more.saturating_sub(items.len());
        items.extend((0..room).map(|number| (format!("k{number}"), "1".to_owned())));
        items
    })
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec((key(), proptest::option::of(value())), 0..5)
}

fn edited(items: &Items, edits: &[Edit]) -> Items {
    let mut edited = items.clone();
    for (key, value) in edits {
        match value {
            Some(value) => edited.insert(key.clone(), value.clone()),
            None => edited.remove(key),
        };
    }
    edited
}

fn image_of(items: &Items) -> Image {
    Image {
        properties: items.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
        ..image(1, "x")
    }
}

fn document(items: &Items) -> Map<String, Value> {
    let image = image_of(items);
    attributes(&image).into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a writer wants who has read `read`, where others have changed that to `now`; `None` where both changed an item, and
/// not to the same.
fn merged(read: &Items, mine: &Items, now: &Items) -> Option<Items> {
    let mut merged = now.clone();
    for key in read.keys().chain(mine.keys()).filter(|key| read.get(*key) != mine.get(*key)) {
        if now.get(key) != read.get(key) && now.get(key) != mine.get(key) {
            return None;
        }
        match mine.get(key) {
            Some(value) => merged.insert(key.clone(), value.clone()),
            None => merged.remove(key),
        };
    }
    Some(merged)
}

/// Whether it is right to refuse to make `wanted` of `now`: something is not to be had through the Compute API.
fn may_be_refused(error: &ServiceError, now: &Items, wanted: &Items) -> bool {
    let differs = |key: &&String| now.get(*key) != wanted.get(*key);
    let is_odd = |key: &String| !["a", "b", "c", "d", "e f", "."].contains(&key.as_str()) && !key.starts_with('k');
    let is_unsent = |value: &String| value.len() > 255 || value.contains('\u{1f600}');
    let keys = || now.keys().chain(wanted.keys()).filter(differs);
    match error.kind {
        Kind::OverQuota => wanted.len() > MOST,
        // A dot is not removed by itself, and with the others only where all that stays can be sent.
        Kind::Invalid => keys().any(|key| is_odd(key) || key == "." || wanted.get(key).is_some_and(is_unsent)),
        _ => false,
    }
}

proptest! {
    #[test]
    fn an_edit_is_carried_out_as_it_was_asked_for_or_refused_as_a_whole(
        read in items(), mine in edits(), theirs in edits(),
    ) {
        let (wanted, now) = (edited(&read, &mine), edited(&read, &theirs));
        let made = changes(&document(&wanted), Some(&document(&read)), &image_of(&now));
        let Some(expected) = merged(&read, &wanted, &now) else {
            prop_assert!(made.is_err(), "{:?}", made);
            return Ok(());
        };
        let mut nova = Nova(now.clone());
        match nova.change(&made.unwrap()) {
            Ok(()) => prop_assert_eq!(nova.0, expected),
            Err(error) => {
                prop_assert!(may_be_refused(&error, &now, &expected), "{}: {:?}", error, expected);
                prop_assert_eq!(nova.0, now);
            }
        }
    }

    #[test]
    fn a_template_sets_what_is_in_it_and_removes_nothing(given in items(), now in items()) {
        let made = changes(json!({"metadata": given}).as_object().unwrap(), None, &image_of(&now)).unwrap();
        let (mut nova, mut expected) = (Nova(now.clone()), now.clone());
        expected.extend(given);
        match nova.change(&made) {
            Ok(()) => prop_assert_eq!(nova.0, expected),
            Err(error) => {
                prop_assert!(may_be_refused(&error, &now, &expected), "{}: {:?}", error, expected);
                prop_assert_eq!(nova.0, now);
            }
        }
    }
}
