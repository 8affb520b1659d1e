//! Opening, reading and closing files.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::error::FsError;
use super::handle::{DataHandle, Handle, HandleId, Look, SealedHandle};
use super::inode::Ino;
use super::mode::{Demand, InMode, Mode, Trust};
use super::node::{Collection, Document, Node};
use super::scratch::ScratchFile;
use super::writing::{Asker, Process};
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status};
use crate::read::{Content, Verified};
use crate::service::Api;

/// An opened file.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What to read from.
    pub handle: HandleId,
    /// How the kernel is to read it.
    pub mode: Mode,
}

/// What the kernel side says when it opens a file.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The program wants to go around the page cache (`O_DIRECT`).
    pub direct: bool,
    /// Whether [`Mode::Passthrough`] can be had.
    pub passthrough: bool,
    /// Who asks.
    pub by: Asker,
    /// The program wants to write.
    pub writing: Option<Writing>,
    /// What is written goes behind what is there (`O_APPEND`).
    pub appends: bool,
    /// Asks how many bytes the page cache may grow to without driving programs out of memory. Called for files that
    /// would take much of it.
    pub available: fn() -> u64,
}

/// How a file is opened for writing.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// Who opens it. The close by the same process is the one that sends what was written.
    pub process: Process,
    /// What is there is to be dropped (`O_TRUNC`). Of a file that is made it says that it holds what is written to it,
    /// though that be nothing: who only wants a file to be there (`touch`) does not say so.
    pub truncate: bool,
}

impl Writing {
    /// Opened by this process, with all that is there.
    pub fn of(process: Process) -> Self {
        Self { process, truncate: false }
    }
}

/// Below this many bytes nobody minds an image in the page cache, and memory is not asked about.
const SMALL: u64 = 16 << 20;

impl Default for Asked {
    fn default() -> Self {
        Self {
            direct: false,
            passthrough: false,
            by: Asker::UNKNOWN,
            writing: None,
            appends: false,
            available: || u64::MAX,
        }
    }
}

impl FileSystem {
    /// Opens a file.
    pub async fn open(&self, ino: Ino, asked: Asked) -> Result<Opened> {
        let node = self.node(ino)?;
        let outcome = self.open_node(ino, &node, asked).await;
        self.noted(ino, &node, outcome)
    }

    async fn open_node(&self, ino: Ino, node: &Node, asked: Asked) -> Result<Opened> {
        if let Node::ControlFile(file) = node {
            return self.open_control(ino, *file, asked);
        }
        match (node, asked.writing) {
            (Node::Data(id), _) => return self.open_data(ino, *id, asked).await,
            (Node::Scratch(file), _) => return self.open_scratch(file, asked).await,
            (Node::Document(..) | Node::Item(..), Some(writing)) => {
                // What is added to is what there is now, and not what was there a TTL ago.
                if let (Node::Item(id, Collection::Properties, _), true) = (node, asked.appends) {
                    self.look(*id).await?;
                }
                return self.open_draft(ino, node, writing).await;
            }
            _ => {}
        }
        let text = self.text_of(node).await?;
        if let Node::Document(id, Document::Metadata) = node {
            self.readings.read(*id, text.as_bytes(), asked.by.process());
        }
        Ok(self.opened_small(text.into()))
    }

    /// Without the page cache, because the text may be longer than the size that was last shown.
    pub(super) fn opened_small(&self, text: Bytes) -> Opened {
        Opened { handle: self.handles.insert(Handle::Small(text)), mode: Mode::Direct { keep: false } }
    }

    async fn open_scratch(&self, file: &ScratchFile, asked: Asked) -> Result<Opened> {
        let bytes = Arc::clone(file.bytes().ok_or(FsError::BadHandle)?);
        if let Some(writing) = asked.writing {
            file.is_written_by(writing.process);
            if writing.truncate {
                bytes.truncate(0).await?;
            }
        }
        let handle = self.handles.insert(Handle::Scratch(file.clone(), bytes));
        Ok(Opened { handle, mode: Mode::Direct { keep: false } })
    }

    async fn open_data(&self, ino: Ino, id: ImageId, asked: Asked) -> Result<Opened> {
        let image = self.catalogue.current(id).await?.value;
        if let Some(writing) = asked.writing {
            return self.open_to_write(ino, image, writing).await;
        }
        let image = self.with_data(image).await?;
        if let Some(upload) = self.spool_of(&Node::Data(id), &image) {
            let handle = self.handles.insert(Handle::Spool(upload));
            return Ok(Opened { handle, mode: Mode::Direct { keep: false } });
        }
        if image.status == Status::Deactivated {
            return Err(FsError::Deactivated(id));
        }
        let Some(content) = Content::of(&image)? else {
            return Ok(self.opened_small(Bytes::new()));
        };
        if self.contents.look(&content) == Look::Other {
            self.reads.forget(id);
            self.kernel.pages_are_void(ino);
        }
        let sealed = if asked.passthrough { self.sealed(&content).await } else { None };
        let demand = self.demand(&content, asked, sealed);
        let (mode, in_mode) = self.modes.enter(ino, &content, &demand)?;
        let handle = match &mode {
            Mode::Passthrough(_) => {
                // Its hash was compared before it was sealed.
                self.contents.verified(&content, Verified::Yes);
                Handle::Sealed(SealedHandle { in_mode, content })
            }
            Mode::Cached { .. } | Mode::Direct { .. } => Handle::Data(self.data_handle(content, in_mode)?),
        };
        Ok(Opened { handle: self.handles.insert(handle), mode })
    }

    /// An image with what has to be known before its bytes are read, which not every service lists.
    async fn with_data(&self, image: Arc<Image>) -> Result<Arc<Image>> {
        match self.offers.api {
            Api::Image => Ok(image),
            Api::Compute => {
                let image = self.service.with_data(Arc::unwrap_or_clone(image)).await?;
                self.catalogue.completes(&image);
                Ok(image.into())
            }
        }
    }

    fn data_handle(&self, content: Content, in_mode: InMode) -> Result<DataHandle> {
        let reader = self.reads.open(content.clone())?;
        let damages = self.contents.damages(&content);
        Ok(DataHandle { in_mode, content, damages, reader })
    }

    /// Opens a file otherwise than by [`Mode::Passthrough`], which [`Self::open`] answered and the kernel refused. The
    /// handle that was answered is closed.
    pub fn reopen(&self, ino: Ino, refused: HandleId, asked: Asked) -> Result<Opened> {
        let sealed = self.handles.remove(refused).and_then(Arc::into_inner);
        let Some(Handle::Sealed(SealedHandle { in_mode, content })) = sealed else {
            return Err(FsError::BadHandle);
        };
        let demand = self.demand(&content, asked, None);
        let mode = self.modes.without_passthrough(ino, &demand);
        let node = Node::Data(content.image);
        let handle = self.noted(ino, &node, self.data_handle(content, in_mode))?;
        Ok(Opened { handle: self.handles.insert(Handle::Data(handle)), mode })
    }

    fn demand(&self, content: &Content, asked: Asked, sealed: Option<Arc<File>>) -> Demand {
        let available = if content.size <= SMALL || sealed.is_some() { u64::MAX } else { (asked.available)() };
        // Pages say nothing of themselves: they stay for as long as reading remembers what it gave out.
        let trust = match self.reads.verified(content) {
            Some(Verified::Yes) => Trust::Verified,
            Some(Verified::Unknown) => Trust::Unprovable,
            _ if self.contents.damages(content) > 0 => Trust::Damaged,
            _ => Trust::Unknown,
        };
        let is_forgotten = trust != Trust::Damaged && !self.reads.remembers(content);
        let trust = if is_forgotten { Trust::Forgotten } else { trust };
        Demand { direct: asked.direct, size: content.size, available, trust, sealed }
    }

    async fn sealed(&self, content: &Content) -> Option<Arc<File>> {
        #[cfg(test)]
        if let Some(file) = self.sealed_by_test.get() {
            return Some(Arc::clone(file));
        }
        self.reads.sealed(content).await
    }

    /// Bytes of an open file from `offset` on, `size` of them; fewer only at the end.
    pub async fn read(&self, handle: HandleId, offset: u64, size: u32) -> Result<Bytes> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Small(text) => Ok(part_of(text, offset, size)),
            Handle::Draft(file) => Ok(file.read(offset, size)),
            Handle::Control(control) => Ok(part_of(&control.text, offset, size)),
            Handle::Data(data) => {
                let outcome = self.read_data(data, offset, size).await;
                self.noted(data.in_mode.ino(), &Node::Data(data.content.image), outcome)
            }
            Handle::Write(file) => file.read(offset, size).await,
            Handle::Scratch(file, scratch) => self.scratched(file, scratch.read_at(offset, to_length(size)).await),
            Handle::Spool(upload) => Ok(upload.read_at(offset, to_length(size)).await?),
            // The kernel reads a sealed file by itself.
            Handle::Sealed(_) => Err(FsError::BadHandle),
        }
    }

    async fn read_data(&self, data: &DataHandle, offset: u64, size: u32) -> Result<Bytes> {
        if !self.contents.is_current(&data.content) {
            return Err(FsError::Replaced(data.content.image));
        }
        // What one handle proved to be damaged, no other one goes on reading as if it were not.
        if let Some(damage) = self.contents.damage_beyond(&data.content, data.damages) {
            return Err(damage.into());
        }
        let outcome = data.reader.read(offset, size).await;
        if let Err(error) = &outcome
            && error.is_damage()
        {
            self.contents.damaged(&data.content, error);
            self.kernel.pages_are_void(data.in_mode.ino());
        }
        let bytes = outcome?;
        if offset.saturating_add(u64::from(size)) >= data.content.size {
            self.contents.verified(&data.content, data.reader.verified());
        }
        Ok(bytes)
    }

    /// Closes a file.
    pub fn release(self: &Arc<Self>, handle: HandleId) {
        if let Some(Handle::Draft(file)) = self.released(handle).as_deref() {
            self.release_draft(file);
        }
    }

    /// The same, where a small file that was written needs nothing more.
    pub(super) fn released(&self, handle: HandleId) -> Option<Arc<Handle>> {
        let released = self.handles.remove(handle)?;
        match released.as_ref() {
            Handle::Data(data) => self.contents.verified(&data.content, data.reader.verified()),
            Handle::Write(file) => file.released(),
            _ => {}
        }
        Some(released)
    }

    /// Closes a file whose opener was killed before he heard that he has it open: nothing is made of it.
    pub fn abandon(&self, handle: HandleId) {
        match self.handles.get(handle).as_deref() {
            Ok(Handle::Draft(file)) => self.abandon_draft(file),
            Ok(Handle::Write(file)) => file.abandoned(),
            _ => drop(self.released(handle)),
        }
        self.handles.remove(handle);
    }
}

fn to_length(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// The bytes of `text` from `offset` on, at most `size` of them.
fn part_of(text: &Bytes, offset: u64, size: u32) -> Bytes {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).min(text.len());
    text.slice(start..end)
}
