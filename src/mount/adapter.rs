//! The kernel's callbacks. Each opens a span, calls the filesystem and replies; what is to be decided, the filesystem
//! decides.
//!
//! The threads that take requests never wait for the network. A request is begun on the thread that took it, and answered
//! there if nothing has to be waited for (a block in memory, attributes that are known); otherwise it moves to the
//! runtime, and the thread takes the next one.

mod answering;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fuser::{
    AccessFlags, BackingId, BsdFileFlags, Errno, FileHandle, Filesystem, INodeNo, IoctlFlags, KernelConfig, LockOwner,
    OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::debug_span;

use super::backing::Backings;
use super::caller::Caller;
use super::reply::{self, GENERATION, name_list, send_attribute};
use super::session::Passthrough;
use super::waiting::Shown;
use super::{convert, memory, session};
use crate::config::mount_settings::{Limits, Ownership};
use crate::fs::{self, Asked, Entry, FileSystem, HandleId, Listed, Mode, Modified, Opened, Unmakeable, Writing};
use crate::write::Allocation;

/// Answers the kernel out of a [`FileSystem`].
pub(super) struct Adapter {
    files: Arc<FileSystem>,
    ownership: Ownership,
    limits: Limits,
    runtime: Handle,
    backings: Arc<Backings<INodeNo, HandleId, BackingId>>,
    /// Told when the session is over.
    end: Option<oneshot::Sender<()>>,
}

impl Adapter {
    /// An adapter that waits on the current runtime.
    pub(super) fn new(files: Arc<FileSystem>, ownership: Ownership, limits: Limits, end: oneshot::Sender<()>) -> Self {
        Self { files, ownership, limits, runtime: Handle::current(), backings: Arc::default(), end: Some(end) }
    }

    /// Sends an entry.
    fn entry(&self) -> impl FnOnce(ReplyEntry, Entry) + Send + 'static {
        let ownership = self.ownership;
        move |reply, entry| reply.entry(&entry.ttl, &convert::attributes(&entry.attr, &ownership), GENERATION)
    }
}

/// The kernel's number for the file that it is to read by itself; `None` where the mode is another one.
fn granted(
    backings: &Backings<INodeNo, HandleId, BackingId>,
    ino: INodeNo,
    opened: &Opened,
    reply: &ReplyOpen,
) -> io::Result<Option<Arc<BackingId>>> {
    match &opened.mode {
        Mode::Passthrough(file) => backings.open(ino, opened.handle, || reply.open_backing(file.as_ref())).map(Some),
        Mode::Cached { .. } | Mode::Direct { .. } => Ok(None),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, kernel: &mut KernelConfig) -> io::Result<()> {
        if session::negotiate(kernel, self.limits) == Passthrough::Offered {
            self.backings.offer();
        }
        Ok(())
    }

    fn destroy(&mut self) {
        if let Some(end) = self.end.take() {
            // Nobody waits any more when the process is about to end anyway.
            let _ = end.send(());
        }
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        let span = debug_span!("lookup", parent = parent.0, ?name);
        let work = async move { files.lookup(convert::ino(parent), &name).await };
        self.look(request, span, reply, work, self.entry());
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.files.forget(convert::ino(ino), count);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        let (files, ownership) = (Arc::clone(&self.files), self.ownership);
        let (handle, by) = (handle.map(|handle| HandleId(handle.0)), Caller(request.pid()).asker());
        let work = async move { files.stat(convert::ino(ino), handle, by).await };
        self.look(request, debug_span!("getattr", ino = ino.0), reply, work, move |reply, entry| {
            reply.attr(&entry.ttl, &convert::attributes(&entry.attr, &ownership));
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (files, backings) = (Arc::clone(&self.files), Arc::clone(&self.backings));
        let (direct, passthrough) = (convert::wants_direct(flags), backings.are_offered());
        let writing =
            convert::writes(flags).map(|truncate| Writing { process: Caller(request.pid()).process(), truncate });
        let by = Caller(request.pid()).asker();
        let asked =
            Asked { direct, passthrough, by, writing, appends: convert::appends(flags), available: memory::available };
        let asking = Arc::clone(&files);
        let work = async move { asking.open(convert::ino(ino), asked).await };
        self.change(request, debug_span!("open", ino = ino.0), reply, work, move |reply, opened| {
            let granted = granted(&backings, ino, &opened, &reply);
            match (granted, &opened.mode) {
                (Ok(Some(backing)), mode) => {
                    reply.opened_passthrough(FileHandle(opened.handle.0), convert::open_flags(mode), &backing);
                }
                (Ok(None), mode) => reply.opened(FileHandle(opened.handle.0), convert::open_flags(mode)),
                (Err(_), _) => match files.reopen(convert::ino(ino), opened.handle, asked) {
                    Ok(opened) => reply.opened(FileHandle(opened.handle.0), convert::open_flags(&opened.mode)),
                    Err(error) => reply.error(convert::errno(&error)),
                },
            }
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let files = Arc::clone(&self.files);
        let work = async move { files.read(HandleId(handle.0), offset, size).await };
        self.look(request, debug_span!("read", ino = ino.0, offset, size), reply, work, |reply, bytes| {
            reply.data(&bytes);
        });
    }

    fn flush(&self, request: &Request, ino: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let (files, caller) = (Arc::clone(&self.files), Caller(request.pid()));
        let work = async move {
            files.flush(HandleId(handle.0), || caller.process(), caller.closing(convert::ino(ino))).await
        };
        self.change(request, debug_span!("flush", ino = ino.0), reply, work, |reply, ()| reply.ok());
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.backings.release(ino, &HandleId(handle.0));
        // What is complete on disk is proved behind the last reader.
        let _entered = self.runtime.enter();
        self.files.release(HandleId(handle.0));
        reply.ok();
    }

    fn fsync(&self, request: &Request, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let files = Arc::clone(&self.files);
        let work = async move { files.fsync(HandleId(handle.0)).await };
        self.change(request, debug_span!("fsync", ino = ino.0), reply, work, |reply, ()| reply.ok());
    }

    /// Folders are not opened: what the kernel has been told of one, it keeps for as long as the folder's time is the same.
    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, request: &Request, ino: INodeNo, _: FileHandle, from: u64, reply: ReplyDirectory) {
        let (files, asking) = (Arc::clone(&self.files), Arc::clone(&self.files));
        let work = async move { asking.readdir(convert::ino(ino), from).await };
        self.look(request, debug_span!("readdir", ino = ino.0, from), reply, work, move |mut reply, listing| {
            files.lines(&listing, false, &mut |line: Listed<'_>| reply::add(&mut reply, &line));
            reply.ok();
        });
    }

    fn readdirplus(&self, request: &Request, ino: INodeNo, _: FileHandle, from: u64, reply: ReplyDirectoryPlus) {
        let (files, asking, ownership) = (Arc::clone(&self.files), Arc::clone(&self.files), self.ownership);
        let work = async move { asking.readdir(convert::ino(ino), from).await };
        self.look(request, debug_span!("readdirplus", ino = ino.0, from), reply, work, move |mut reply, listing| {
            let mut take = |line: Listed<'_>| reply::add_with_attributes(&mut reply, &line, &ownership);
            files.lines(&listing, true, &mut take);
            reply.ok();
        });
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        let files = Arc::clone(&self.files);
        let work = async move { files.statfs().await };
        self.look(request, debug_span!("statfs"), reply, work, |reply, space| {
            let fs::Space { block_size, blocks, free, files, files_free, name_max } = space;
            reply.statfs(blocks, free, free, files, files_free, block_size, name_max, block_size);
        });
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        let (files, name, user) = (Arc::clone(&self.files), name.to_owned(), request.uid());
        let span = debug_span!("getxattr", ino = ino.0, ?name);
        let work = async move { files.getxattr(convert::ino(ino), &name, user).await };
        self.look(request, span, reply, work, move |reply, value| send_attribute(reply, room, &value));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, room: u32, reply: ReplyXattr) {
        let files = Arc::clone(&self.files);
        let work = async move { files.listxattr(convert::ino(ino)).await };
        self.look(request, debug_span!("listxattr", ino = ino.0), reply, work, move |reply, names| {
            send_attribute(reply, room, &name_list(&names));
        });
    }

    /// There is nothing to control here, which programs ask for as they would a terminal's size or a file's flags.
    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    // What the kernel does by itself once it has heard ENOSYS, and then asks no more: files are always ready, have no
    // holes but the end, and are copied by reading.

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(Errno::ENOSYS);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn bmap(&self, _: &Request, _: INodeNo, _: u32, _: u64, reply: ReplyBmap) {
        reply.error(Errno::ENOSYS);
    }

    // From here on everything changes something. The kernel itself refuses most of it on a read-only mount; what it lets
    // through is refused by the filesystem.

    /// Modes, owners and the times of other files than `data` are taken and change nothing, because rsync and editors
    /// need that.
    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (files, ownership) = (Arc::clone(&self.files), self.ownership);
        let handle = handle.map(|handle| HandleId(handle.0));
        let modified = modified.map(|time| match time {
            TimeOrNow::SpecificTime(time) => Modified::At(time),
            TimeOrNow::Now => Modified::Now,
        });
        let by = Caller(request.pid()).asker();
        let work = async move { files.setattr(convert::ino(ino), handle, size, modified, by).await.map(Shown) };
        self.change(request, debug_span!("setattr", ino = ino.0), reply, work, move |reply, Shown(entry)| {
            reply.attr(&entry.ttl, &convert::attributes(&entry.attr, &ownership));
        });
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            return reply.error(convert::errno(&self.files.refuse(convert::ino(parent), Unmakeable::Device)));
        }
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        let span = debug_span!("mknod", parent = parent.0, ?name);
        let work = async move { files.mknod(convert::ino(parent), &name).await };
        self.change(request, span, reply, work, self.entry());
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        let span = debug_span!("mkdir", parent = parent.0, ?name);
        let work = async move { files.mkdir(convert::ino(parent), &name).await };
        self.change(request, span, reply, work, self.entry());
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        let span = debug_span!("unlink", parent = parent.0, ?name);
        let work = async move { files.unlink(convert::ino(parent), &name).await };
        self.change(request, span, reply, work, |reply, ()| reply.ok());
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (files, name) = (Arc::clone(&self.files), name.to_owned());
        let span = debug_span!("rmdir", parent = parent.0, ?name);
        let work = async move { files.rmdir(convert::ino(parent), &name).await };
        self.change(request, span, reply, work, |reply, ()| reply.ok());
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (files, name, target) = (Arc::clone(&self.files), name.to_owned(), target.to_owned());
        let span = debug_span!("symlink", parent = parent.0, ?name);
        let work = async move { files.symlink(convert::ino(parent), &name, &target).await };
        self.change(request, span, reply, work, self.entry());
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.files.readlink(convert::ino(ino)) {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(convert::errno(&error)),
        }
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) || flags.contains(RenameFlags::RENAME_WHITEOUT) {
            return reply.error(Errno::EINVAL);
        }
        let (files, name, new_name) = (Arc::clone(&self.files), name.to_owned(), new_name.to_owned());
        let span = debug_span!("rename", parent = parent.0, ?name, new_parent = new_parent.0, ?new_name);
        let (from, to) = (convert::ino(parent), convert::ino(new_parent));
        let by = Caller(request.pid()).asker();
        let work = async move { files.rename((from, &name), (to, &new_name), by).await };
        self.change(request, span, reply, work, |reply, ()| reply.ok());
    }

    fn link(&self, _: &Request, _: INodeNo, parent: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(convert::errno(&self.files.refuse(convert::ino(parent), Unmakeable::Link)));
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (span, handle) = (debug_span!("write", ino = ino.0, offset, size = bytes.len()), HandleId(handle.0));
        // The kernel writes at most 1 MiB at once.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.files.write_now(handle, offset, bytes) {
            Ok(true) => reply.written(length),
            Ok(false) => {
                let (files, bytes) = (Arc::clone(&self.files), Bytes::copy_from_slice(bytes));
                let work = async move {
                    if convert::appends(flags) {
                        files.append(handle, offset, bytes).await
                    } else {
                        files.write(handle, offset, bytes).await
                    }
                };
                self.change(request, span, reply, work, move |reply, ()| reply.written(length));
            }
            Err(error) => reply.error(convert::errno(&error)),
        }
    }

    fn create(&self, request: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, flags: i32, reply: ReplyCreate) {
        let (files, name, ownership) = (Arc::clone(&self.files), name.to_owned(), self.ownership);
        let span = debug_span!("create", parent = parent.0, ?name);
        let by = Writing { process: Caller(request.pid()).process(), truncate: convert::begins(flags) };
        let work = async move { files.create(convert::ino(parent), &name, by).await };
        self.change(request, span, reply, work, move |reply, (entry, opened)| {
            let attributes = convert::attributes(&entry.attr, &ownership);
            let (handle, flags) = (FileHandle(opened.handle.0), convert::open_flags(&opened.mode));
            reply.created(&entry.ttl, &attributes, GENERATION, handle, flags);
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Some(how) = Allocation::of_flags(mode) else { return reply.error(Errno::EOPNOTSUPP) };
        let files = Arc::clone(&self.files);
        let work = async move { files.allocate(HandleId(handle.0), how, offset, length).await };
        self.change(request, debug_span!("fallocate", ino = ino.0), reply, work, |reply, ()| reply.ok());
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::EOPNOTSUPP);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
