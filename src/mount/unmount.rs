//! Ending a mount: umount2(2), or `fusermount3 -u` for who may not call it.
//!
//! fuser has ways of its own, which answer EBUSY and leave the mount behind when a file is open, and which may hit a later
//! mount at the same place; so it is not asked to unmount anything.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mountinfo;

/// How to treat files that are still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Refuse while anything is in use.
    Plain,
    /// Take the mount out of the tree now; what is open goes on until it is closed.
    Lazy,
}

/// Why a mount could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// Somebody uses it.
    #[error("{0} is busy: a program has a file open there or its working folder in it (see who: fuser -vm {0})")]
    Busy(PathBuf),
    /// Nothing is mounted there.
    #[error("nothing is mounted at {0}")]
    NotMounted(PathBuf),
    /// Only root and the user who mounted it may.
    #[error("{0} cannot be unmounted by this user: {1}")]
    NotPermitted(PathBuf, String),
    /// What else the system says.
    #[error("{0} cannot be unmounted: {1}")]
    Other(PathBuf, String),
}

/// Unmounts what is topmost at `point`, an absolute path without symbolic links.
pub fn unmount(point: &Path, how: How) -> Result<(), UnmountError> {
    match umount2(point, how) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => fusermount(point, how),
        Err(error) => Err(explain(point, &error)),
    }
}

fn umount2(point: &Path, how: How) -> io::Result<()> {
    let flags = match how {
        How::Plain => libc::UMOUNT_NOFOLLOW,
        How::Lazy => libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH,
    };
    let point = CString::new(point.as_os_str().as_bytes())?;
    // SAFETY: `point` is a string that ends in NUL and outlives the call; the flags are umount2's own.
    match unsafe { libc::umount2(point.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn explain(point: &Path, error: &io::Error) -> UnmountError {
    let point = point.to_owned();
    match error.raw_os_error() {
        Some(libc::EBUSY) => UnmountError::Busy(point),
        Some(libc::EINVAL | libc::ENOENT) => UnmountError::NotMounted(point),
        _ => UnmountError::Other(point, error.to_string()),
    }
}

/// The helper that may unmount for users who are not root; `FUSERMOUNT_PATH` names another one, as for fuser.
pub fn helper() -> OsString {
    std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into())
}

fn fusermount(point: &Path, how: How) -> Result<(), UnmountError> {
    let mut command = Command::new(helper());
    command.arg("-u");
    if how == How::Lazy {
        command.arg("-z");
    }
    let ran = command.arg("--").arg(point).output();
    let output = ran.map_err(|error| UnmountError::NotPermitted(point.to_owned(), missing_helper(&error)))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if words.contains("busy") {
        UnmountError::Busy(point.to_owned())
    } else if words.contains("not found in") || words.contains("Invalid argument") {
        // It looks for mounts of this user alone.
        let is_there = mountinfo::all().is_ok_and(|mounts| mounts.iter().any(|mount| mount.point == point));
        let of_another = || UnmountError::NotPermitted(point.to_owned(), "another user has mounted it".to_owned());
        if is_there { of_another() } else { UnmountError::NotMounted(point.to_owned()) }
    } else {
        UnmountError::NotPermitted(point.to_owned(), words)
    })
}

fn missing_helper(error: &io::Error) -> String {
    format!("fusermount3, which does it for users other than root, cannot be run ({error}); it is in the package fuse3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_mount_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().canonicalize().unwrap();
        let outcome = unmount(&point, How::Plain);
        assert!(matches!(outcome, Err(UnmountError::NotMounted(_) | UnmountError::NotPermitted(..))), "{outcome:?}");
    }
}
