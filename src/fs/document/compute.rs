//! `metadata.json` where the service shows its images in the words of the Compute API. Pure.
//!
//! The document is the service's own, key by key. Of all that only `metadata` can be changed, which holds the properties.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::diff::Refused;
use crate::image::{Image, Text};
use crate::schema::Misfit;
use crate::service::Change;

/// The key under which the properties are.
const METADATA: &str = "metadata";

/// The key that tells when the image last changed.
pub(super) const UPDATED: &str = "updated";

/// The lines of the document: the id and the name, then what else the service shows by its name, then the properties.
pub(super) fn attributes(image: &Image) -> Vec<(&str, Value)> {
    let properties: Map<String, Value> =
        image.properties.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let mut all = vec![("id", json!(image.id.as_str())), ("name", json!(image.name))];
    all.extend(image.other.iter().map(|(name, value)| (name.as_str(), value.clone())));
    all.push((METADATA, Value::Object(properties)));
    all
}

/// The word for the status, as the service spells it.
pub(super) fn status(image: &Image) -> &str {
    image.other.get("status").and_then(Value::as_str).unwrap_or_else(|| image.status.as_str())
}

/// How much of the image is there, from 0 to 100.
pub(super) fn progress(image: &Image) -> u64 {
    image.other.get("progress").and_then(Value::as_u64).unwrap_or(0)
}

/// The changes that make of `current` what the writer of `document` wants, by the names of the properties. `base` is the
/// document as the writer last read or saved it, where that is known.
///
/// A document with the image's own id is that image's, edited. One with another id, or none, is a backup or a template: its
/// properties are set, and the rest is passed over.
///
/// # Errors
/// Where something cannot be written as it is wanted; then nothing is.
pub(in crate::fs) fn changes(
    document: &Map<String, Value>,
    base: Option<&Map<String, Value>>,
    current: &Image,
) -> Result<Vec<Change>, Refused> {
    let is_own = document.get("id").and_then(Value::as_str) == Some(current.id.as_str());
    let given = properties_in(document)?;
    if !is_own {
        if given.is_none() && !document.is_empty() && !document.contains_key("id") {
            return Err(Refused::NoMetadata);
        }
        return Ok(additions(given, current));
    }
    let Some(base) = base.filter(|base| base.get("id") == document.get("id")) else {
        return unread(document, given, current);
    };
    assert_told(document, base, current)?;
    given.map_or(Ok(Vec::new()), |given| edited(&given, &properties_in(base)?.unwrap_or_default(), current))
}

/// Whether a change of what was `newest` is none of `older`: who wrote the document may have made it from that.
pub(in crate::fs) fn takes_back(change: &Change, document: &Map<String, Value>, older: &Map<String, Value>) -> bool {
    let (Change::Set { key, .. } | Change::Remove { key }) = change;
    let of = |document: &Map<String, Value>| document.get(METADATA).and_then(|all| all.get(key)).cloned();
    of(document) == of(older)
}

type Wanted<'a> = BTreeMap<&'a str, &'a str>;

/// The properties of a document; `None` where it says nothing of them.
fn properties_in(document: &Map<String, Value>) -> Result<Option<Wanted<'_>>, Misfit> {
    let Some(given) = document.get(METADATA) else { return Ok(None) };
    let all = given.as_object().ok_or_else(|| Misfit::of(METADATA, given, "it is an object of texts"))?;
    let text = |(key, value): (_, _)| Some((String::as_str(key), Value::as_str(value)?));
    if let Some((key, value)) = all.iter().find(|(_, value)| !value.is_string()) {
        return Err(Misfit::of(
            key,
            value,
            "properties are texts in quotes, and are removed by leaving their lines out",
        ));
    }
    Ok(Some(all.iter().filter_map(text).collect()))
}

/// What was changed in a document that its writer had read as `base`.
fn edited(given: &Wanted<'_>, base: &Wanted<'_>, current: &Image) -> Result<Vec<Change>, Refused> {
    let contested = |key: &str| {
        let is_as_read = base.get(key).copied() == now(current, key);
        if is_as_read { Ok(()) } else { Err(Refused::Contested { key: key.to_owned() }) }
    };
    let mut changes = Vec::new();
    for key in base.keys().filter(|key| !given.contains_key(*key) && now(current, key).is_some()) {
        contested(key)?;
        changes.push(Change::remove(*key));
    }
    for (key, value) in given {
        if base.get(key) == Some(value) || now(current, key) == Some(value) {
            continue;
        }
        contested(key)?;
        changes.push(Change::set(*key, *value));
    }
    Ok(changes)
}

/// Refuses another value where only the service writes. A line less says nothing.
fn assert_told(document: &Map<String, Value>, base: &Map<String, Value>, current: &Image) -> Result<(), Refused> {
    let shown: BTreeMap<_, _> = attributes(current).into_iter().collect();
    let is_other = |(key, value): &(&String, &Value)| {
        *key != METADATA && base.get(*key) != Some(value) && shown.get(key.as_str()) != Some(value)
    };
    match document.iter().find(is_other) {
        Some((key, _)) => Err(Refused::ReadOnly { key: key.clone() }),
        None => Ok(()),
    }
}

/// A document of this image that nobody is known to have read. Its time is that of the image then; and since that tells whole
/// seconds, it must not lack a property, of which nobody could say who took it out.
fn unread(document: &Map<String, Value>, given: Option<Wanted<'_>>, current: &Image) -> Result<Vec<Change>, Refused> {
    let shown: Map<String, Value> =
        attributes(current).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let has_all = |given: &Wanted<'_>| current.properties.keys().all(|key| given.contains_key(key.as_str()));
    if document.get(UPDATED) != shown.get(UPDATED) || !given.as_ref().is_none_or(has_all) {
        return Err(Refused::Outdated);
    }
    assert_told(document, &shown, current)?;
    Ok(additions(given, current))
}

/// The properties that the image has not so.
fn additions(given: Option<Wanted<'_>>, current: &Image) -> Vec<Change> {
    let wanted = given.unwrap_or_default().into_iter();
    wanted.filter(|(key, value)| now(current, key) != Some(value)).map(|(key, value)| Change::set(key, value)).collect()
}

fn now<'a>(current: &'a Image, key: &str) -> Option<&'a str> {
    current.properties.get(key).map(Text::as_str)
}
