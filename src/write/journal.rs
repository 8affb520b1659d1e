//! The folder of all uploads.
//!
//! `jobs/<image>/` has `data`, the bytes, and `job.json`, the record. An upload appears complete under its name and
//! disappears at once, each by one rename; what is being made or removed is in `tmp/`. The lock on `data` belongs to the
//! process that writes or sends the upload: another one that shares the folder leaves it alone. What cannot be read is
//! moved to `aside/`, never deleted.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::WriteError;
use super::job::{Job, RECORD, sync_folder};
use crate::image::ImageId;

const DATA: &str = "data";

/// How the names of scratch files begin in `tmp/`.
const SCRATCH: &str = "scratch-";

/// What lies in `tmp/` for longer than this is what a process left that was ended meanwhile.
const ABANDONED: Duration = Duration::from_mins(10);

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    jobs: PathBuf,
    tmp: PathBuf,
    aside: PathBuf,
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

/// What was moved aside because it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where it is now.
    pub path: PathBuf,
    /// Why.
    pub sentence: String,
}

fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Exchanges two names at once, so that a kill finds either both as they were or both changed.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (one, other) = (one?, other?);
    // SAFETY: both are strings that end in NUL, and live until the call is over.
    let done =
        unsafe { libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether the file at `path` is nobody's.
fn is_unlocked(path: &Path) -> bool {
    file(path).is_ok_and(|file| file.try_lock().is_ok())
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
        let [jobs, tmp, aside] = ["jobs", "tmp", "aside"].map(|name| folder.join(name));
        let journal = Self { jobs, tmp, aside };
        journal.furnish(folder).map_err(failed)?;
        Ok(journal)
    }

    fn furnish(&self, folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        [&self.jobs, &self.tmp, &self.aside].into_iter().try_for_each(|folder| make_folder(folder))?;
        let probe = self.tmp.join(format!("probe-{:016x}", fastrand::u64(..)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
        let locked = made.try_lock();
        fs::remove_file(&probe)?;
        locked?;
        self.clean(SystemTime::now())
    }

    /// Removes what processes left in `tmp/` that were ended meanwhile.
    fn clean(&self, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.tmp)? {
            let entry = entry?;
            let changed = entry.metadata().and_then(|about| about.modified());
            let is_old = changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age > ABANDONED));
            // A scratch file belongs to a mount for as long as that lives.
            let is_scratch = entry.file_name().to_string_lossy().starts_with(SCRATCH);
            let is_left = if is_scratch { is_unlocked(&entry.path()) } else { is_old };
            if is_left {
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
            let path = self.tmp.join(format!("{SCRATCH}{:016x}", fastrand::u64(..)));
            let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            // Another mount that opens the folder may have taken it for one that was left, before the lock.
            if made.try_lock().is_ok() && is_at(&made, &path) {
                return Ok((path, made));
            }
        }
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
        let new = self.temporary(image);
        let made = self.furnish_upload(&new, job).and_then(|data| {
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

    fn set_aside(&self, folder: &Path, sentence: &str) -> io::Result<Found> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.aside.join(format!("{name}-{:08x}", fastrand::u32(..)));
        fs::rename(folder, &path)?;
        Ok(Found::Unreadable(Aside { path, sentence: sentence.to_owned() }))
    }

    /// Takes all uploads that are on disk and that no other process has.
    pub(super) fn take_all(&self) -> io::Result<(Vec<Entry>, Vec<Aside>)> {
        let (mut entries, mut aside) = (Vec::new(), Vec::new());
        for listed in fs::read_dir(&self.jobs)? {
            let listed = listed?;
            let found = match listed.file_name().to_string_lossy().parse() {
                // One that cannot be read keeps nobody from the others.
                Ok(image) => match self.take(image) {
                    Err(error) => self.set_aside(&listed.path(), &format!("it cannot be read: {error}"))?,
                    Ok(found) => found,
                },
                Err(error) => self.set_aside(&listed.path(), &format!("its name is no image's: {error}"))?,
            };
            match found {
                Found::Entry(entry) => entries.push(*entry),
                Found::Unreadable(moved) => aside.push(moved),
                Found::Nothing | Found::Busy => {}
            }
        }
        entries.sort_by_key(|entry| entry.image);
        Ok((entries, aside))
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

    /// Removes the upload of `image`. Who has its file open keeps that.
    pub(super) fn remove(&self, image: ImageId) -> io::Result<()> {
        make_folder(&self.tmp)?;
        let trash = self.temporary(image);
        match fs::rename(self.folder(image), &trash) {
            Ok(()) => fs::remove_dir_all(&trash),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::testing::queued;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn folders_and_files_are_for_their_owner_alone() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("state/uploads");
        let (journal, image) = (Journal::open(&folder).unwrap(), queued(None));
        let _data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
        let upload = journal.folder(image.id);
        for path in [&folder, &folder.join("jobs"), &folder.join("tmp"), &folder.join("aside"), &upload] {
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        assert_eq!([mode(&upload.join("data")), mode(&upload.join(RECORD))], [0o600, 0o600]);
    }

    #[test]
    fn an_upload_belongs_to_one_process_until_that_ends() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
        let data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
        assert!(journal.make(image.id, &Job::new(&image)).unwrap().is_none());
        assert!(matches!(journal.take(image.id).unwrap(), Found::Busy));
        assert!(journal.take_all().unwrap().0.is_empty());
        drop(data);
        assert!(matches!(journal.take(image.id).unwrap(), Found::Entry(_)));
    }

    #[test]
    fn what_cannot_be_read_is_moved_aside_with_its_bytes() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
        drop(journal.make(image.id, &Job::new(&image)).unwrap());
        let folder = journal.folder(image.id);
        fs::write(folder.join("data"), "precious").unwrap();
        fs::write(folder.join(RECORD), "{\"version\":").unwrap();
        fs::create_dir(outer.path().join("jobs/strange")).unwrap();
        let (entries, aside) = journal.take_all().unwrap();
        assert_eq!((entries.len(), aside.len()), (0, 2));
        let of_image = aside.iter().find(|aside| aside.path.to_string_lossy().contains(image.id.as_str())).unwrap();
        assert_eq!(fs::read_to_string(of_image.path.join("data")).unwrap(), "precious");
        assert!(of_image.sentence.contains("job.json"), "{}", of_image.sentence);
        assert!(journal.take_all().unwrap().1.is_empty());
    }

    #[test]
    fn one_that_cannot_be_opened_keeps_nobody_from_the_others() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image, other) = (Journal::open(outer.path()).unwrap(), queued(None), queued(None));
        drop(journal.make(image.id, &Job::new(&image)).unwrap());
        drop(journal.make(other.id, &Job::new(&other)).unwrap());
        let data = journal.folder(image.id).join("data");
        fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &data).unwrap();
        let (entries, aside) = journal.take_all().unwrap();
        assert_eq!((entries.len(), entries[0].image, aside.len()), (1, other.id, 1));
    }

    #[test]
    fn an_empty_folder_is_no_upload_and_one_with_a_record_alone_is_moved_aside() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
        fs::create_dir(journal.folder(image.id)).unwrap();
        assert!(matches!(journal.take(image.id).unwrap(), Found::Nothing));
        fs::create_dir(journal.folder(image.id)).unwrap();
        Job::new(&image).write(&journal.folder(image.id), false).unwrap();
        assert!(matches!(journal.take(image.id).unwrap(), Found::Unreadable(_)));
    }

    #[test]
    fn a_scratch_file_is_its_mounts_until_that_ends() {
        let outer = tempfile::tempdir().unwrap();
        let journal = Journal::open(outer.path()).unwrap();
        let (path, file) = journal.scratch().unwrap();
        journal.clean(SystemTime::now() + 2 * ABANDONED).unwrap();
        assert!(path.exists(), "another mount leaves it alone");
        drop(file);
        journal.clean(SystemTime::now()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_scratch_file_becomes_an_upload_in_place_of_the_one_that_is_there() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
        for (round, bytes) in ["first", "second"].into_iter().enumerate() {
            let (path, file) = journal.scratch().unwrap();
            fs::write(&path, bytes).unwrap();
            journal.place(image.id, &Job::new(&image), &path).unwrap();
            assert_eq!(fs::read_to_string(journal.folder(image.id).join(DATA)).unwrap(), bytes, "{round}");
            assert!(matches!(journal.take(image.id).unwrap(), Found::Busy), "its lock goes with it");
            drop(file);
            assert!(matches!(journal.take(image.id).unwrap(), Found::Entry(_)));
        }
        assert_eq!(fs::read_dir(&journal.tmp).unwrap().count(), 0);
    }

    #[test]
    fn a_scratch_file_that_cannot_be_placed_stays_where_it_is() {
        let outer = tempfile::tempdir().unwrap();
        let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
        let (path, _file) = journal.scratch().unwrap();
        // No folder can replace it.
        fs::write(journal.folder(image.id), "in the way").unwrap();
        journal.place(image.id, &Job::new(&image), &path).unwrap_err();
        assert!(path.exists());
        assert_eq!(fs::read_dir(&journal.tmp).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_refused_with_its_name() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        fs::write(&path, "").unwrap();
        let refused = Journal::open(&path).unwrap_err();
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
    }

    #[test]
    fn what_ended_processes_left_half_made_is_removed_when_it_is_old() {
        let outer = tempfile::tempdir().unwrap();
        let journal = Journal::open(outer.path()).unwrap();
        fs::create_dir(outer.path().join("tmp/half")).unwrap();
        journal.clean(SystemTime::now()).unwrap();
        assert!(outer.path().join("tmp/half").exists());
        journal.clean(SystemTime::now() + 2 * ABANDONED).unwrap();
        assert!(!outer.path().join("tmp/half").exists());
    }
}
