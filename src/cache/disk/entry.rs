//! The folder of one image in the cache: `data`, and `map` beside it.
//!
//! A folder appears complete under its name and disappears at once, each by one rename. So two processes that want the
//! same image never see half of it, and whoever has the files open keeps them.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Identity;
use super::map::Map;

/// How the names of folders begin that are being made, and of those that are being removed. No image's name does.
const NEW: &str = "new-";
const TRASH: &str = "trash-";

/// A folder that is being made for longer than this is what a process left that was ended meanwhile.
const ABANDONED: Duration = Duration::from_mins(10);

/// The open files of an image. The lock on `data` is held, shared, for as long as it is open: it tells who removes
/// images that this one is in use.
pub(super) struct Entry {
    pub(super) data: File,
    pub(super) map: File,
}

/// What was found under a name.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    /// Another process is removing or replacing it at this moment.
    Moving,
}

fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a folder that only we may enter.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens the folder at `path`.
pub(super) fn open(path: &Path) -> io::Result<Found> {
    let opened = file(&path.join("data")).and_then(|data| Ok(Entry { data, map: file(&path.join("map"))? }));
    let entry = match opened {
        Ok(entry) => entry,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if path.symlink_metadata().is_ok() { Found::Moving } else { Found::Nothing });
        }
        Err(error) => return Err(error),
    };
    match entry.data.try_lock_shared() {
        Err(TryLockError::Error(error)) => Err(error),
        // Between the two look-ups, or before the lock, it may have been replaced.
        Ok(()) if is_at(&entry.data, &path.join("data")) && is_at(&entry.map, &path.join("map")) => {
            Ok(Found::Entry(entry))
        }
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(Found::Moving),
    }
}

/// Whether `file` is what is found at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Whether the folder at `path` is the one whose data file is `data`.
pub(super) fn is_of(path: &Path, data: &File) -> bool {
    is_at(data, &path.join("data"))
}

/// Makes the folder `path` for `content`, without any block. Where it came to be meanwhile, that one stays.
pub(super) fn create(path: &Path, content: &Identity) -> io::Result<()> {
    let new = beside(path, NEW);
    let made = make_folder(&new)
        .and_then(|()| new_file(&new.join("data"))?.set_len(content.size()))
        .and_then(|()| Map::create(&new_file(&new.join("map"))?, content))
        .and_then(|()| rename(&new, path));
    if !matches!(made, Ok(true)) {
        let _ = fs::remove_dir_all(&new);
    }
    made.map(|_| ())
}

/// Renames the folder `from` to `to`. `false` where there is one already.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the folder at `path`, in use or not. Those who have its files open keep them.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let trash = beside(path, TRASH);
    match fs::rename(path, &trash) {
        Ok(()) => fs::remove_dir_all(&trash),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the folder at `path` unless somebody uses it. Answers whether it did.
pub(super) fn evict(path: &Path) -> bool {
    // Whoever opens it meanwhile finds this lock, and looks again.
    let unused = match file(&path.join("data")) {
        Ok(data) => data.try_lock().is_ok().then_some(Some(data)),
        // Half a folder is in nobody's use.
        Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(None),
    };
    unused.is_some_and(|data| {
        let still = data.as_ref().is_none_or(|data| is_of(path, data));
        still && remove(path).is_ok()
    })
}

/// A name of its own in the folder that has `path`.
fn beside(path: &Path, prefix: &str) -> PathBuf {
    path.with_file_name(format!("{prefix}{:016x}", fastrand::u64(..)))
}

/// What a folder takes on the disk, and when it was last used.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Bytes on the disk.
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// All images in `images`, the least recently used first.
pub(super) fn list(images: &Path) -> io::Result<Vec<Listed>> {
    let mut listed: Vec<Listed> = fs::read_dir(images)?.flatten().filter_map(|entry| look(&entry.path())).collect();
    listed.sort_by(|one, other| (one.used, &one.path).cmp(&(other.used, &other.path)));
    Ok(listed)
}

fn look(path: &Path) -> Option<Listed> {
    if is_leftover(path) || !path.symlink_metadata().ok()?.is_dir() {
        return None;
    }
    let on_disk = |name: &str| path.join(name).symlink_metadata().map_or(0, |file| file.blocks().saturating_mul(512));
    let used = path.join("map").symlink_metadata().and_then(|map| map.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    Some(Listed { path: path.to_owned(), bytes: on_disk("data").saturating_add(on_disk("map")), used })
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

fn is_leftover(path: &Path) -> bool {
    starts_with(path, NEW) || starts_with(path, TRASH)
}

/// Removes what processes left that were ended while they made or removed a folder.
pub(super) fn clean(images: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(images)?.flatten() {
        let path = entry.path();
        let abandoned = || {
            let made = entry.metadata().and_then(|folder| folder.modified()).ok();
            made.and_then(|made| now.duration_since(made).ok()).is_some_and(|age| age > ABANDONED)
        };
        if starts_with(&path, TRASH) || (starts_with(&path, NEW) && abandoned()) {
            // Another process may be removing it as well.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}
