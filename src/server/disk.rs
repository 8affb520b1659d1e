//! The folder on disk: one folder an image, tombstones for deleted ids, and what is done about broken records.
//!
//! ```text
//! FOLDER/lock              held while a service runs on the folder
//! FOLDER/images/ID/        image.json, data once there is some, and staged while something waits for an import
//! FOLDER/deleted/ID        an empty file for each id that was ever deleted
//! FOLDER/unreadable/ID     what could not be read at the start, moved aside
//! ```

use super::importing;
use super::record::{Record, Status};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;

/// The folder, locked for this process.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
    /// Dropped after the lock, which tells who waits for the folder.
    _holds: oneshot::Sender<()>,
}

/// What a folder held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    pub(crate) deleted: Vec<String>,
    /// Where unreadable records were moved to, and why.
    pub(crate) aside: Vec<(PathBuf, String)>,
}

impl Disk {
    /// Locks the folder, making it where there is none. A folder in use answers [`io::ErrorKind::WouldBlock`].
    pub(crate) fn open(root: &Path, holds: oneshot::Sender<()>) -> io::Result<Self> {
        for folder in ["images", "deleted"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock, _holds: holds }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads everything, removes what an interrupted upload or deletion left, and moves aside what cannot be read.
    pub(crate) fn load(&self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        for entry in fs::read_dir(self.root.join("deleted"))? {
            contents.deleted.push(entry?.file_name().to_string_lossy().into_owned());
        }
        for entry in fs::read_dir(self.root.join("images"))? {
            let id = entry?.file_name().to_string_lossy().into_owned();
            if self.tombstone(&id).exists() {
                fs::remove_dir_all(self.folder(&id))?;
                continue;
            }
            match self.read(&id) {
                Ok(Some(record)) => contents.records.push(record),
                // A folder without a record is a creation that was never acknowledged.
                Ok(None) => fs::remove_dir_all(self.folder(&id))?,
                Err(why) => contents.aside.push((self.move_aside(&id)?, why)),
            }
        }
        Ok(contents)
    }

    fn read(&self, id: &str) -> Result<Option<Record>, String> {
        let folder = self.folder(id);
        let text = match fs::read_to_string(folder.join("image.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.join("data").exists() => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut record: Record = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if record.id != id {
            return Err(format!("the record is that of {}", record.id));
        }
        if record.status == Status::Saving || (record.status == Status::Uploading && record.staged.is_none()) {
            record.status = Status::Queued;
        }
        importing::interrupted(&mut record);
        self.check(&record)?;
        for part in [self.part(id), self.staged_part(id)] {
            remove_if_there(&part).map_err(|error| error.to_string())?;
        }
        Ok(Some(record))
    }

    /// Fails where a record and what lies beside it do not fit; removes what an interruption left.
    fn check(&self, record: &Record) -> Result<(), String> {
        let length = |path: &Path| fs::metadata(path).map(|data| data.len()).ok();
        let fits = |what: &str, path: PathBuf, expected: Option<u64>| match (expected, length(&path)) {
            (Some(expected), found) if found != Some(expected) => {
                Err(format!("the {what} should have {expected} bytes, and has {found:?}"))
            }
            // The upload was interrupted between its last rename and its record.
            (None, Some(_)) => fs::remove_file(path).map_err(|error| error.to_string()),
            _ => Ok(()),
        };
        if record.data.is_none() && matches!(record.status, Status::Active | Status::Deactivated) {
            return Err("the record names no data".into());
        }
        fits("data", self.data(&record.id), record.data.as_ref().map(|data| data.size))?;
        // An import that failed over it has no more use for it.
        let waiting = record.staged_size().filter(|_| record.status == Status::Uploading);
        fits("staged data", self.staged(&record.id), waiting)
    }

    fn move_aside(&self, id: &str) -> io::Result<PathBuf> {
        let aside = self.root.join("unreadable");
        fs::create_dir_all(&aside)?;
        let mut to = aside.join(id);
        let mut number = 1;
        while to.exists() {
            number += 1;
            to = aside.join(format!("{id}~{number}"));
        }
        fs::rename(self.folder(id), &to)?;
        sync_folder(&aside)?;
        Ok(to)
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.root.join("images").join(id)
    }

    fn tombstone(&self, id: &str) -> PathBuf {
        self.root.join("deleted").join(id)
    }

    /// Where an image's data lies once it is complete.
    pub(crate) fn data(&self, id: &str) -> PathBuf {
        self.folder(id).join("data")
    }

    /// Where an upload writes before it is complete.
    pub(crate) fn part(&self, id: &str) -> PathBuf {
        self.folder(id).join("data.part")
    }

    /// Where data lies that waits for an import.
    pub(crate) fn staged(&self, id: &str) -> PathBuf {
        self.folder(id).join("staged")
    }

    /// Where data is staged before it is complete.
    pub(crate) fn staged_part(&self, id: &str) -> PathBuf {
        self.folder(id).join("staged.part")
    }

    /// Makes the folder of a new image and writes its record.
    pub(crate) fn create(&self, record: &Record) -> io::Result<()> {
        fs::create_dir(self.folder(&record.id))?;
        self.write(record)?;
        sync_folder(&self.root.join("images"))
    }

    /// Writes a record so that a power cut leaves the old one or the new one.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record)?;
        write_durably(&self.folder(&record.id).join("image.json"), &text)
    }

    /// Gives complete, synced data its next name in the image's folder.
    pub(crate) fn keep(&self, id: &str, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_folder(&self.folder(id))
    }

    /// Remembers the id as deleted for ever, then removes the image.
    pub(crate) fn delete(&self, id: &str) -> io::Result<()> {
        write_durably(&self.tombstone(id), b"")?;
        fs::remove_dir_all(self.folder(id))
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if text.is_empty() {
        File::create(path)?.sync_all()?;
        return sync_folder(folder);
    }
    let temporary = folder.join(format!(".{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
