//! The six operations on an image's metadata, which are its properties.
//!
//! Nova reads the image, changes the properties, and sends Glance the difference as one patch. What that patch makes of
//! the image beside the properties, and where it fails, follows from how Nova and its client library put it together.

use super::body::Items;
use super::error::Fault;
use super::view::metadata;
use crate::server::patch::{Dialect, parse};
use crate::server::record::{Record, Visibility};
use crate::server::service::{Caller, Service, on_disk};
use crate::server::store::{Unwritten, now};
use crate::server::update::apply_all;
use serde_json::{Map, Value, json as value};
use std::sync::Arc;

/// The quota of metadata items.
const MOST_ITEMS: usize = 128;
/// Keys that Nova's own attributes and arguments stand in the way of: they are taken, and nothing is stored.
const IGNORED: [&str; 15] = [
    "name",
    "visibility",
    "checksum",
    "id",
    "owner",
    "min_disk",
    "min_ram",
    "disk_format",
    "container_format",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "image_id",
    "remove_props",
    "location",
];
/// Keys over which the client library fails before it asks Glance.
const FATAL: [&str; 7] = ["status", "size", "virtual_size", "protected", "tags", "self", "locations"];
/// Keys that Nova does not send while they name no image.
const IDS: [&str; 2] = ["kernel_id", "ramdisk_id"];

/// All items of an image.
pub(super) fn all(service: &Service, caller: &Caller, id: &str) -> Result<Map<String, Value>, Fault> {
    metadata(&*visible(service, caller, id)?)
}

/// One item.
pub(super) fn one(service: &Service, caller: &Caller, id: &str, key: &str) -> Result<Value, Fault> {
    all(service, caller, id)?.remove(key).ok_or_else(Fault::no_resource)
}

/// Adds and overwrites items; answers all of them.
pub(super) async fn merge(
    service: Arc<Service>,
    caller: Caller,
    id: &str,
    items: Items,
) -> Result<Map<String, Value>, Fault> {
    let image = visible(&service, &caller, id)?;
    let mut wanted = properties(&image)?;
    wanted.extend(items);
    let changed = write(service, caller, id, wanted).await?;
    metadata(&changed)
}

/// Lets an image have these items and no others.
pub(super) async fn replace(service: Arc<Service>, caller: Caller, id: &str, items: Items) -> Result<(), Fault> {
    properties(&*visible(&service, &caller, id)?)?;
    write(service, caller, id, items).await.map(drop)
}

/// Adds or overwrites one item.
pub(super) async fn set(service: Arc<Service>, caller: Caller, id: &str, item: Items) -> Result<(), Fault> {
    merge(service, caller, id, item).await.map(drop)
}

/// Removes one item.
pub(super) async fn remove(service: Arc<Service>, caller: Caller, id: &str, key: &str) -> Result<(), Fault> {
    let image = visible(&service, &caller, id)?;
    let mut wanted = properties(&image)?;
    wanted.remove(key).ok_or_else(|| Fault::not_found("Invalid metadata key"))?;
    write(service, caller, id, wanted).await.map(drop)
}

fn visible(service: &Service, caller: &Caller, id: &str) -> Result<Arc<Record>, Fault> {
    service.visible(caller, id).map_err(|_| Fault::no_image())
}

/// The properties as they are; it fails where showing them does.
fn properties(image: &Record) -> Result<Items, Fault> {
    metadata(image).map(|_| image.properties.clone())
}

async fn write(service: Arc<Service>, caller: Caller, id: &str, wanted: Items) -> Result<Arc<Record>, Fault> {
    if wanted.len() > MOST_ITEMS {
        return Err(Fault::forbidden("Image metadata limit exceeded"));
    }
    if wanted.keys().any(|key| FATAL.contains(&key.as_str())) {
        return Err(Fault::unexpected("TypeError"));
    }
    let (store, changed) = (Arc::clone(&service.store), id.to_owned());
    let outcome = on_disk(move || {
        // An empty patch does not move the time of the last change, which this way of changing leaves alone.
        store.change_members(&changed, |record| {
            let operations = parse(Dialect::V21, difference(record, &wanted))?;
            if !operations.is_empty() {
                apply_all(&caller, record, operations)?;
                record.updated_at = now();
            }
            Ok(())
        })
    });
    match outcome.await.map_err(|refusal| Fault::of_change(refusal, id))? {
        Ok(Ok(record)) => metadata(&record).map(|_| record),
        Ok(Err(refusal)) => Err(Fault::of_change(refusal, id)),
        Err(Unwritten::Missing) => Err(Fault::no_image()),
        Err(other) => Err(Fault::of_change(other.into(), id)),
    }
}

/// The patch that leads from an image to the wanted properties: what goes, what comes, what changes.
///
/// A public image stays public; any other becomes private, because Nova only knows the two.
fn difference(record: &Record, wanted: &Items) -> Value {
    let present = &record.properties;
    let mut operations = Vec::new();
    let mut gone: Vec<(&String, &String)> = present.iter().filter(|(key, _)| !wanted.contains_key(*key)).collect();
    for (key, text) in wanted.iter().filter(|(key, text)| is_sent(key, text)) {
        match present.get(key) {
            Some(old) if old == text => {}
            Some(_) => operations.push(value!({"op": "replace", "path": pointer(key), "value": text})),
            // A value that goes with one key and comes with another is moved, which Glance does not know.
            None => match gone.iter().position(|(_, old)| *old == text) {
                Some(at) => {
                    let (from, _) = gone.remove(at);
                    operations.push(value!({"op": "move", "from": pointer(from), "path": pointer(key)}));
                }
                None => operations.push(value!({"op": "add", "path": pointer(key), "value": text})),
            },
        }
    }
    let removals = gone.into_iter().map(|(key, _)| value!({"op": "remove", "path": pointer(key)}));
    operations.splice(0..0, removals);
    if !matches!(record.visibility, Visibility::Public | Visibility::Private) {
        let private = Visibility::Private.as_str();
        operations.push(value!({"op": "replace", "path": "/visibility", "value": private}));
    }
    operations.into()
}

fn is_sent(key: &str, text: &str) -> bool {
    let names_nothing = IDS.contains(&key) && matches!(text.trim().to_lowercase().as_str(), "none" | "");
    !IGNORED.contains(&key) && !names_nothing
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}
