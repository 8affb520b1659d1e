//! Open files and folders.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::control::ControlHandle;
use super::edit::DraftHandle;
use super::error::FsError;
use super::mode::InMode;
use super::node::Node;
use super::scratch::ScratchFile;
use super::write_handle::WriteHandle;
use crate::image::{Image, ImageId};
use crate::read::{Content, ReadError, Reader, Verified};
use crate::write::{Scratch, Upload};

/// The number of an open file or folder; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandleId(pub u64);

/// What a handle is open on.
pub(super) enum Handle {
    /// An image's bytes.
    Data(DataHandle),
    /// An image's bytes, which the kernel reads from a local file.
    Sealed(SealedHandle),
    /// An image's bytes, being written.
    Write(WriteHandle),
    /// A file that is no image's.
    Scratch(ScratchFile, Arc<Scratch>),
    /// The bytes of an image that is not active yet.
    Spool(Arc<Upload>),
    /// A small file, as it was when it was opened.
    Small(Bytes),
    /// A small file of an image, being written.
    Draft(Arc<DraftHandle>),
    /// A file of `.glancefs`, to which commands are written.
    Control(ControlHandle),
}

/// `data`, open for reading.
pub(super) struct DataHandle {
    pub(super) in_mode: InMode,
    pub(super) content: Content,
    /// How often the content had proved to be damaged when this was opened.
    pub(super) damages: u32,
    pub(super) reader: Reader,
}

/// `data`, open for the kernel to read by itself.
pub(super) struct SealedHandle {
    pub(super) in_mode: InMode,
    pub(super) content: Content,
}

/// All open handles.
#[derive(Default)]
pub(super) struct Handles {
    next: AtomicU64,
    open: Mutex<HashMap<HandleId, Arc<Handle>>>,
}

impl Handles {
    pub(super) fn insert(&self, handle: Handle) -> HandleId {
        let id = HandleId(self.next.fetch_add(1, Ordering::Relaxed));
        self.open().insert(id, Arc::new(handle));
        id
    }

    pub(super) fn get(&self, id: HandleId) -> Result<Arc<Handle>, FsError> {
        self.open().get(&id).cloned().ok_or(FsError::BadHandle)
    }

    pub(super) fn remove(&self, id: HandleId) -> Option<Arc<Handle>> {
        self.open().remove(&id)
    }

    /// Closes all of them.
    pub(super) fn remove_all(&self) -> Vec<Arc<Handle>> {
        self.open().drain().map(|(_, handle)| handle).collect()
    }

    /// Each opening of a small file by somebody who writes it, in the order of time.
    pub(super) fn drafts_of(&self, node: &Node) -> Vec<Arc<DraftHandle>> {
        let open = self.open();
        let drafts = open.iter().filter_map(|(id, handle)| match handle.as_ref() {
            Handle::Draft(draft) if draft.is_of(node) => Some((id.0, Arc::clone(draft))),
            _ => None,
        });
        let mut drafts: Vec<_> = drafts.collect();
        drafts.sort_unstable_by_key(|(id, _)| *id);
        drafts.into_iter().map(|(_, draft)| draft).collect()
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<HandleId, Arc<Handle>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the images that were opened hold, by the last look at them.
#[derive(Default)]
pub(super) struct Contents(Mutex<HashMap<ImageId, Seen>>);

struct Seen {
    content: Content,
    verified: Option<Verified>,
    /// How often bytes of it proved to be damaged, and what was said the last time.
    damages: u32,
    damage: Option<ReadError>,
}

impl Seen {
    fn new(content: &Content) -> Self {
        Self { content: content.clone(), verified: None, damages: 0, damage: None }
    }
}

/// What a look at an image showed about the bytes that it had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It has them still, or this is the first look.
    Same,
    /// It has others now.
    Other,
}

impl Contents {
    /// Notes what an image holds now.
    pub(super) fn look(&self, content: &Content) -> Look {
        let mut seen = self.seen();
        match seen.get(&content.image) {
            Some(before) if before.content.is_same_as(content) => Look::Same,
            before => {
                let look = if before.is_some() { Look::Other } else { Look::Same };
                seen.insert(content.image, Seen::new(content));
                look
            }
        }
    }

    /// Whether these are still the image's bytes, as far as is known.
    pub(super) fn is_current(&self, content: &Content) -> bool {
        self.seen().get(&content.image).is_none_or(|seen| seen.content.is_same_as(content))
    }

    /// Notes how far the bytes were compared with the service's hash.
    pub(super) fn verified(&self, content: &Content, verified: Verified) {
        self.same(content, |seen| seen.verified = Some(verified));
    }

    /// Notes that the bytes are not what the service's hash says.
    pub(super) fn damaged(&self, content: &Content, damage: &ReadError) {
        self.same(content, |seen| {
            seen.verified = Some(Verified::No);
            seen.damages = seen.damages.saturating_add(1);
            seen.damage = Some(damage.clone());
        });
    }

    /// How often bytes of this content proved to be damaged.
    pub(super) fn damages(&self, content: &Content) -> u32 {
        self.same(content, |seen| seen.damages).unwrap_or(0)
    }

    /// What was said when bytes of this content proved to be damaged, if that happened more than `known` times.
    pub(super) fn damage_beyond(&self, content: &Content, known: u32) -> Option<ReadError> {
        self.same(content, |seen| seen.damage.clone().filter(|_| seen.damages > known)).flatten()
    }

    /// What `look` makes of what is known about this content, unless the image has another one now.
    fn same<T>(&self, content: &Content, look: impl FnOnce(&mut Seen) -> T) -> Option<T> {
        self.seen().get_mut(&content.image).filter(|seen| seen.content.is_same_as(content)).map(look)
    }

    /// What an image held when it was read, and how far it had been compared by then; `None` before the first reading.
    pub(super) fn verdict(&self, image: ImageId) -> Option<(Content, Verified)> {
        self.seen().get(&image).and_then(|seen| Some((seen.content.clone(), seen.verified?)))
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<ImageId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// The bytes that an image holds, if it has any: `None` while its status is one without data.
    pub(super) fn of(image: &Image) -> Result<Option<Self>, FsError> {
        if !image.status.has_data() {
            return Ok(None);
        }
        let size = image.size.ok_or(FsError::NoSize(image.id))?;
        let (checksums, stores) = (image.checksums.clone(), image.stores.clone());
        Ok(Some(Self { image: image.id, size, checksums, stores }))
    }

    /// Whether both name the same bytes; in which stores they are does not matter.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        (self.image, self.size, &self.checksums) == (other.image, other.size, &other.checksums)
    }
}
