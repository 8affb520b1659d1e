//! The mount point: looked at before anybody logs in anywhere, so that a typing error is told at once.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mountinfo::{self, Mount};
use super::unmount::{self, How};

/// Why nothing can be mounted at a place.
#[derive(Debug, thiserror::Error)]
pub enum PointError {
    /// Nothing is there.
    #[error("the mount point {0} does not exist (mkdir {0})")]
    Missing(PathBuf),
    /// Something else than a folder is there.
    #[error("the mount point {0} is not a folder")]
    NotAFolder(PathBuf),
    /// This user may not look at it or mount there.
    #[error("the mount point {0} is not permitted to this user: {1}")]
    NotPermitted(PathBuf, &'static str),
    /// It is in use.
    #[error("the mount point {0} is busy: {2} ({1}) is mounted there already (unmount it with: umount {0})")]
    Busy(PathBuf, String, String),
    /// A dead mount that could not be cleared away.
    #[error("at the mount point {0} the program behind an old mount has died, and it cannot be cleared away: {1}")]
    Dead(PathBuf, String),
    /// Anything else the system says.
    #[error("the mount point {0} cannot be used: {1}")]
    Other(PathBuf, io::Error),
}

/// Clears away a mount of ours at `path` whose program has died (each access answers ENOTCONN), and says whether there was
/// one.
pub fn clear_dead(path: &Path) -> Result<bool, PointError> {
    match dead_mount(path) {
        Some(dead) => clear(path, &dead).map(|()| true),
        None => Ok(false),
    }
}

/// Checks that something can be mounted at `path`, and answers the path without symbolic links.
///
/// A folder that is not empty is accepted, as mount(8) accepts it. What [`clear_dead`] clears away is refused.
pub fn prepare(path: &Path) -> Result<PathBuf, PointError> {
    let point = path.canonicalize().map_err(|error| refusal(path, error))?;
    let about = point.metadata().map_err(|error| refusal(path, error))?;
    if !about.is_dir() {
        return Err(PointError::NotAFolder(path.to_owned()));
    }
    match mountinfo::at(&point) {
        // systemd's automount puts its own mount there first.
        Ok(Some(mount)) if mount.kind != "autofs" => Err(busy(path, &mount)),
        _ => may_mount_at(path, &point).map(|()| point),
    }
}

fn busy(path: &Path, mount: &Mount) -> PointError {
    PointError::Busy(path.to_owned(), mount.kind.clone(), mount.source.to_string_lossy().into_owned())
}

/// Root may mount anywhere; for others fusermount3 asks that they may write to the folder.
fn may_mount_at(path: &Path, point: &Path) -> Result<(), PointError> {
    if is_root() || is_writable(point) {
        Ok(())
    } else {
        Err(PointError::NotPermitted(path.to_owned(), "it must be a folder that they may write to"))
    }
}

/// Whether this process may mount without help.
pub fn is_root() -> bool {
    // SAFETY: the call takes no arguments, touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The user and the group of this process.
pub fn user() -> (u32, u32) {
    // SAFETY: the calls take no arguments, touch no memory and cannot fail.
    unsafe { (libc::getuid(), libc::getgid()) }
}

fn is_writable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` is a string that ends in NUL and outlives the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Whether the program behind the mount at `path` has died, and the path to give to umount then.
fn dead_mount(path: &Path) -> Option<PathBuf> {
    // The dead folder itself cannot always be resolved, the folder that it is in can.
    is_dead(path).then(|| resolve_through_parent(path))
}

/// Whether `path` is a mount of ours whose program has died. The kernel goes on answering `stat` from what it remembers,
/// so such a mount is asked to open its root, which costs a living one no request to the service.
pub fn is_dead(path: &Path) -> bool {
    let disconnected = |error: io::Error| error.raw_os_error() == Some(libc::ENOTCONN);
    let is_ours = || {
        let point = path.canonicalize().ok()?;
        mountinfo::at(&point).ok().flatten().filter(Mount::is_ours)
    };
    match path.metadata() {
        Err(error) => disconnected(error),
        // Other filesystems are not opened: an automount point would begin to mount itself.
        Ok(_) => is_ours().is_some() && path.read_dir().is_err_and(disconnected),
    }
}

/// The path with everything but its last component resolved; as it is where that cannot be done.
pub fn resolve_through_parent(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = absolute.parent().and_then(|parent| parent.canonicalize().ok()).zip(absolute.file_name());
    resolved.map_or(absolute.clone(), |(parent, name)| parent.join(name))
}

fn clear(path: &Path, point: &Path) -> Result<(), PointError> {
    match mountinfo::at(point) {
        Ok(Some(mount)) if mount.is_ours() => {
            unmount::unmount(point, How::Lazy).map_err(|error| PointError::Dead(path.to_owned(), error.to_string()))
        }
        Ok(Some(mount)) => Err(PointError::Dead(path.to_owned(), format!("it belongs to {}", mount.kind))),
        _ => Err(PointError::Dead(path.to_owned(), "it is not in the table of mounts".to_owned())),
    }
}

fn refusal(path: &Path, error: io::Error) -> PointError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => PointError::Missing(path),
        io::ErrorKind::NotADirectory => PointError::NotAFolder(path),
        io::ErrorKind::PermissionDenied => {
            PointError::NotPermitted(path, "a folder on the way to it is closed to them")
        }
        _ => PointError::Other(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_and_a_file_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let sentence = prepare(&missing).unwrap_err().to_string();
        assert!(sentence.contains(&missing.display().to_string()) && sentence.contains("does not exist"), "{sentence}");

        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(PointError::NotAFolder(_))));
        assert!(matches!(prepare(&file.join("below")), Err(PointError::NotAFolder(_))));
    }

    #[test]
    fn a_folder_that_is_not_empty_is_accepted_and_links_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("something"), "").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(prepare(&link).unwrap(), real);
    }

    #[test]
    fn a_place_where_something_is_mounted_is_busy() {
        assert!(matches!(prepare(Path::new("/proc")), Err(PointError::Busy(..))));
    }
}
