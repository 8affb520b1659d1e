//! The one match from typed errors to errno.

use super::draft::Untaken;
use super::error::FsError;
use crate::read::ReadError;
use crate::service::Kind;
use crate::write::{Reason, WriteError};

impl FsError {
    /// The errno for the kernel, as docs/semantics.md lists them.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } | Self::Absent(_) | Self::NoQuery(_) | Self::NoAnswer(_) => libc::ENOENT,
            Self::Forgotten | Self::Replaced(_) | Self::Untaken(Untaken::Removed) => libc::ESTALE,
            Self::Deactivated(_) => libc::EACCES,
            Self::NoSize(_) => libc::EIO,
            Self::NotAFolder(_) => libc::ENOTDIR,
            Self::IsAFolder(_) => libc::EISDIR,
            Self::ReadOnly | Self::NoSpool => libc::EROFS,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::Taken(_) | Self::IdTaken(_) | Self::Ambiguous(_) | Self::Exists(_) => libc::EEXIST,
            Self::Untaken(Untaken::TooLong) => libc::EFBIG,
            Self::Unnameable { .. }
            | Self::NotALink
            | Self::NoCommand(_)
            | Self::Untaken(Untaken::Malformed(_) | Untaken::Gap(_) | Untaken::Killed)
            | Self::Malformed(_)
            | Self::Refused(_)
            | Self::Misfit(_)
            | Self::NotText
            | Self::NoStatus(_)
            | Self::NoMemberStatus(_)
            | Self::NoUrl
            | Self::NoFormat(_)
            | Self::TagText
            | Self::Attribute(_)
            | Self::Reserved(_)
            | Self::NoChecksum(_) => libc::EINVAL,
            Self::HasSpool(_)
            | Self::Expected(_)
            | Self::NoImport { .. }
            | Self::NeverQueued { .. }
            | Self::Standstill(..) => libc::EBUSY,
            Self::NotPermitted(_)
            | Self::Protected(_)
            | Self::FormatStays { .. }
            | Self::Unshared(_)
            | Self::Anothers(..)
            | Self::OtherChecksums(_) => libc::EPERM,
            Self::Change(error) | Self::WithoutData(error) => of_change(&error.kind),
            Self::NoAttribute => libc::ENODATA,
            Self::ForeignAttribute | Self::Unreservable => libc::EOPNOTSUPP,
            Self::BadHandle => libc::EBADF,
            Self::Interrupted | Self::Unfinished(_) => libc::EINTR,
            Self::Service(error) => of_kind(&error.kind),
            Self::Write(error) => of_write(error),
            Self::Read(error) => of_read(error),
        }
    }
}

/// The name of an errno that this filesystem answers, as errno(3) spells it.
pub(super) fn name_of(errno: i32) -> &'static str {
    match errno {
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EBADF => "EBADF",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EINVAL => "EINVAL",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::ENODATA => "ENODATA",
        libc::ESTALE => "ESTALE",
        libc::EDQUOT => "EDQUOT",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ECANCELED => "ECANCELED",
        // EIO itself, and the rarer ones of the local disk.
        _ => "EIO",
    }
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
        Kind::NotOffered | Kind::Unseekable | Kind::Unranged => libc::EOPNOTSUPP,
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
        WriteError::Busy(_)
        | WriteError::Status { .. }
        | WriteError::Reopened(_)
        | WriteError::Underway(_)
        | WriteError::Closed => libc::EBUSY,
        WriteError::Immutable(_) | WriteError::Poisoned(_) => libc::EPERM,
        WriteError::Failed(cause) => of_reason(cause.reason),
        WriteError::Discarded(_) => libc::ECANCELED,
        WriteError::Unknown(..) => libc::ENOENT,
        WriteError::Service(error) => of_change(&error.kind),
        WriteError::Spool { source, .. } | WriteError::Folder { source, .. } => {
            source.raw_os_error().unwrap_or(libc::EIO)
        }
        WriteError::Owner(_) => libc::EACCES,
        WriteError::Unreadable(_) => libc::EIO,
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
        ReadError::HashMismatch { .. } | ReadError::OtherBytes { .. } => libc::EIO,
        ReadError::TimedOut { .. } => libc::ETIMEDOUT,
    }
}
