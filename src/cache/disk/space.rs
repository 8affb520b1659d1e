//! What the disk has left, and giving space back to it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Bytes on a disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Free for us.
    pub(super) free: u64,
    /// In all.
    pub(super) total: u64,
}

impl Space {
    /// The space on the disk that has `file`.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the descriptor is open for as long as `file` is borrowed; `answer` has room for what is written.
        if unsafe { libc::fstatvfs(file.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it filled in all of it.
        let answer = unsafe { answer.assume_init() };
        let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
        Ok(Self { free: bytes(answer.f_bavail), total: bytes(answer.f_blocks) })
    }

    /// By how many bytes `more` would go below `floor`, by default a twentieth of the disk. A disk that is nearly full
    /// slows everybody down, and others than us need it too.
    pub(super) fn lacks(self, floor: Option<u64>, more: u64) -> u64 {
        floor.unwrap_or(self.total / 20).saturating_add(more).saturating_sub(self.free)
    }
}

/// What is to be said about a cache on the filesystem that has `file`.
pub(super) fn caveat(file: &File) -> Option<&'static str> {
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open for as long as `file` is borrowed; `answer` has room for what is written.
    if unsafe { libc::fstatfs(file.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it filled in all of it.
    let kind = unsafe { answer.assume_init() }.f_type;
    // C libraries differ in the type of the one and not in that of the others.
    let is = |magic: libc::c_long| i128::from(kind) == i128::from(magic);
    if is(libc::TMPFS_MAGIC) {
        Some("it is in memory (tmpfs): what is cached there takes memory on top of --memory")
    } else if is(libc::NFS_SUPER_MAGIC) || is(libc::SMB_SUPER_MAGIC) {
        Some("it is on a network filesystem, which may be slower than the Image service and gives back no space")
    } else if is(libc::OVERLAYFS_SUPER_MAGIC) {
        Some("it is in a container's own layer (overlay) and goes with the container: a volume would stay")
    } else {
        None
    }
}

/// Gives the space of `range` in `file` back to the disk; it reads as zeros then.
pub(super) fn punch(file: &File, range: Range<u64>) -> io::Result<()> {
    let offset = i64::try_from(range.start).map_err(io::Error::other)?;
    let length = i64::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    match unsafe { libc::fallocate(file.as_raw_fd(), how, offset, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The user whose files we make.
pub(super) fn user() -> u32 {
    // SAFETY: no arguments; it cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_in_memory_is_told_of() {
        let Ok(memory) = File::open("/dev/shm") else { return };
        assert!(caveat(&memory).is_none_or(|sentence| sentence.contains("memory")));
        assert_eq!(caveat(&File::open("/proc").unwrap()), None);
    }

    #[test]
    fn the_floor_is_a_twentieth_of_the_disk_unless_one_was_asked_for() {
        let space = Space { free: 60, total: 1000 };
        assert_eq!((space.lacks(None, 10), space.lacks(None, 11)), (0, 1));
        assert_eq!((space.lacks(Some(0), 60), space.lacks(Some(61), 0)), (0, 1));
        assert_eq!(space.lacks(Some(u64::MAX), u64::MAX), u64::MAX - 60);
    }
}
