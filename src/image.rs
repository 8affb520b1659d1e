//! The words of the Image service that every layer uses: image, status, member, checksum. No I/O.

mod checksum;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use litemap::LiteMap;
use smol_str::SmolStr;

pub use checksum::{Checksum, Checksums};

/// The property that says how old the bytes of an image are (RFC 3339).
pub const DATA_MTIME: &str = "data_mtime";

/// A text of an image. Most are short, and a hundred thousand images have millions of them: up to 23 bytes lie in the value
/// itself, and clones of a longer one share it.
pub type Text = SmolStr;

/// An image's id: 36 characters of hexadecimal digits and hyphens in the places of a UUID.
///
/// Upper and lower case are kept, because the service compares ids as exact strings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId([u8; 36]);

/// A text that has not the form of an image id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an image id (a UUID)")]
pub struct NotAnImageId(pub String);

impl ImageId {
    /// A new random id (UUID version 4).
    pub fn random() -> Self {
        let mut text = [0; 36];
        uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// The bytes of [`Self::as_str`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as the service spells it.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in through `FromStr`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for ImageId {
    type Err = NotAnImageId;

    fn from_str(text: &str) -> Result<Self, NotAnImageId> {
        let fits = |(at, byte): (usize, &u8)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        <[u8; 36]>::try_from(text.as_bytes())
            .ok()
            .filter(|bytes| bytes.iter().enumerate().all(fits))
            .map(Self)
            .ok_or_else(|| NotAnImageId(text.to_owned()))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Where an image is in its life (Image API v2, "Image data and status").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Created, without bytes.
    Queued,
    /// Bytes are being uploaded.
    Saving,
    /// Complete; its bytes never change again.
    Active,
    /// An upload failed for good.
    Killed,
    /// Removed.
    Deleted,
    /// Removed, the bytes not yet.
    PendingDelete,
    /// Complete, but nobody except an administrator may read the bytes.
    Deactivated,
    /// Bytes are being staged for an import.
    Uploading,
    /// An import runs.
    Importing,
    /// A word that this program does not know.
    Other(Box<str>),
}

impl Status {
    /// The status in the service's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Active => "active",
            Self::Killed => "killed",
            Self::Deleted => "deleted",
            Self::PendingDelete => "pending_delete",
            Self::Deactivated => "deactivated",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Other(word) => word,
        }
    }

    /// Whether an image in this status has its bytes, all of them, for ever the same.
    pub fn has_data(&self) -> bool {
        matches!(self, Self::Active | Self::Deactivated)
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "queued" => Self::Queued,
            "saving" => Self::Saving,
            "active" => Self::Active,
            "killed" => Self::Killed,
            "deleted" => Self::Deleted,
            "pending_delete" => Self::PendingDelete,
            "deactivated" => Self::Deactivated,
            "uploading" => Self::Uploading,
            "importing" => Self::Importing,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Who sees an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Everybody who knows its id; in no default listing.
    Community,
    /// The owner's project and its member projects.
    Shared,
    /// The owner's project.
    Private,
    /// A word that this program does not know.
    Other(Box<str>),
}

impl Visibility {
    /// The visibility in the service's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Visibility {
    fn from(word: &str) -> Self {
        match word {
            "public" => Self::Public,
            "community" => Self::Community,
            "shared" => Self::Shared,
            "private" => Self::Private,
            other => Self::Other(other.into()),
        }
    }
}

/// Additional properties by their names, sorted. An image has a few of them, and a cloud a hundred thousand images: they lie
/// in a row, where a tree would take half a KiB for the first one.
pub type Properties = LiteMap<Text, Text>;

/// Attributes of any type by their names, in a row too.
pub type Attributes = LiteMap<Text, serde_json::Value>;

/// One image as the service shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name; not unique, and anything up to 255 characters.
    pub name: Option<String>,
    /// Where it is in its life.
    pub status: Status,
    /// Who sees it.
    pub visibility: Visibility,
    /// The project that owns it.
    pub owner: Option<Text>,
    /// The number of bytes, once it has any.
    pub size: Option<u64>,
    /// The size in bytes of the disk that the image unpacks to.
    pub virtual_size: Option<u64>,
    /// The format of the disk inside (`qcow2`, `raw`, …).
    pub disk_format: Option<Text>,
    /// The wrapping around the disk (`bare`, …).
    pub container_format: Option<Text>,
    /// Hashes of its bytes.
    pub checksums: Checksums,
    /// When it was created (whole seconds).
    pub created_at: Timestamp,
    /// When anything but its members last changed (whole seconds).
    pub updated_at: Timestamp,
    /// Whether deletion is refused.
    pub protected: bool,
    /// Whether it is left out of listings (`os_hidden`).
    pub hidden: bool,
    /// GiB of disk that an instance needs at least.
    pub min_disk: u64,
    /// MiB of memory that an instance needs at least.
    pub min_ram: u64,
    /// Its tags, sorted.
    pub tags: Vec<Text>,
    /// The ids of the stores that hold its bytes, where the service tells.
    pub stores: Vec<Text>,
    /// Additional properties.
    pub properties: Properties,
    /// What else the service shows (`direct_url`, `locations`, …): read-only, by its name.
    pub other: Attributes,
}

/// A project that an image is shared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The project's id.
    pub project: String,
    /// What it made of the offer.
    pub status: MemberStatus,
    /// When its status last changed.
    pub updated_at: Option<Timestamp>,
}

/// What a member project made of an image that it was offered. It sees the image in listings once it has accepted it, and
/// by its id before that too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Nothing yet.
    Pending,
    /// The image is in its listings.
    Accepted,
    /// The image is not in its listings.
    Rejected,
    /// A word that this program does not know.
    Other(Box<str>),
}

impl MemberStatus {
    /// The status in the service's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for MemberStatus {
    fn from(word: &str) -> Self {
        match word {
            "pending" => Self::Pending,
            "accepted" => Self::Accepted,
            "rejected" => Self::Rejected,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Something that the service does with an image behind an answer that it gave already, an import above all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// What kind of task it is (`api_image_import`).
    pub kind: String,
    /// How far it is.
    pub status: TaskStatus,
    /// The service's own words: how far it is, or that it failed. They rarely say why.
    pub message: String,
    /// The way that an image is imported (`web-download`).
    pub method: Option<String>,
    /// Where it is imported from, without a password and without a query, where signatures are.
    pub uri: Option<String>,
    /// When it was asked for.
    pub created_at: Option<Timestamp>,
    /// The service's name for the request that asked for it.
    pub request_id: Option<String>,
}

/// How far a task is (Image API v2, "Tasks").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// It has not begun.
    Pending,
    /// It is under way.
    Processing,
    /// It did what it was to do.
    Success,
    /// It failed, for good.
    Failure,
    /// A word that this program does not know.
    Other(Box<str>),
}

impl TaskStatus {
    /// The status in the service's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for TaskStatus {
    fn from(word: &str) -> Self {
        match word {
            "pending" => Self::Pending,
            "processing" => Self::Processing,
            "success" => Self::Success,
            "failure" => Self::Failure,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How much of the project's image quota is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes stored.
    pub used: u64,
    /// Bytes that may be stored; `None` without a limit.
    pub limit: Option<u64>,
    /// Images held.
    pub images: u64,
    /// Images that may be held; `None` without a limit.
    pub image_limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_id_keeps_its_case_and_nothing_else_is_one() {
        let mixed = "AAAAAAAA-bbbb-CCCC-dddd-eeeeeeeeeeee";
        assert_eq!(mixed.parse::<ImageId>().unwrap().as_str(), mixed);
        for wrong in ["", "x", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee", "aaaaaaaa_bbbb-cccc-dddd-eeeeeeeeeeee"] {
            assert_eq!(wrong.parse::<ImageId>(), Err(NotAnImageId(wrong.to_owned())));
        }
        assert!("gaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee".parse::<ImageId>().is_err());
        assert!("éaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee".parse::<ImageId>().is_err());
    }

    /// A hundred thousand of them are held: what a new field takes is to be seen here.
    #[test]
    fn an_image_is_no_larger_than_it_has_to_be() {
        assert_eq!(size_of::<Option<Text>>(), 24);
        assert!(size_of::<Image>() <= 416, "{}", size_of::<Image>());
    }

    #[test]
    fn a_status_survives_the_way_there_and_back() {
        for word in "queued saving active killed deleted pending_delete deactivated uploading importing new".split(' ')
        {
            assert_eq!(Status::from(word).as_str(), word);
        }
        for word in ["pending", "accepted", "rejected", "new"] {
            assert_eq!(MemberStatus::from(word).as_str(), word);
        }
        for word in ["pending", "processing", "success", "failure", "new"] {
            assert_eq!(TaskStatus::from(word).as_str(), word);
        }
    }
}
