//! The filesystem's values in the kernel's words.

use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, FopenFlags, INodeNo, OpenFlags};

use crate::config::mount_settings::Ownership;
use crate::fs::{Attr, FileKind, FsError, Ino, Mode};

/// What programs should read at a time. With the usual 4 KiB, those that follow it would ask for a large image in small
/// pieces; coreutils use 128 KiB at least. 1 MiB makes `cat` 1.2 to 1.9 times faster with direct I/O and nothing else;
/// but Python and stdio read as much after each seek, and then a small read would move 1 MiB.
const PREFERRED_READ: u32 = 128 << 10;

/// The unit of `st_blocks`, whatever the block size is (stat(2)).
const STAT_BLOCK: u64 = 512;

pub(super) fn ino(ino: INodeNo) -> Ino {
    Ino(ino.0)
}

pub(super) fn inode(ino: Ino) -> INodeNo {
    INodeNo(ino.0)
}

pub(super) fn errno(error: &FsError) -> Errno {
    Errno::from_i32(error.errno())
}

pub(super) fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::File => FileType::RegularFile,
        FileKind::Link => FileType::Symlink,
    }
}

/// The attributes as the kernel keeps them. Access times are not kept, so the time of the content stands for them.
pub(super) fn attributes(attr: &Attr, ownership: &Ownership) -> FileAttr {
    FileAttr {
        ino: inode(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(STAT_BLOCK),
        atime: attr.mtime,
        mtime: attr.mtime,
        ctime: attr.ctime,
        crtime: attr.mtime,
        kind: kind(attr.kind),
        perm: ownership.mode(attr.kind == FileKind::Directory, attr.perm),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: PREFERRED_READ,
        flags: 0,
    }
}

/// A number and a kind, for where nothing else is looked at.
pub(super) fn bare(ino: Ino, kind: FileKind) -> FileAttr {
    let nothing = Attr {
        ino,
        kind,
        size: 0,
        perm: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
    };
    attributes(&nothing, &Ownership { uid: 0, gid: 0, file_mask: 0, folder_mask: 0 })
}

/// The flags of a mode. Those of a passthrough also name the file, which is not done here.
pub(super) fn open_flags(mode: &Mode) -> FopenFlags {
    let (direct, keep) = match mode {
        Mode::Cached { keep } => (false, *keep),
        // Without the flag, the pages that others read are dropped, although this open file needs none.
        Mode::Direct { keep } => (true, *keep),
        Mode::Passthrough(_) => (false, false),
    };
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_DIRECT_IO, direct);
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, keep);
    flags
}

/// Whether an open file is to go around the page cache.
pub(super) fn wants_direct(flags: OpenFlags) -> bool {
    flags.0 & libc::O_DIRECT != 0
}

/// Whether what is written goes to the end of the file, wherever that is.
pub(super) fn appends(flags: OpenFlags) -> bool {
    flags.0 & libc::O_APPEND != 0
}

/// Whether a file is opened for writing, and then whether what is there is to be dropped.
pub(super) fn writes(flags: OpenFlags) -> Option<bool> {
    (flags.0 & libc::O_ACCMODE != libc::O_RDONLY).then_some(flags.0 & libc::O_TRUNC != 0)
}

/// Whether a file that is made is begun: emptied, or made by this very call, which `touch` asks for neither.
pub(super) fn begins(flags: i32) -> bool {
    flags & (libc::O_TRUNC | libc::O_EXCL) != 0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn attributes_keep_size_and_times_and_lose_the_masked_mode_bits() {
        let attr = Attr {
            ino: Ino(7),
            kind: FileKind::File,
            size: 1025,
            perm: 0o444,
            nlink: 2,
            uid: 1,
            gid: 2,
            mtime: UNIX_EPOCH + Duration::from_secs(5),
            ctime: UNIX_EPOCH + Duration::from_secs(9),
        };
        let ownership = Ownership { uid: 1, gid: 2, file_mask: 0o077, folder_mask: 0 };
        let shown = attributes(&attr, &ownership);
        assert_eq!((shown.size, shown.blocks, shown.perm, shown.nlink), (1025, 3, 0o400, 2));
        assert_eq!((shown.mtime, shown.ctime), (attr.mtime, attr.ctime));
    }

    #[test]
    fn an_errno_reaches_the_kernel_as_it_is() {
        assert_eq!(i32::from(errno(&FsError::ReadOnly)), libc::EROFS);
    }
}
