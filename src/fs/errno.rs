//! Why an operation failed: the sentence, and the one match from typed errors to errno.

use crate::read::ReadError;
use crate::service::{Kind, ServiceError};
use crate::write::{Reason, WriteError};

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
    /// Another scratch file has the name.
    #[error("there is already a file called '{0}'")]
    Exists(String),
    /// A file of `files/` was to be renamed to one of another format.
    #[error("image {image} stays in its format{}: another ending of its name would say something else", of_format(.format))]
    FormatStays {
        /// The image.
        image: crate::image::ImageId,
        /// The format that it has.
        format: String,
    },
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
    /// The image is protected.
    #[error("image {0} is protected: nothing of it can be removed until 'protected' is false in its metadata.json")]
    Protected(crate::image::ImageId),
    /// A call to the service that changes something failed.
    #[error(transparent)]
    Change(ServiceError),
    /// The name is longer than a directory entry can be.
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    /// No such extended attribute.
    #[error("there is no such extended attribute")]
    NoAttribute,
    /// Extended attributes of another kind than our own.
    #[error("only extended attributes that begin with user. are offered")]
    ForeignAttribute,
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

impl FsError {
    /// The errno for the kernel, as docs/semantics.md lists them.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } => libc::ENOENT,
            Self::Forgotten | Self::Replaced(_) => libc::ESTALE,
            Self::Deactivated(_) => libc::EACCES,
            Self::NoSize(_) => libc::EIO,
            Self::NotAFolder(_) => libc::ENOTDIR,
            Self::IsAFolder(_) => libc::EISDIR,
            Self::ReadOnly | Self::NoSpool => libc::EROFS,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::Taken(_) | Self::IdTaken(_) | Self::Exists(_) => libc::EEXIST,
            Self::Unnameable { .. } | Self::NotALink | Self::NoCommand(_) => libc::EINVAL,
            Self::NotPermitted(_) | Self::Protected(_) | Self::FormatStays { .. } => libc::EPERM,
            Self::Change(error) => of_change(&error.kind),
            Self::NoAttribute => libc::ENODATA,
            Self::ForeignAttribute => libc::EOPNOTSUPP,
            Self::BadHandle => libc::EBADF,
            Self::Interrupted | Self::Unfinished(_) => libc::EINTR,
            Self::Service(error) => of_kind(&error.kind),
            Self::Write(error) => of_write(error),
            Self::Read(error) => of_read(error),
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
            | Self::Taken(_)
            | Self::IdTaken(_)
            | Self::Exists(_)
            | Self::FormatStays { .. }
            | Self::NotALink
            | Self::Unnameable { .. }
            | Self::NoCommand(_)
            | Self::NotPermitted(_)
            | Self::Protected(_) => true,
            Self::Service(error) | Self::Change(error) => error.kind == Kind::NotFound,
            Self::Replaced(_)
            | Self::Deactivated(_)
            | Self::NoSize(_)
            | Self::NotAFolder(_)
            | Self::IsAFolder(_)
            | Self::BadHandle
            | Self::NoSpool
            | Self::Unfinished(_)
            | Self::Write(_)
            | Self::Read(_) => false,
        }
    }
}

fn of_format(format: &str) -> String {
    if format.is_empty() { String::new() } else { format!(", {format}") }
}

/// The errno of a failed call that looks at something.
fn of_kind(kind: &Kind) -> i32 {
    match kind {
        Kind::NotFound => libc::ENOENT,
        Kind::Unauthorized | Kind::Forbidden | Kind::Login => libc::EACCES,
        Kind::Conflict => libc::EBUSY,
        Kind::Gone => libc::ESTALE,
        Kind::OverQuota => libc::EDQUOT,
        Kind::TooLarge => libc::EFBIG,
        Kind::StoreFull => libc::ENOSPC,
        Kind::Invalid | Kind::FormatMismatch => libc::EINVAL,
        Kind::NotOffered | Kind::Unseekable => libc::EOPNOTSUPP,
        Kind::TimedOut => libc::ETIMEDOUT,
        Kind::Unreachable => libc::EHOSTUNREACH,
        Kind::MarkerGone
        | Kind::NoData
        | Kind::Unavailable
        | Kind::Untrusted
        | Kind::Malformed
        | Kind::Configuration => libc::EIO,
    }
}

/// The errno of a failed call that changes something. What a policy forbids then is EPERM, as chmod(2) has it, and not
/// EACCES.
fn of_change(kind: &Kind) -> i32 {
    match kind {
        Kind::Forbidden => libc::EPERM,
        other => of_kind(other),
    }
}

/// The errno of a failed write, or of a close whose upload failed.
fn of_write(error: &WriteError) -> i32 {
    match error {
        WriteError::Busy(_) | WriteError::Status { .. } | WriteError::Reopened(_) | WriteError::Closed => libc::EBUSY,
        WriteError::Immutable(_) | WriteError::Poisoned(_) => libc::EPERM,
        WriteError::Failed(cause) => of_reason(cause.reason),
        WriteError::Discarded(_) => libc::ECANCELED,
        WriteError::Unknown(..) => libc::ENOENT,
        WriteError::Service(error) => of_change(&error.kind),
        WriteError::Spool { source, .. } | WriteError::Folder { source, .. } => {
            source.raw_os_error().unwrap_or(libc::EIO)
        }
        WriteError::Owner(_) => libc::EACCES,
    }
}

fn of_reason(reason: Reason) -> i32 {
    match reason {
        Reason::Gone => libc::ESTALE,
        Reason::Quota => libc::EDQUOT,
        Reason::TooLarge => libc::EFBIG,
        Reason::StoreFull => libc::ENOSPC,
        Reason::Format | Reason::Invalid => libc::EINVAL,
        Reason::Poisoned | Reason::Forbidden => libc::EPERM,
        Reason::Login => libc::EACCES,
        Reason::Conflict => libc::EBUSY,
        Reason::Mismatch | Reason::Stuck | Reason::Unavailable | Reason::Untrusted | Reason::Spool => libc::EIO,
        Reason::TimedOut => libc::ETIMEDOUT,
        Reason::Unreachable => libc::EHOSTUNREACH,
        Reason::NotOffered => libc::EOPNOTSUPP,
    }
}

/// The errno of a failed read of an open file. What is not found now was there when the file was opened.
fn of_read(error: &ReadError) -> i32 {
    match error {
        ReadError::Service(error) if error.kind == Kind::NotFound => libc::ESTALE,
        ReadError::Service(error) => of_kind(&error.kind),
        ReadError::Memory(_) => libc::ENOMEM,
        ReadError::HashMismatch { .. } => libc::EIO,
        ReadError::TimedOut { .. } => libc::ETIMEDOUT,
    }
}
