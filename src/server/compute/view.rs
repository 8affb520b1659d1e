//! An image as the Compute API shows it.

use super::error::Fault;
use super::path::{PREFIX, Version};
use crate::server::record::{Record, Status, shown_time};
use serde_json::{Map, Value, json as value};

/// The properties that Nova reads as JSON, and fails over where they are none.
const PARSED: [&str; 2] = ["block_device_mapping", "mappings"];

/// Where the links of an answer lead: as the caller addressed the service.
#[derive(Debug)]
pub(super) struct Links {
    /// `http://host:port`, without a path.
    pub(super) host: String,
    pub(super) version: Version,
    /// The project in the path of the request, which the links repeat.
    pub(super) project: Option<String>,
}

impl Links {
    /// The path below the version, with the project where the request had one.
    fn path(&self, words: &str) -> String {
        self.project.as_ref().map_or_else(|| words.to_owned(), |project| format!("{project}/{words}"))
    }

    pub(super) fn to(&self, words: &str) -> String {
        format!("{}{PREFIX}/{}/{}", self.host, self.version.word(), self.path(words))
    }

    /// The same without a version.
    fn bookmark(&self, words: &str) -> String {
        format!("{}{PREFIX}/{}", self.host, self.path(words))
    }

    fn of_image(&self, id: &str) -> Value {
        let words = format!("images/{id}");
        value!([
            {"rel": "self", "href": self.to(&words)},
            {"rel": "bookmark", "href": self.bookmark(&words)},
            {"rel": "alternate", "type": "application/vnd.openstack.image", "href": format!("{}/{words}", self.host)},
        ])
    }

    fn of_server(&self, id: &str) -> Value {
        let words = format!("servers/{id}");
        let links = value!([
            {"rel": "self", "href": self.to(&words)},
            {"rel": "bookmark", "href": self.bookmark(&words)},
        ]);
        value!({"id": id, "links": links})
    }
}

/// An image in a plain listing, for which Nova reads all of it too.
pub(super) fn brief(record: &Record, links: &Links) -> Result<Value, Fault> {
    metadata(record)?;
    Ok(value!({"id": record.id, "name": record.name, "links": links.of_image(&record.id)}))
}

/// An image with its details.
pub(super) fn detailed(record: &Record, links: &Links) -> Result<Value, Fault> {
    let mut shown = value!({
        "id": record.id,
        "name": record.name,
        "minRam": record.min_ram,
        "minDisk": record.min_disk,
        "metadata": metadata(record)?,
        "created": shown_time(record.created_at),
        "updated": shown_time(record.updated_at),
        "status": status(record.status),
        "progress": progress(record.status),
        "OS-EXT-IMG-SIZE:size": record.size().unwrap_or(0),
        "links": links.of_image(&record.id),
    });
    if let Some(map) = shown.as_object_mut() {
        if let Some(server) = record.properties.get("instance_uuid") {
            map.insert("server".to_owned(), links.of_server(server));
        }
        if let Some(word) = record.properties.get("auto_disk_config") {
            map.insert("OS-DCF:diskConfig".to_owned(), if is_true(word) { "AUTO" } else { "MANUAL" }.into());
        }
    }
    Ok(shown)
}

/// The properties, under the name that the Compute API has for them.
pub(super) fn metadata(record: &Record) -> Result<Map<String, Value>, Fault> {
    let shown = |(key, text): (&String, &String)| {
        let shown = if PARSED.contains(&key.as_str()) { parsed(text)? } else { text.as_str().into() };
        Ok((key.clone(), shown))
    };
    record.properties.iter().map(shown).collect()
}

fn parsed(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::unexpected("json.decoder.JSONDecodeError"))
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "ACTIVE",
        Status::Queued | Status::Saving => "SAVING",
        Status::Uploading | Status::Importing | Status::Deactivated => "UNKNOWN",
    }
}

fn progress(status: Status) -> u8 {
    match status {
        Status::Queued => 25,
        Status::Saving => 50,
        Status::Active => 100,
        Status::Uploading | Status::Importing | Status::Deactivated => 0,
    }
}

/// What the library under Nova takes for true.
fn is_true(word: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&word.trim().to_lowercase().as_str())
}
