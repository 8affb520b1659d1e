//! What the service knows about one image, and how it shows it.

use super::sniff::is_checked;
use super::task::Task;
use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// The names of the stores. Both are the same folder: what can be told apart from outside is the name.
pub(crate) const STORES: [&str; 2] = ["fast", "slow"];
/// The store of uploads that name none.
pub(crate) const DEFAULT_STORE: &str = "fast";

/// Where an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Queued,
    /// Held in memory only: what a kill interrupts is queued again.
    Saving,
    /// Data is staged, or on its way there; only what is staged as a whole outlives a kill.
    Uploading,
    /// An import works on it, or failed over what was staged.
    Importing,
    Active,
    Deactivated,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

/// Who may see an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Visibility {
    Public,
    Community,
    Shared,
    Private,
}

impl Visibility {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Public, Self::Community, Self::Shared, Self::Private].into_iter().find(|known| known.as_str() == word)
    }
}

/// A project that an image is shared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// `pending`, `accepted` or `rejected`.
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// The data that an image holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Data {
    pub(crate) size: u64,
    pub(crate) virtual_size: Option<u64>,
    /// The names of the stores, with commas between them.
    pub(crate) store: String,
    /// MD5 in hexadecimal.
    pub(crate) md5: String,
    /// SHA-512 in hexadecimal.
    pub(crate) sha512: String,
}

/// Bytes that have come, as they were hashed and recognised on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) size: u64,
    /// MD5 in hexadecimal.
    pub(crate) md5: String,
    /// SHA-512 in hexadecimal.
    pub(crate) sha512: String,
    /// The disk format that they look like.
    pub(crate) format: String,
    /// The size of the disk that they describe, where they tell.
    pub(crate) virtual_size: Option<u64>,
}

impl Received {
    /// Whether an image that declares these formats may hold the bytes.
    pub(crate) fn fits(&self, record: &Record) -> bool {
        let declared = record.disk_format.as_deref();
        !is_checked(record.container_format.as_deref(), declared) || declared == Some(self.format.as_str())
    }

    /// The bytes as an image of these formats holds them.
    pub(crate) fn into_data(self, record: &Record, store: String) -> Data {
        let virtual_size = match (record.container_format.as_deref(), record.disk_format.as_deref()) {
            (Some("bare"), Some(format)) if format == self.format && format != "raw" => self.virtual_size,
            (Some("bare"), _) => Some(self.size).filter(|size| *size > 0),
            _ => None,
        };
        Data { size: self.size, virtual_size, store, md5: self.md5, sha512: self.sha512 }
    }
}

/// One image as it lies in `image.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) status: Status,
    pub(crate) visibility: Visibility,
    pub(crate) owner: Option<String>,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
    pub(crate) min_disk: u32,
    pub(crate) min_ram: u32,
    pub(crate) protected: bool,
    pub(crate) os_hidden: bool,
    /// The data, once there is some; on a queued image it is what a refused upload left behind, which Glance shows
    /// in part and never lets be replaced.
    pub(crate) data: Option<Data>,
    /// What was staged for an import.
    #[serde(default)]
    pub(crate) staged: Option<Received>,
    /// A failed import left bytes in the store under this id, which nothing shows and which are in the way for ever.
    #[serde(default)]
    pub(crate) littered: bool,
    /// The imports, oldest first.
    #[serde(default)]
    pub(crate) tasks: Vec<Task>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) properties: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) members: BTreeMap<String, Share>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Record {
    /// A queued image whose data was refused after it had been stored.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.status == Status::Queued && self.data.is_some()
    }

    /// The size as shown: not that of refused data.
    pub(crate) fn size(&self) -> Option<u64> {
        self.data.as_ref().filter(|_| !self.is_poisoned()).map(|data| data.size).or_else(|| self.staged_size())
    }

    /// The size of what is staged.
    pub(crate) fn staged_size(&self) -> Option<u64> {
        self.staged.as_ref().map(|staged| staged.size)
    }

    pub(crate) fn virtual_size(&self) -> Option<u64> {
        self.data.as_ref().filter(|_| !self.is_poisoned()).and_then(|data| data.virtual_size)
    }

    pub(crate) fn checksum(&self) -> Option<&str> {
        self.data.as_ref().map(|data| data.md5.as_str())
    }

    pub(crate) fn hash(&self) -> Option<&str> {
        self.data.as_ref().map(|data| data.sha512.as_str())
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

/// A time as the API shows it: whole seconds, cut rather than rounded.
pub(crate) fn shown_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An image as the API shows it.
pub(crate) struct Shown<'a>(pub(crate) &'a Record);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let path = format!("/v2/images/{}", record.id);
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &record.properties {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("name", &record.name)?;
        map.serialize_entry("disk_format", &record.disk_format)?;
        map.serialize_entry("container_format", &record.container_format)?;
        map.serialize_entry("visibility", record.visibility.as_str())?;
        map.serialize_entry("size", &record.size())?;
        map.serialize_entry("virtual_size", &record.virtual_size())?;
        map.serialize_entry("status", record.status.as_str())?;
        map.serialize_entry("checksum", &record.checksum())?;
        map.serialize_entry("protected", &record.protected)?;
        map.serialize_entry("min_ram", &record.min_ram)?;
        map.serialize_entry("min_disk", &record.min_disk)?;
        map.serialize_entry("owner", &record.owner)?;
        map.serialize_entry("os_hidden", &record.os_hidden)?;
        map.serialize_entry("os_hash_algo", &record.hash().map(|_| "sha512"))?;
        map.serialize_entry("os_hash_value", &record.hash())?;
        map.serialize_entry("id", &record.id)?;
        map.serialize_entry("created_at", &shown_time(record.created_at))?;
        map.serialize_entry("updated_at", &shown_time(record.updated_at))?;
        map.serialize_entry("tags", &record.tags)?;
        map.serialize_entry("self", &path)?;
        map.serialize_entry("file", &format!("{path}/file"))?;
        map.serialize_entry("schema", "/v2/schemas/image")?;
        if let Some(data) = &record.data {
            map.serialize_entry("stores", &data.store)?;
        }
        map.end()
    }
}
