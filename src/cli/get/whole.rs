//! A file that comes to be when it is whole.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, linkat};

use super::target::folder_of;

/// So many zeros, at a multiple of as many, are left out: a file's hole reads as zeros and takes no space.
const BLOCK: usize = 64 << 10;

/// Bits of a mode that lend the owner's rights to who runs the file.
const LENT: u32 = 0o6000;

/// A file without a name, or with one of its own, until it is whole; without that it goes.
pub(super) struct Whole {
    pub(super) to: PathBuf,
    file: File,
    /// Its own name, where the filesystem knows no files without one.
    part: Option<Part>,
    /// What was there before.
    before: Option<Box<Metadata>>,
    at: u64,
}

struct Part {
    path: PathBuf,
    is_whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // Nothing can be done where it cannot be removed, and what went wrong is told already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Whole {
    pub(super) fn open(to: PathBuf, before: Option<Box<Metadata>>) -> io::Result<Self> {
        // Who may not read what was there is not to read what comes, also before its mode is known to be the same.
        let mode = if before.is_some() { 0o600 } else { 0o666 };
        if let Some(file) = nameless(folder_of(&to), mode) {
            return Ok(Self { to, file, part: None, before, at: 0 });
        }
        let path = beside(&to);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { to, file, part: Some(Part { path, is_whole: false }), before, at: 0 })
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for range in data_in(self.at, bytes) {
            let offset = self.at + length(range.start);
            self.file.write_all_at(bytes.get(range).unwrap_or_default(), offset)?;
        }
        self.at += length(bytes.len());
        Ok(())
    }

    /// It is whole: it takes its name, on the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)?;
        if let Some(before) = &self.before {
            take_after(&self.file, before)?;
        }
        sync(&self.file)?;
        let mut part = match self.part.take() {
            Some(part) => part,
            None if self.before.is_none() && self.name(&self.to).is_ok() => return sync_folder(&self.to),
            None => {
                let path = beside(&self.to);
                self.name(&path)?;
                Part { path, is_whole: false }
            }
        };
        std::fs::rename(&part.path, &self.to)?;
        part.is_whole = true;
        sync_folder(&self.to)
    }

    fn name(&self, path: &Path) -> io::Result<()> {
        Ok(linkat(CWD, descriptor(&self.file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// A file without a name, which goes with this process however that ends; `None` where there are none, or none that could
/// be given a name.
fn nameless(folder: &Path, mode: u32) -> Option<File> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(mode).open(folder).ok()?;
    descriptor(&file).exists().then_some(file)
}

fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A name in the same folder, short however long that of the file is.
fn beside(file: &Path) -> PathBuf {
    file.with_file_name(format!(".glancefs-{:08x}", fastrand::u32(..)))
}

/// Gives a file the mode of another one, and the owner where that is permitted.
fn take_after(file: &File, other: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    // As when somebody writes to the file: it lends nobody's rights to who runs it.
    let mode = other.permissions().mode() & 0o7777 & !LENT;
    if (own.uid(), own.gid()) != (other.uid(), other.gid())
        && fchown(file, Some(other.uid()), Some(other.gid())).is_err()
    {
        let _ = fchown(file, None, Some(other.gid()));
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Makes it durable.
pub(super) fn sync(file: &File) -> io::Result<()> {
    file.sync_all().or_else(|error| if has_nothing_to_sync(&error) { Ok(()) } else { Err(error) })
}

fn sync_folder(file: &Path) -> io::Result<()> {
    match File::open(folder_of(file)) {
        Ok(folder) => sync(&folder),
        // Who may write into a folder and not read it cannot ask for that.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a failed `fsync` says that there is nothing to be made durable, as of pipes and terminals, and not that bytes
/// were lost.
fn has_nothing_to_sync(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EROFS))
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Each byte is the one before it, and the first is zero.
fn are_zeros(bytes: &[u8]) -> bool {
    bytes.split_first().is_none_or(|(first, rest)| *first == 0 && bytes.starts_with(rest))
}

/// The parts of `bytes`, which belong at `at`, that have to be written: all but whole blocks of zeros.
fn data_in(at: u64, bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut rest) = (Vec::<Range<usize>>::new(), bytes);
    while !rest.is_empty() {
        let begin = bytes.len() - rest.len();
        let within = usize::try_from((at + length(begin)) % length(BLOCK)).unwrap_or_default();
        let (block, behind) = rest.split_at(rest.len().min(BLOCK - within));
        rest = behind;
        if block.len() == BLOCK && are_zeros(block) {
            continue;
        }
        let end = begin + block.len();
        match found.last_mut() {
            Some(last) if last.end == begin => last.end = end,
            _ => found.push(begin..end),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fsync_is_passed_over_only_where_there_is_nothing_to_be_made_durable() {
        for (errno, is_passed) in [
            (libc::EINVAL, true),
            (libc::ENOTSUP, true),
            (libc::EOPNOTSUPP, true),
            (libc::EROFS, true),
            (libc::EIO, false),
            (libc::ENOSPC, false),
            (libc::EDQUOT, false),
            (libc::EBADF, false),
            (libc::EINTR, false),
        ] {
            assert_eq!(has_nothing_to_sync(&io::Error::from_raw_os_error(errno)), is_passed, "{errno}");
        }
        assert!(!has_nothing_to_sync(&io::ErrorKind::Other.into()));
    }

    #[test]
    fn whole_blocks_of_zeros_are_left_out_and_nothing_else() {
        let found =
            |at, bytes: &[u8]| data_in(at, bytes).into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>();
        let mut bytes = vec![0; 4 * BLOCK + 5];
        let end = bytes.len();
        assert_eq!(found(0, &bytes), [(4 * BLOCK, end)], "the end is no whole block");
        assert_eq!(found(7, &bytes), [(0, BLOCK - 7), (4 * BLOCK - 7, end)], "blocks are those of the file");
        bytes[2 * BLOCK] = 1;
        assert_eq!(found(length(BLOCK), &bytes), [(2 * BLOCK, 3 * BLOCK), (4 * BLOCK, end)]);
        bytes[3 * BLOCK - 1] = 1;
        bytes[3 * BLOCK] = 1;
        assert_eq!(found(0, &bytes), [(2 * BLOCK, end)], "what is side by side is written at once");
        assert!(data_in(0, &[]).is_empty());
    }

    #[test]
    fn a_file_with_a_name_of_its_own_takes_its_place_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("x".repeat(255));
        let part = || {
            let path = beside(&to);
            let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
            let part = Some(Part { path, is_whole: false });
            Whole { to: to.clone(), file, part, before: None, at: 0 }
        };
        let names = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        part().write(b"half").unwrap();
        assert_eq!(names(), Vec::<PathBuf>::new());
        let mut whole = part();
        whole.write(b"bytes").unwrap();
        whole.finish().unwrap();
        drop(whole);
        assert_eq!((names(), std::fs::read(&to).unwrap()), (vec![to.clone()], b"bytes".to_vec()));
    }
}
