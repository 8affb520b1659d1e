//! The folder of all uploads.
//!
//! `jobs/<image>/` has `data`, the bytes, and `job.json`, the records. An upload appears complete under its name and
//! disappears at once, each by one rename; what is being made or removed is in `tmp/`. The lock on `data` belongs to the
//! process that writes or sends the upload: another one that shares the folder leaves it alone. Each process shares the
//! lock on `tmp/`, so that one which gets it alone knows that what is in there was left by a process that was killed.
//! What cannot be read is moved to `aside/`, never deleted. In `mounts/` each mount that shares the folder has a file with
//! its place, and a lock on it.

mod aside;
mod spare;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

pub use self::aside::Aside;
pub(super) use self::spare::Removed;
use self::spare::{SPARE, Spares};
use super::SMALL;
use super::error::WriteError;
use super::job::{Job, RECORD, sync_folder};
use crate::image::ImageId;

const DATA: &str = "data";
const MOUNTS: &str = "mounts";

/// How the names of scratch files begin in `tmp/`.
const SCRATCH: &str = "scratch-";

/// What lies in `tmp/` for longer than this was left by a process that was ended meanwhile, also where another one lives.
const ABANDONED: Duration = Duration::from_mins(10);

/// Longer than anybody holds a lock who only asks whether there is one.
const LOOKED_AT: Duration = Duration::from_millis(50);

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    jobs: PathBuf,
    tmp: PathBuf,
    aside: PathBuf,
    mounts: PathBuf,
    /// How the names of this one's scratch files begin.
    scratch: Box<str>,
    /// The lock on `tmp/`, shared.
    presence: Arc<File>,
    spares: Arc<Spares>,
}

/// An upload on disk, with its lock held for as long as `data` is open.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) image: ImageId,
    pub(super) job: Job,
    pub(super) data: File,
}

/// What was found under an image's name.
#[derive(Debug)]
pub(super) enum Found {
    Entry(Box<Entry>),
    Nothing,
    /// Another process has it.
    Busy,
    /// It could not be read, and was moved aside.
    Unreadable(Aside),
}

/// A mount that can be found.
#[derive(Debug)]
pub(super) struct Announced {
    path: PathBuf,
    _lock: File,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What stays is not locked any more, and means nothing.
        let _ = fs::remove_file(&self.path);
    }
}

fn sort(found: Found, entries: &mut Vec<Entry>, aside: &mut Vec<Aside>) {
    match found {
        Found::Entry(entry) => entries.push(*entry),
        Found::Unreadable(moved) => aside.push(moved),
        Found::Nothing | Found::Busy => {}
    }
}

fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Exchanges two names at once, so that a kill finds either both as they were or both changed.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether the file at `path` is nobody's.
fn is_unlocked(path: &Path) -> bool {
    file(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether the file at `path` is somebody's.
fn is_locked(path: &Path) -> bool {
    file(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Whether a failure says something about this moment, and nothing about the file.
fn is_passing(error: &io::Error) -> bool {
    const PASSING: [i32; 6] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINTR, libc::EAGAIN, libc::EIO];
    error.raw_os_error().is_some_and(|errno| PASSING.contains(&errno))
}

/// Whether `file` is what is found at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

impl Journal {
    /// The journal in `folder`, which is made where there is none. Where no file could be made and locked in it, it is
    /// refused.
    pub(super) fn open(folder: &Path) -> Result<Self, WriteError> {
        let failed = |source| WriteError::Folder { folder: folder.to_owned(), source: Arc::new(source) };
        make_folder(folder).map_err(failed)?;
        // SAFETY: no arguments; it cannot fail.
        if fs::metadata(folder).map_err(failed)?.uid() != unsafe { libc::geteuid() } {
            return Err(WriteError::Owner(folder.to_owned()));
        }
        Self::furnish(folder).map_err(failed)
    }

    fn furnish(folder: &Path) -> io::Result<Self> {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let [jobs, tmp, aside, mounts] = ["jobs", "tmp", "aside", MOUNTS].map(|name| folder.join(name));
        [&jobs, &tmp, &aside, &mounts].into_iter().try_for_each(|folder| make_folder(folder))?;
        let presence = File::open(&tmp)?;
        let is_alone = match presence.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let scratch = format!("{SCRATCH}{:016x}-", fastrand::u64(..)).into();
        let journal = Self { jobs, tmp, aside, mounts, scratch, presence: Arc::new(presence), spares: Arc::default() };
        journal.clean(if is_alone { Duration::ZERO } else { ABANDONED }, SystemTime::now())?;
        // Who opens the folder at this moment waits until the cleaning is over.
        journal.presence.lock_shared()?;
        // What is made in `tmp/` before this may be taken for the rest of somebody else.
        let probe = journal.tmp.join(format!("probe-{:016x}", fastrand::u64(..)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
        let locked = made.try_lock();
        fs::remove_file(&probe)?;
        locked?;
        Ok(journal)
    }

    /// Removes what processes left in `tmp/` that were ended meanwhile, as far as it is so old.
    fn clean(&self, age: Duration, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.tmp)? {
            let entry = entry?;
            let changed = entry.metadata().and_then(|about| about.modified());
            let is_old = changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|passed| passed > age));
            // Scratch files and spare folders belong to a mount for as long as that lives.
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_left = match () {
                () if name.starts_with(SCRATCH) => is_unlocked(&entry.path()),
                () if name.starts_with(SPARE) => is_old && !is_locked(&entry.path().join(DATA)),
                () => is_old,
            };
            if is_left || age.is_zero() {
                // A probe is a file.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// The folder of the upload of `image`.
    pub(super) fn folder(&self, image: ImageId) -> PathBuf {
        self.jobs.join(image.as_str())
    }

    fn temporary(&self, image: ImageId) -> PathBuf {
        self.tmp.join(format!("{image}-{:016x}", fastrand::u64(..)))
    }

    /// Makes a scratch file, and answers where it is. Its lock lasts for as long as it is open.
    pub(super) fn scratch(&self) -> io::Result<(PathBuf, File)> {
        make_folder(&self.tmp)?;
        loop {
            let path = self.tmp.join(format!("{}{:016x}", self.scratch, fastrand::u64(..)));
            let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            // Another mount that opens the folder may have taken it for one that was left, before the lock.
            if made.try_lock().is_ok() && is_at(&made, &path) {
                return Ok((path, made));
            }
        }
    }

    /// The mount has ended: its scratch files are gone, whoever still holds them, and nothing is kept for another upload.
    pub(super) fn leave(&self) {
        self.spares.end();
        if let Err(error) = self.remove_scratch() {
            tracing::warn!(folder = %self.tmp.display(), %error, "scratch files stay on the disk");
        }
    }

    fn remove_scratch(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.tmp)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&*self.scratch) {
                // Its last holder may remove it at the same time.
                let removed = fs::remove_file(entry.path());
                removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            }
        }
        Ok(())
    }

    /// Makes the scratch file at `scratch`, whose lock is held, the upload of `image`, in place of the one that there may
    /// be. Where it fails, everything is as it was.
    pub(super) fn place(&self, image: ImageId, job: &Job, scratch: &Path) -> io::Result<()> {
        let new = self.temporary(image);
        make_folder(&new)?;
        let data = new.join(DATA);
        let placed = job.write(&new, false).and_then(|()| fs::rename(scratch, &data)).and_then(|()| {
            let exchanged = self.appear(&new, image);
            if exchanged.is_err() {
                fs::rename(&data, scratch)?;
            }
            exchanged
        });
        // What is there now was in the way, or is what was made in vain.
        let _ = fs::remove_dir_all(&new);
        placed
    }

    /// Gives the folder `new` the name of the upload of `image`. An upload that is there is in `new` afterwards.
    fn appear(&self, new: &Path, image: ImageId) -> io::Result<()> {
        let name = self.folder(image);
        match fs::rename(new, &name) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => exchange(new, &name),
            outcome => outcome,
        }
    }

    /// Makes the upload of `image`, without bytes. `None` where there is one, or comes to be meanwhile.
    pub(super) fn make(&self, image: ImageId, job: &Job) -> io::Result<Option<File>> {
        let spare = self.spares.take();
        let new = spare.as_ref().map_or_else(|| self.temporary(image), |(folder, _)| folder.clone());
        let furnished = match spare {
            Some((_, data)) => job.write(&new, false).map(|()| data),
            None => self.furnish_upload(&new, job),
        };
        let made = furnished.and_then(|data| {
            // It replaces an empty folder and nothing else.
            match fs::rename(&new, self.folder(image)) {
                Ok(()) => Ok(Some(data)),
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(None),
                Err(error) => Err(error),
            }
        });
        if !matches!(made, Ok(Some(_))) {
            let _ = fs::remove_dir_all(&new);
        }
        made
    }

    fn furnish_upload(&self, new: &Path, job: &Job) -> io::Result<File> {
        make_folder(&self.tmp)?;
        make_folder(new)?;
        let data = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(new.join(DATA))?;
        data.try_lock()?;
        job.write(new, false)?;
        Ok(data)
    }

    /// Makes the name of the upload durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.jobs)
    }

    /// The upload of `image` that is on disk.
    pub(super) fn take(&self, image: ImageId) -> io::Result<Found> {
        let folder = self.folder(image);
        let data = match file(&folder.join(DATA)) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.without_data(&folder),
            Err(error) => return Err(error),
        };
        match data.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Found::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Before the lock it may have been finished and removed.
        if !is_at(&data, &folder.join(DATA)) {
            return Ok(Found::Nothing);
        }
        match Job::read(&folder, image) {
            Ok(job) => Ok(Found::Entry(Box::new(Entry { image, job, data }))),
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => self.set_aside(&folder, &format!("its {RECORD} cannot be read: {error}")),
        }
    }

    fn without_data(&self, folder: &Path) -> io::Result<Found> {
        match fs::remove_dir(folder) {
            // Nothing was in it.
            Ok(()) => Ok(Found::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(_) => self.set_aside(folder, "it has no file with bytes"),
        }
    }

    /// Takes all uploads that are on disk and that no other process has.
    pub(super) fn take_all(&self) -> io::Result<(Vec<Entry>, Vec<Aside>)> {
        self.take_all_in_two_looks(|| std::thread::sleep(LOOKED_AT))
    }

    /// The same. What is busy is looked at again after `pause`: perhaps somebody only asked whether it is.
    fn take_all_in_two_looks(&self, pause: impl FnOnce()) -> io::Result<(Vec<Entry>, Vec<Aside>)> {
        let (mut entries, mut aside, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for listed in fs::read_dir(&self.jobs)? {
            let path = listed?.path();
            match self.take_or_set_aside(&path)? {
                Found::Busy => busy.push(path),
                found => sort(found, &mut entries, &mut aside),
            }
        }
        if !busy.is_empty() {
            pause();
        }
        for path in busy {
            sort(self.take_or_set_aside(&path)?, &mut entries, &mut aside);
        }
        entries.sort_by_key(|entry| entry.image);
        Ok((entries, aside))
    }

    /// What is in a folder of `jobs/`. One that cannot be read keeps nobody from the others.
    fn take_or_set_aside(&self, path: &Path) -> io::Result<Found> {
        match path.file_name().unwrap_or_default().to_string_lossy().parse() {
            Ok(image) => {
                let found = self.take(image);
                found.or_else(|error| match error {
                    error if is_passing(&error) => {
                        tracing::warn!(%image, %error, "an upload could not be looked at, and is left to the next mount");
                        Ok(Found::Nothing)
                    }
                    error => self.set_aside(path, &format!("it cannot be read: {error}")),
                })
            }
            Err(error) => self.set_aside(path, &format!("its name is no image's: {error}")),
        }
    }

    /// Says that there is a mount at `point`, for as long as the answer lives. What mounts left that have ended is
    /// removed.
    pub(super) fn announce(&self, point: &Path) -> io::Result<Announced> {
        for listed in fs::read_dir(&self.mounts)? {
            let path = listed?.path();
            if File::open(&path).is_ok_and(|left| left.try_lock().is_ok()) {
                fs::remove_file(&path)?;
            }
        }
        let name = format!("{:016x}", fastrand::u64(..));
        let new = self.tmp.join(&name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.try_lock()?;
        file.write_all(point.as_os_str().as_bytes())?;
        let path = self.mounts.join(&name);
        fs::rename(&new, &path)?;
        Ok(Announced { path, _lock: file })
    }

    /// Where the mounts are that share a folder.
    pub(super) fn announced(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let listed = match fs::read_dir(folder.join(MOUNTS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut points = Vec::new();
        for listed in listed {
            if let Ok(mut file) = File::open(listed?.path())
                && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
            {
                let mut point = Vec::new();
                file.read_to_end(&mut point)?;
                points.push(PathBuf::from(OsString::from_vec(point)));
            }
        }
        points.sort();
        Ok(points)
    }

    /// Whether a process has the upload of `image`, for who has none himself and only wants to know. `None` where there
    /// is no such upload.
    pub(super) fn is_taken(folder: &Path, image: ImageId) -> io::Result<Option<bool>> {
        // Whatever lies there, opening it does not wait.
        let mut opened = OpenOptions::new();
        opened.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match opened.open(folder.join("jobs").join(image.as_str()).join(DATA)) {
            Ok(data) => match data.try_lock_shared() {
                Ok(()) => Ok(Some(false)),
                Err(TryLockError::WouldBlock) => Ok(Some(true)),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The records of all uploads, also of those that another process has. What cannot be read is left out.
    pub(super) fn peek(folder: &Path) -> io::Result<Vec<(ImageId, Job)>> {
        let jobs = folder.join("jobs");
        let listed = match fs::read_dir(&jobs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut found = Vec::new();
        for listed in listed {
            let name = listed?.file_name();
            if let Ok(image) = name.to_string_lossy().parse()
                && let Ok(job) = Job::read(&jobs.join(&name), image)
            {
                found.push((image, job));
            }
        }
        found.sort_by_key(|(image, _)| *image);
        Ok(found)
    }
}
