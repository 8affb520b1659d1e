//! Where the cache is and how much it may take; and making its folder.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{BLOCK, entry, space};

/// Where the cache is and how much it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder. It is made where there is none, and belongs to the cache alone.
    pub folder: PathBuf,
    /// Bytes that all images in it may take on the disk together.
    pub size: u64,
    /// Bytes that stay free on the disk whatever `size` says; `None` for a twentieth of the disk.
    pub floor: Option<u64>,
}

/// Why there is no cache on disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The folder cannot be made, or not be worked in.
    #[error("the folder of --cache-dir, {}, cannot be used: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder is another user's, who could put anything into it.
    #[error("the folder of --cache-dir, {}, belongs to another user; name one of your own", .0.display())]
    Owner(PathBuf),
    /// The folder has other things in it than a cache.
    #[error("the folder of --cache-dir, {}, holds other files; name a new or an empty folder", .0.display())]
    Foreign(PathBuf),
    /// Not even one block fits.
    #[error("--cache-size is {size} bytes, and must be at least {least}")]
    Size {
        /// Bytes that were allowed.
        size: u64,
        /// Bytes that are needed.
        least: u64,
    },
}

/// The files of a folder that was prepared.
#[derive(Debug)]
pub(super) struct Folder {
    /// Where the images are.
    pub(super) images: PathBuf,
    /// Held by the process that removes images.
    pub(super) lock: File,
}

/// Tells backup programs to leave the folder out (<https://bford.info/cachedir/>), and us that it is ours.
const TAG: &str = "CACHEDIR.TAG";
const TAG_TEXT: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Images that glancefs keeps, see its option --cache-dir.\n";

/// Bytes below which no block and its map would fit.
const LEAST: u64 = 16 * BLOCK;

impl DiskSettings {
    /// Makes the folder or checks the one that is there.
    pub(super) fn prepare(&self) -> Result<Folder, DiskError> {
        if self.size < LEAST {
            return Err(DiskError::Size { size: self.size, least: LEAST });
        }
        let failed = |source| DiskError::Folder { folder: self.folder.clone(), source };
        entry::make_folder(&self.folder).map_err(failed)?;
        if fs::metadata(&self.folder).map_err(failed)?.uid() != space::user() {
            return Err(DiskError::Owner(self.folder.clone()));
        }
        if !is_ours(&self.folder).map_err(failed)? {
            return Err(DiskError::Foreign(self.folder.clone()));
        }
        furnish(&self.folder).map_err(failed)
    }
}

/// Whether the folder is a cache, or empty.
fn is_ours(folder: &Path) -> io::Result<bool> {
    if let Some(ours) = has_our_tag(folder)? {
        return Ok(ours);
    }
    // A disk of its own has this one from the start.
    let first = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == "lost+found");
    if fs::read_dir(folder)?.all(first) {
        return Ok(true);
    }
    // Another process may have furnished it since the first look. It begins with the tag.
    Ok(has_our_tag(folder)?.unwrap_or_default())
}

/// Whether the tag in the folder is ours; `None` where there is none.
fn has_our_tag(folder: &Path) -> io::Result<Option<bool>> {
    let tag = match File::open(folder.join(TAG)) {
        Ok(tag) => tag,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    // Empty while another process makes it, and where the power failed meanwhile.
    let read = tag.take(4096).read_to_string(&mut text);
    Ok(Some(read.is_ok() && (text.is_empty() || text == TAG_TEXT)))
}

fn furnish(folder: &Path) -> io::Result<Folder> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let open = |name: &str| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join(name))
    };
    let mut tag = open(TAG)?;
    if tag.metadata()?.len() == 0 {
        tag.write_all(TAG_TEXT.as_bytes())?;
    }
    let images = folder.join("images");
    entry::make_folder(&images)?;
    let lock = open("lock")?;
    // Where files cannot be locked, two processes could not share the folder.
    lock.try_lock_shared().or_else(|refused| match refused {
        fs::TryLockError::WouldBlock => Ok(()),
        fs::TryLockError::Error(error) => Err(error),
    })?;
    lock.unlock()?;
    Ok(Folder { images, lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> DiskSettings {
        DiskSettings { folder: folder.to_owned(), size: LEAST, floor: Some(0) }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_folder_is_made_for_its_owner_alone_and_can_be_opened_again() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("some/where");
        for _ in 0..2 {
            settings(&folder).prepare().unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        }
        settings(&folder).prepare().unwrap();
        let modes = ["", "images", "lock", TAG].map(|name| mode(&folder.join(name)));
        assert_eq!(modes, [0o700, 0o700, 0o600, 0o600]);
    }

    #[test]
    fn processes_that_find_no_folder_at_the_same_moment_all_work_in_the_one_that_is_made() {
        let outer = tempfile::tempdir().unwrap();
        for round in 0..300 {
            let folder = outer.path().join(round.to_string());
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        settings(&folder).prepare().unwrap();
                    });
                }
            });
        }
    }

    #[test]
    fn an_empty_folder_becomes_the_cache_and_one_with_other_files_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let (empty, full) = (outer.path().join("empty"), outer.path().join("full"));
        fs::create_dir_all(empty.join("lost+found")).unwrap();
        fs::create_dir_all(full.join("images")).unwrap();
        fs::set_permissions(&full, Permissions::from_mode(0o755)).unwrap();
        settings(&empty).prepare().unwrap();
        let refused = settings(&full).prepare().unwrap_err();
        assert!(matches!(refused, DiskError::Foreign(_)));
        assert!(refused.to_string().contains("--cache-dir"));
        assert_eq!((mode(&full), fs::read_dir(&full).unwrap().count()), (0o755, 1));
    }

    #[test]
    fn what_is_no_folder_and_a_size_for_nothing_are_refused_with_the_option_in_the_sentence() {
        let outer = tempfile::tempdir().unwrap();
        let file = outer.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(settings(&file).prepare().unwrap_err().to_string().contains("--cache-dir"));
        let small = DiskSettings { size: 1, ..settings(outer.path()) };
        assert!(small.prepare().unwrap_err().to_string().contains("--cache-size"));
    }
}
