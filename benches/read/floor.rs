//! The floor under every read that reaches a daemon: a filesystem of one local file that does nothing but pread(2).
//!
//! It runs in a process of its own, as our daemon does: `read --floor FILE MOUNTPOINT`.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request, SessionACL,
};

/// The name of the file in the mount.
pub(crate) const NAME: &str = "file";

/// As many threads as our daemon has for the kernel.
const THREADS: usize = 2;

/// The file does not change.
const FOR_EVER: Duration = Duration::from_hours(1);

const FILE: INodeNo = INodeNo(2);

struct Floor {
    file: File,
    size: u64,
}

/// Serves `file` at `point` until it is unmounted.
pub(crate) fn serve(file: &Path, point: &Path) -> Result<()> {
    let file = File::open(file)?;
    let size = file.metadata()?.size();
    let mut configuration = Config::default();
    configuration.mount_options = vec![MountOption::RO, MountOption::FSName("floor".into())];
    configuration.acl = SessionACL::Owner;
    configuration.n_threads = Some(THREADS);
    fuser::mount(Floor { file, size }, point, &configuration)?;
    Ok(())
}

impl Floor {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let folder = ino != FILE;
        FileAttr {
            ino,
            size: if folder { 0 } else { self.size },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if folder { FileType::Directory } else { FileType::RegularFile },
            perm: if folder { 0o555 } else { 0o444 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Floor {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOR_EVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        match self.file.read_at(&mut bytes, offset) {
            Ok(count) => reply.data(bytes.get(..count).unwrap_or_default()),
            Err(_) => reply.error(Errno::EIO),
        }
    }
}
