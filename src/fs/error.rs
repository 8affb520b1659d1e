//! Why an operation failed: the sentence.

use super::document::{Malformed, Refused};
use super::draft::Untaken;
use super::import::Standstill;
use crate::image::Text;
use crate::read::ReadError;
use crate::schema::Misfit;
use crate::service::{Kind, ServiceError};
use crate::write::WriteError;

/// A failed operation. Its `Display` is the sentence that people read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FsError {
    /// No such name.
    #[error("there is no '{name}' in {folder}")]
    NotFound {
        /// The folder's path in the mount.
        folder: String,
        /// The name that was looked for.
        name: String,
    },
    /// Nothing of this name is in any image folder, or in the root, because the service does not offer it.
    #[error("{0}")]
    Absent(&'static str),
    /// The kernel asks about a number that it was not told, or has forgotten.
    #[error("this file is not known any more")]
    Forgotten,
    /// The image was deleted, or replaced, while the file was open.
    #[error("image {0} is not the one that was opened: it was deleted or replaced")]
    Replaced(crate::image::ImageId),
    /// The image is deactivated.
    #[error("image {0} is deactivated: nobody may read its data until it is reactivated")]
    Deactivated(crate::image::ImageId),
    /// The service shows an image that is active and has no size.
    #[error("the service shows no size for image {0}, although it is active")]
    NoSize(crate::image::ImageId),
    /// A folder was needed.
    #[error("{0} is not a folder")]
    NotAFolder(String),
    /// A file was needed.
    #[error("{0} is a folder")]
    IsAFolder(String),
    /// The mount is read-only.
    #[error("this mount is read-only")]
    ReadOnly,
    /// There is no folder for what is written.
    #[error("nothing can be written, because nothing tells where to keep it until it is sent: mount with --state-dir")]
    NoSpool,
    /// Who wrote did not come to the end.
    #[error(
        "who wrote the data of image {0} was killed: what there is of them is kept, and not sent; write them again"
    )]
    Unfinished(crate::image::ImageId),
    /// The name is taken, by one image or by several.
    #[error("there is already an image called '{0}'")]
    Taken(String),
    /// The entry is the beginning of those of several long names.
    #[error(
        "'{0}' would stand for several names here, which are too long to be shown whole: use what the folder lists"
    )]
    Ambiguous(String),
    /// Another scratch file has the name.
    #[error("there is already a file called '{0}'")]
    Exists(String),
    /// A file of `files/` was to be renamed to one of another format.
    #[error("image {image} stays in its format{}: another ending of its name would say something else", of_format(.format))]
    FormatStays {
        /// The image.
        image: crate::image::ImageId,
        /// The format that it has.
        format: Text,
    },
    /// A folder of `query/` that asks for nothing.
    #[error(transparent)]
    NoQuery(#[from] super::query::NoQuery),
    /// The service does not take the question.
    #[error("{0}")]
    NoAnswer(ServiceError),
    /// A symbolic link was needed.
    #[error("this is not a symbolic link")]
    NotALink,
    /// The id is taken, perhaps by an image that this project may not see or that was deleted.
    #[error("the id {0} is taken: no two images ever have the same one")]
    IdTaken(crate::image::ImageId),
    /// The name stands for nothing that could be made there.
    #[error("'{name}' cannot be made in {folder}: {why}")]
    Unnameable {
        /// The folder's path in the mount.
        folder: String,
        /// The name that was asked for.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The filesystem does not do this, wherever it is asked.
    #[error("{0}")]
    NotPermitted(&'static str),
    /// What was written to a file of `.glancefs` is none of the commands that it knows.
    #[error("'{0}' is no command here: write 'retry ID' or 'discard ID' with an image's id, each on a line of its own")]
    NoCommand(String),
    /// A text was refused in the write that made it wrong, or became too long.
    #[error(transparent)]
    Untaken(#[from] Untaken),
    /// A document cannot be read as one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A document asks for what cannot be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// An attribute or property cannot have this value.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Bytes that are no text.
    #[error("what was written is not text in UTF-8, and nothing of it was taken: write it again as UTF-8")]
    NotText,
    /// A word that cannot be written to `status`.
    #[error("'{0}' is no word that can be written there: write 'deactivated' or 'active'")]
    NoStatus(String),
    /// An image that was to be queued again.
    #[error(
        "image {image} is {status}, and no image becomes queued again: make a new one, and delete this one if it is of no use"
    )]
    NeverQueued {
        /// The image.
        image: crate::image::ImageId,
        /// Its status.
        status: String,
    },
    /// A word that is no status of a member.
    #[error("'{0}' is no status of a member: write 'accepted', 'rejected' or 'pending'")]
    NoMemberStatus(String),
    /// Something that is no URL was written to `import`. It may hold a password and is not repeated.
    #[error("this is no URL: write one, such as https://example.org/disk.qcow2, on a line of its own")]
    NoUrl,
    /// The image takes no import.
    #[error("image {image} is {status}: only a queued image can be imported, so make a new one")]
    NoImport {
        /// The image.
        image: crate::image::ImageId,
        /// Its status.
        status: String,
    },
    /// Data were to be written to an image that the service imports, or was to.
    #[error("image {0} takes no data: {1}")]
    Standstill(crate::image::ImageId, Standstill),
    /// An image was to be imported of which nobody said what it is.
    #[error(
        "nothing says which format the disk of image {0} has: write \"disk_format\": \"qcow2\", or what it is, to its metadata.json first"
    )]
    NoFormat(crate::image::ImageId),
    /// Something was written to the file of a tag.
    #[error("a tag is its name alone: its file stays empty, so make one with touch")]
    TagText,
    /// A property was to be made that has the name of an attribute.
    #[error("'{0}' is an attribute of every image, and no property: it is in metadata.json")]
    Attribute(String),
    /// A property was to be made that the service keeps for itself.
    #[error("'{0}' is for the service alone to write, and cannot be a property")]
    Reserved(String),
    /// Members of an image that is not shared.
    #[error("image {0} has no members: write \"visibility\": \"shared\" to its metadata.json first")]
    Unshared(crate::image::ImageId),
    /// An image was to be imported whose data somebody writes.
    #[error("the data of image {0} are being written or sent, and cannot be imported as well")]
    HasSpool(crate::image::ImageId),
    /// An image was to be imported of which somebody said what its data are to be.
    #[error(
        "image {0} is to have the checksums that were written to it, and the service compares none when it imports: 'glancefs uploads discard {0}' takes them back"
    )]
    Expected(crate::image::ImageId),
    /// What another project's image holds was to be changed where nobody changes it.
    #[error("image {0} belongs to another project, and cannot be changed from here: {1}")]
    Anothers(crate::image::ImageId, Refused),
    /// `checksums` of an image that has its bytes, and others.
    #[error("image {0} has its data, and their hashes are others")]
    OtherChecksums(crate::image::ImageId),
    /// What was written to `checksums` is none.
    #[error(
        "'{0}' cannot be in checksums: write 'SHA512 (data) = ' and 128 hexadecimal digits, 'MD5 (data) = ' and 32, or both"
    )]
    NoChecksum(String),
    /// The image is protected.
    #[error("image {0} is protected: nothing of it can be removed until 'protected' is false in its metadata.json")]
    Protected(crate::image::ImageId),
    /// A call to the service that changes something failed.
    #[error(transparent)]
    Change(ServiceError),
    /// The status of an image that has no data was to be changed.
    #[error(
        "{0}; it has no data yet, and is active once they are there: write them to its file data, or a URL to import"
    )]
    WithoutData(ServiceError),
    /// The name is longer than a directory entry can be.
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    /// No such extended attribute.
    #[error("there is no such extended attribute")]
    NoAttribute,
    /// Extended attributes of another kind than our own.
    #[error("only extended attributes that begin with user. are offered")]
    ForeignAttribute,
    /// Space was to be reserved in a small file.
    #[error("no space can be reserved in this file, or given back: it is as long as what is written to it")]
    Unreservable,
    /// The handle is not one of ours, or not of this kind.
    #[error("the file handle is not valid")]
    BadHandle,
    /// A call to the service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Who asked was killed before the answer came.
    #[error("the program that asked was ended")]
    Interrupted,
    /// Bytes could not be taken, or not be sent.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Bytes could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// How much the log makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It belongs to ordinary life.
    Ordinary,
    /// Somebody asked for what cannot be.
    Refusal,
    /// The service, the network, a disk or the login failed.
    Failure,
}

impl FsError {
    /// How much it weighs.
    pub fn weight(&self) -> Weight {
        const FAILURES: [i32; 7] =
            [libc::EIO, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::ENOSPC, libc::ENOMEM, libc::EACCES, libc::EDQUOT];
        match self.errno() {
            _ if self.is_ordinary() => Weight::Ordinary,
            errno if FAILURES.contains(&errno) => Weight::Failure,
            _ => Weight::Refusal,
        }
    }

    /// Whether it belongs to ordinary life, such as a look-up of a name that does not exist, and needs no warning.
    pub fn is_ordinary(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Forgotten
            | Self::ReadOnly
            | Self::NameTooLong
            | Self::NoAttribute
            | Self::ForeignAttribute
            | Self::Interrupted
            | Self::NotALink => true,
            Self::Service(error) | Self::Change(error) => error.kind == Kind::NotFound,
            Self::Replaced(_)
            | Self::Absent(_)
            | Self::NoQuery(_)
            | Self::NoAnswer(_)
            | Self::WithoutData(_)
            | Self::Taken(_)
            | Self::IdTaken(_)
            | Self::Ambiguous(_)
            | Self::Exists(_)
            | Self::FormatStays { .. }
            | Self::Unnameable { .. }
            | Self::NoCommand(_)
            | Self::Untaken(_)
            | Self::Malformed(_)
            | Self::Refused(_)
            | Self::Misfit(_)
            | Self::NotText
            | Self::NoStatus(_)
            | Self::NeverQueued { .. }
            | Self::NoMemberStatus(_)
            | Self::NoUrl
            | Self::NoImport { .. }
            | Self::Standstill(..)
            | Self::NoFormat(_)
            | Self::TagText
            | Self::Attribute(_)
            | Self::Reserved(_)
            | Self::Unshared(_)
            | Self::HasSpool(_)
            | Self::Expected(_)
            | Self::Anothers(..)
            | Self::OtherChecksums(_)
            | Self::NoChecksum(_)
            | Self::NotPermitted(_)
            | Self::Protected(_)
            | Self::Deactivated(_)
            | Self::NoSize(_)
            | Self::NotAFolder(_)
            | Self::IsAFolder(_)
            | Self::Unreservable
            | Self::BadHandle
            | Self::NoSpool
            | Self::Unfinished(_)
            | Self::Write(_)
            | Self::Read(_) => false,
        }
    }

    /// The service's name for the request that failed, where one did and the service gave it one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Service(error)
            | Self::NoAnswer(error)
            | Self::Change(error)
            | Self::WithoutData(error)
            | Self::Write(WriteError::Service(error))
            | Self::Read(ReadError::Service(error)) => error.request_id.as_deref(),
            _ => None,
        }
    }
}

fn of_format(format: &str) -> String {
    if format.is_empty() { String::new() } else { format!(", {format}") }
}
