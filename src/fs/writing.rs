//! Writing an image's bytes: open files on a spool, and the close that sends it.
//!
//! The close that counts is the one by the process that opened the file. `dup`, `fork` and redirections flush early and
//! from other processes, and the kernel tells of them in the same words; those seal nothing. Where nobody else closes, the
//! last release seals, and nobody hears what comes of it but those who look.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use super::attr::Entry;
use super::error::FsError;
use super::handle::{Handle, HandleId};
use super::inode::Ino;
use super::mode::Mode;
use super::node::{ControlFile, Node};
use super::open::{Asked, Opened, Writing};
use super::write_handle::{Waits, WriteHandle};
use super::{FileSystem, Result};
use crate::image::{DATA_MTIME, Image, ImageId};
use crate::service::Change;
use crate::write::{Allocation, Aside, Cause, Upload, WriteError, Writer};

/// A process, by the number of its thread group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// One that cannot be told: in another container, or none that waits for an answer.
    pub const UNKNOWN: Self = Self(0);
}

/// What it means that a process closes a descriptor of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It was the last one that the process had, as far as can be told.
    Last,
    /// The process has others with which the file can be written.
    OneOfSeveral,
    /// A signal ends the process.
    Killed,
}

/// A time of change that is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modified {
    /// The present one. It says nothing about the bytes, since each write sets it too; `touch` sets it alone.
    Now,
    /// One that somebody gave.
    At(SystemTime),
}

/// Who asks: a thread, whose process is looked for only where it matters.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The thread's number.
    pub thread: u32,
    /// Tells the process of a thread.
    pub look: fn(u32) -> Process,
}

impl Asker {
    /// Nobody who could be told from others.
    pub const UNKNOWN: Self = Self { thread: 0, look: |_| Process::UNKNOWN };

    /// The thread's process.
    pub fn process(self) -> Process {
        (self.look)(self.thread)
    }
}

impl FileSystem {
    /// Opens `data` for writing.
    pub(super) async fn open_to_write(&self, ino: Ino, image: Arc<Image>, asked: Writing) -> Result<Opened> {
        self.writable()?;
        self.changeable(&Node::Data(image.id))?;
        let uploads = self.uploads.as_ref().ok_or(FsError::NoSpool)?;
        let image = self.unguessed(image).await?;
        let writer = match uploads.begin(&image).await {
            Ok(writer) => writer,
            Err(error) => return Err(self.untaken(&image, error).await),
        };
        if asked.truncate && !writer.is_empty()? {
            writer.truncate(0).await?;
        }
        if self.restorers.keep_queued(image.id, &[asked.process]) {
            writer.stay_queued();
        }
        let handle = WriteHandle::new(ino, image, Arc::clone(uploads), writer, asked);
        // What is written has to be seen at once by who reads the spool.
        Ok(Opened { handle: self.handles.insert(Handle::Write(handle)), mode: Mode::Direct { keep: false } })
    }

    /// The bytes of an image that is not active yet, while they are here.
    pub(super) fn spooled(&self, id: ImageId) -> Option<Arc<Upload>> {
        self.uploads.as_ref()?.of(id)
    }

    /// Writes on this thread, which it may block for as long as a write to the local disk takes; `false` where that
    /// cannot be, and [`Self::write`] has to do it.
    pub fn write_now(&self, handle: HandleId, offset: u64, bytes: &[u8]) -> Result<bool> {
        let handle = self.handles.get(handle)?;
        let file = match handle.as_ref() {
            Handle::Write(file) => file,
            Handle::Scratch(file, scratch) => {
                return self.scratched(file, scratch.write_now(offset, bytes)).map(|()| true);
            }
            Handle::Control(_) | Handle::Draft(_) => return Ok(false),
            _ => return Err(FsError::BadHandle),
        };
        let Some(writer) = file.held() else { return Ok(false) };
        file.changes();
        let outcome = writer.write_now(offset, bytes).map_err(FsError::from);
        self.noted(file.ino, &file.node(), outcome)
    }

    /// Writes all of `bytes` at `offset`.
    pub async fn write(&self, handle: HandleId, offset: u64, bytes: Bytes) -> Result<()> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Control(control) => return self.command(control, &bytes).await,
            Handle::Draft(file) => return self.write_draft(file, offset, &bytes).await,
            _ => {}
        }
        if self.write_now(handle, offset, &bytes)? {
            return Ok(());
        }
        let write = async |writer: Arc<Writer>| Ok(writer.write_at(offset, bytes.clone()).await?);
        self.change(handle, write).await
    }

    /// Writes all of `bytes` at the end (`O_APPEND`), which the kernel takes to be at `offset`. It has one end for all who
    /// have the file open; but a small file ends for each where what he wrote does.
    pub async fn append(&self, handle: HandleId, offset: u64, bytes: Bytes) -> Result<()> {
        let offset = match self.handles.get(handle)?.as_ref() {
            Handle::Draft(file) => file.length(),
            _ => offset,
        };
        self.write(handle, offset, bytes).await
    }

    /// Makes the file `length` bytes long.
    pub async fn truncate(&self, handle: HandleId, length: u64) -> Result<()> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Scratch(file, scratch) => return self.scratched(file, scratch.truncate(length).await),
            // What is written there is heard, and not kept.
            Handle::Control(_) => return Ok(()),
            Handle::Draft(file) => return self.truncate_draft(file, length),
            _ => {}
        }
        self.change(handle, async |writer: Arc<Writer>| Ok(writer.truncate(length).await?)).await
    }

    /// Changes attributes of `data` and of scratch files: the length, while it is being written, and the time, which for
    /// `data` becomes the property `data_mtime`. Who has no open file (truncate(2)) opens, cuts and closes.
    pub async fn setattr(
        &self,
        ino: Ino,
        handle: Option<HandleId>,
        size: Option<u64>,
        modified: Option<Modified>,
        by: Asker,
    ) -> Result<Entry> {
        self.writable()?;
        let is_touched = size.is_none() && modified.is_some();
        match (size, handle) {
            (Some(size), Some(handle)) => self.truncate(handle, size).await?,
            (Some(size), None) => self.truncate_closed(ino, size, by).await?,
            (None, _) => {}
        }
        match (modified, self.node(ino)?) {
            (Some(Modified::At(modified)), Node::Data(id)) => {
                let outcome = self.set_time(id, modified).await;
                self.noted(ino, &Node::Data(id), outcome)?;
            }
            (Some(Modified::At(modified)), Node::Scratch(file)) => {
                if let Some(bytes) = file.bytes() {
                    bytes.set_time(modified);
                }
            }
            (Some(modified), node @ Node::Item(..)) if is_touched && !self.is_being_written(&node) => {
                self.touched(ino, &node, modified).await?;
            }
            _ => {}
        }
        self.stat(ino, handle, by).await
    }

    pub(super) async fn set_time(&self, id: ImageId, modified: SystemTime) -> Result<()> {
        // A time that cannot be written as RFC 3339 is none that a copy could be compared with.
        let Ok(time) = Timestamp::try_from(modified) else { return Ok(()) };
        // Bytes that are on their way take their time with them.
        if let Some(upload) = self.spooled(id)
            && upload.set_time(time).await?
        {
            return Ok(());
        }
        // Data that are not there are of no time.
        if !self.catalogue.image(id).await?.value.status.has_data() {
            return Ok(());
        }
        self.takes_properties()?;
        self.update(id, &[Change::set(DATA_MTIME, time.to_string())]).await
    }

    async fn truncate_closed(&self, ino: Ino, size: u64, by: Asker) -> Result<()> {
        let writing = Writing { process: by.process(), truncate: false };
        let opened = self.open(ino, Asked { by, writing: Some(writing), ..Asked::default() }).await?;
        let cut = self.truncate(opened.handle, size).await;
        // Of a small file that is all that is to be written.
        let outcome = match self.released(opened.handle).as_deref() {
            Some(Handle::Draft(file)) if cut.is_ok() => self.sync_draft(file).await,
            _ => Ok(()),
        };
        cut.and(outcome)
    }

    /// Reserves or gives back space, as fallocate(2) does.
    pub async fn allocate(&self, handle: HandleId, how: Allocation, offset: u64, length: u64) -> Result<()> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Scratch(file, scratch) => {
                return self.scratched(file, scratch.allocate(how, offset, length).await);
            }
            // Who goes on without it may write.
            Handle::Draft(file) => return self.noted_draft(file, Err(FsError::Unreservable)),
            Handle::Control(control) => return self.unreservable(control),
            _ => {}
        }
        let allocate = async |writer: Arc<Writer>| Ok(writer.allocate(how, offset, length).await?);
        self.change(handle, allocate).await
    }

    async fn change(&self, handle: HandleId, work: impl AsyncFnOnce(Arc<Writer>) -> Result<()>) -> Result<()> {
        let handle = self.handles.get(handle)?;
        let Handle::Write(file) = handle.as_ref() else { return Err(FsError::BadHandle) };
        let outcome = match file.writer().await {
            Ok(writer) => {
                file.changes();
                work(writer).await
            }
            Err(error) => Err(error),
        };
        self.noted(file.ino, &file.node(), outcome)
    }

    /// Makes what was written so far survive a power cut.
    pub async fn fsync(&self, handle: HandleId) -> Result<()> {
        let handle = self.handles.get(handle)?;
        let file = match handle.as_ref() {
            Handle::Write(file) => file,
            Handle::Scratch(file, scratch) => return self.scratched(file, scratch.sync().await),
            Handle::Draft(file) => return self.fsync_draft(file).await,
            _ => return Ok(()),
        };
        let outcome = file.upload().sync().await.map_err(FsError::from);
        self.noted(file.ino, &file.node(), outcome)
    }

    /// A process closes one of its descriptors of the file. If it is the one that opened it, and wrote, the bytes are
    /// complete: this returns when the image is active and its hash was compared. One that was killed has not come to
    /// its end; what it wrote is kept, and sent only when somebody writes it again.
    ///
    /// `closing` tells what the close means to the process, and is asked only where that matters.
    pub async fn flush(
        &self,
        handle: HandleId,
        process: impl FnOnce() -> Process,
        closing: impl Future<Output = Closing>,
    ) -> Result<()> {
        let handle = self.handles.get(handle)?;
        let file = match handle.as_ref() {
            Handle::Write(file) => file,
            Handle::Control(control) => return self.command_end(control).await,
            Handle::Draft(file) => return self.close_draft(file, process, closing).await,
            _ => return Ok(()),
        };
        if !file.is_closed_by(process) {
            return Ok(());
        }
        let is_killed = closing.await == Closing::Killed;
        let outcome = match file.close(is_killed).await {
            Ok(Waits::ForTheService) if !self.settings.write_back => self.settled(file.upload()).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.noted(file.ino, &file.node(), outcome)
    }

    /// An upload failed that nobody waits for: who looks for the reason finds it where it would be told to a writer.
    pub(super) fn failed_behind(&self, image: ImageId, cause: Cause) {
        let node = Node::Data(image);
        let failed: Result<()> = Err(FsError::Write(WriteError::Failed(cause)));
        // It is remembered, and there is nobody to be told.
        let _ = self.noted(self.inodes.number(&node), &node, failed);
    }

    /// Tells of uploads that an earlier mount has left and that cannot be read.
    pub(super) fn tell_unreadable(&self, uploads: &[Aside]) {
        let node = Node::ControlFile(ControlFile::Uploads);
        for aside in uploads {
            let failed: Result<()> = Err(FsError::Write(WriteError::Unreadable(aside.clone())));
            // As above.
            let _ = self.noted(self.inodes.number(&node), &node, failed);
        }
    }

    pub(super) async fn settled(&self, upload: &Upload) -> Result<()> {
        upload.settled().await.map(drop).map_err(FsError::from)
    }
}
