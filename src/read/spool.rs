//! A file without a name that keeps what a stream let pass.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{Buffer, Run};

/// The folder for spools when none was asked for: `TMPDIR` where set; else `/var/tmp`, because `/tmp` is in memory on
/// many machines, and images are large.
pub(super) fn default_folder() -> PathBuf {
    let lasting = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && lasting.is_dir() { lasting.to_owned() } else { std::env::temp_dir() }
}

/// The blocks of one image from the first one on, as far as they passed. Its disk space is free again once it is
/// dropped, however the program ends.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// Blocks kept: all those with a smaller index.
    kept: AtomicU64,
}

impl Spool {
    /// An empty spool in `folder` for an image of `size` bytes.
    ///
    /// # Errors
    /// Also when the disk would be left with less than a twentieth of its space.
    pub(super) fn new(folder: &Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(folder)?;
        let (free, total) = space(&file)?;
        if free < size.saturating_add(total / 20) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Self { file, kept: AtomicU64::new(0) })
    }

    /// Whether the block `index` is kept.
    pub(super) fn has(&self, index: u64) -> bool {
        index < self.kept.load(Ordering::Acquire)
    }

    /// Keeps a run, where its first block is the next one. Blocks the thread.
    pub(super) fn write(&self, run: &Run) -> io::Result<()> {
        if run.blocks().start != self.kept.load(Ordering::Acquire) {
            return Ok(());
        }
        let range = run.range();
        self.file.write_all_at(run.bytes_of(run.content(), &range).unwrap_or_default(), range.start)?;
        self.kept.store(run.blocks().end, Ordering::Release);
        Ok(())
    }

    /// Reads what is kept from the byte `at` on, as many bytes as `buffer` takes. Blocks the thread.
    pub(super) fn read(&self, at: u64, buffer: &mut Buffer) -> io::Result<()> {
        // What cannot be read back is of no use: the stream starts over and keeps everything again.
        self.file.read_exact_at(buffer.whole(), at).inspect_err(|_| self.kept.store(0, Ordering::Release))
    }
}

/// Bytes free for us and bytes in all on the disk that has `file`.
fn space(file: &File) -> io::Result<(u64, u64)> {
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `answer` has room for what is written.
    let failed = unsafe { libc::fstatvfs(file.as_raw_fd(), answer.as_mut_ptr()) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled in all of it.
    let answer = unsafe { answer.assume_init() };
    Ok((answer.f_bavail.saturating_mul(answer.f_frsize), answer.f_blocks.saturating_mul(answer.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::cache::{BLOCK, Cache, Identity};
    use crate::image::{Checksums, ImageId};

    #[test]
    fn a_spool_gives_back_what_passed_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let content = Identity::new(ImageId::random(), 2 * BLOCK + 5, Checksums::default());
        let cache = Cache::new(Budget::new(4 * BLOCK));
        let spool = Spool::new(folder.path(), content.size()).unwrap();
        for block in [0, 1, 2] {
            assert!(!spool.has(block));
            let range = content.bytes(&(block..block + 1));
            let mut buffer = cache.try_buffer(range.end - range.start).unwrap();
            buffer.whole().fill(u8::try_from(block).unwrap() + 1);
            spool.write(&Run::new(&content, block..block + 1, buffer).unwrap()).unwrap();
            assert!(spool.has(block));
        }
        let mut buffer = cache.try_buffer(5).unwrap();
        spool.read(2 * BLOCK, &mut buffer).unwrap();
        assert_eq!(buffer.as_ref(), [3; 5]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_spool_that_does_not_fit_on_the_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Spool::new(folder.path(), u64::MAX).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
