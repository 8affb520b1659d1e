//! The bytes of an upload: a sparse file, written in any order.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::digest::Digest;
use crate::sync::{Mutex, lock};

/// The file. All calls block the thread; clones share it.
#[derive(Clone)]
pub(super) struct Spool {
    pub(super) file: Arc<File>,
    pub(super) digest: Arc<Digest>,
    torn: Arc<Mutex<Option<Tear>>>,
}

/// Bytes that somebody wrote and that the disk did not take.
struct Tear {
    range: Range<u64>,
    errno: Option<i32>,
}

/// What is done to the space of a file, as `fallocate(2)` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Space is reserved, and the file is made longer where it is shorter.
    Extend,
    /// Space is reserved; the length stays.
    Reserve,
    /// The space is given back, and the bytes are zeros.
    Punch,
    /// The bytes are zeros; the file is made longer where it is shorter.
    Zero,
    /// The bytes are zeros; the length stays.
    ZeroWithin,
}

impl Allocation {
    /// What the flags of `fallocate(2)` ask for. `None` for what moves bytes about.
    pub fn of_flags(flags: i32) -> Option<Self> {
        const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        const ZERO_WITHIN: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
        match flags {
            0 => Some(Self::Extend),
            libc::FALLOC_FL_KEEP_SIZE => Some(Self::Reserve),
            PUNCH => Some(Self::Punch),
            libc::FALLOC_FL_ZERO_RANGE => Some(Self::Zero),
            ZERO_WITHIN => Some(Self::ZeroWithin),
            _ => None,
        }
    }

    fn flags(self) -> i32 {
        match self {
            Self::Extend => 0,
            Self::Reserve => libc::FALLOC_FL_KEEP_SIZE,
            Self::Punch => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            Self::Zero => libc::FALLOC_FL_ZERO_RANGE,
            Self::ZeroWithin => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
        }
    }

    fn changes_bytes(self) -> bool {
        matches!(self, Self::Punch | Self::Zero | Self::ZeroWithin)
    }
}

impl Spool {
    pub(super) fn new(file: File, runtime: Handle) -> Self {
        let file = Arc::new(file);
        let digest = Digest::new(Arc::clone(&file), runtime);
        Self { file, digest, torn: Arc::default() }
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let changing = self.digest.changes(offset);
        let end = offset.saturating_add(bytes.len() as u64);
        self.mend(offset..end, self.file.write_all_at(bytes, offset))?;
        changing.wrote(end);
        Ok(())
    }

    /// Notes what a write has torn or mended.
    fn mend(&self, range: Range<u64>, written: io::Result<()>) -> io::Result<()> {
        let mut torn = lock(&self.torn);
        match &written {
            Ok(()) => {
                let is_mended = |tear: &mut Tear| range.start <= tear.range.start && tear.range.end <= range.end;
                torn.take_if(is_mended);
            }
            Err(error) => {
                let before = torn.take().map_or_else(|| range.clone(), |tear| tear.range);
                let range = range.start.min(before.start)..range.end.max(before.end);
                *torn = Some(Tear { range, errno: error.raw_os_error() });
            }
        }
        written
    }

    /// Fails while bytes are missing that somebody wrote: those that are there are not all, whoever closes.
    pub(super) fn is_whole(&self) -> io::Result<()> {
        match &*lock(&self.torn) {
            Some(Tear { errno: Some(errno), .. }) => Err(io::Error::from_raw_os_error(*errno)),
            Some(Tear { errno: None, .. }) => Err(io::ErrorKind::WriteZero.into()),
            None => Ok(()),
        }
    }

    pub(super) fn truncate(&self, length: u64) -> io::Result<()> {
        let _changing = self.digest.changes(length);
        self.file.set_len(length)?;
        lock(&self.torn).take_if(|tear| length <= tear.range.start);
        Ok(())
    }

    pub(super) fn allocate(&self, how: Allocation, offset: u64, length: u64) -> io::Result<()> {
        let _changing = how.changes_bytes().then(|| self.digest.changes(offset));
        let (offset, length) = (signed(offset)?, signed(length)?);
        // SAFETY: the descriptor is open for as long as `self` is borrowed; no memory is passed.
        match unsafe { libc::fallocate(self.file.as_raw_fd(), how.flags(), offset, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Where the first bytes are that were written: `None` where there is nothing but a hole.
    pub(super) fn first_data(&self) -> io::Result<Option<u64>> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed; nobody uses its position.
        let found = unsafe { libc::lseek(self.file.as_raw_fd(), 0, libc::SEEK_DATA) };
        let error = io::Error::last_os_error();
        match u64::try_from(found) {
            Ok(first) => Ok(Some(first)),
            Err(_) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            Err(_) => Err(error),
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn signed(number: u64) -> io::Result<i64> {
    i64::try_from(number).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}
