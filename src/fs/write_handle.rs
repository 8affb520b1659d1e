//! `data`, open for writing: who may write, who closes, and what is still owed to the image then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Result;
use super::error::FsError;
use super::inode::Ino;
use super::node::Node;
use super::open::Writing;
use super::writing::Process;
use crate::image::Image;
use crate::write::{Hold, Upload, Uploads, Writer};

/// What a close has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    ForNothing,
    ForTheService,
}

/// What an open file owes its image.
#[derive(Debug)]
enum Owed {
    /// Nothing: nobody wrote, or a close has sealed what was written.
    Nothing,
    /// It was emptied when it was opened, or was closed without data. Whoever closes it last sees to it.
    Rest,
    /// There are bytes that no close has sealed.
    Seal,
    /// What is there is not what was to be written, and must not be sent. Why.
    Unfinished(FsError),
}

/// `data`, open for writing.
pub(super) struct WriteHandle {
    pub(super) ino: Ino,
    image: Arc<Image>,
    uploads: Arc<Uploads>,
    upload: Arc<Upload>,
    opener: Process,
    /// The right to write. It is given back by the close of the one who opened, because the kernel tells of the release
    /// only later, and taken again by who writes after that.
    writer: Mutex<Option<Arc<Writer>>>,
    owed: Mutex<Owed>,
    /// The turn of its writer among all who wrote the upload.
    turn: AtomicU64,
    /// The upload rests only while nobody has it open, however long they are silent. `None` once it is released.
    hold: Mutex<Option<Hold>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WriteHandle {
    pub(super) fn new(ino: Ino, image: Arc<Image>, uploads: Arc<Uploads>, writer: Writer, asked: Writing) -> Self {
        let upload = Arc::clone(writer.upload());
        let hold = Mutex::new(Some(upload.hold()));
        let turn = AtomicU64::new(upload.turn());
        let owed = Mutex::new(if asked.truncate { Owed::Rest } else { Owed::Nothing });
        let writer = Mutex::new(Some(Arc::new(writer)));
        Self { ino, image, uploads, upload, opener: asked.process, writer, owed, turn, hold }
    }

    pub(super) fn node(&self) -> Node {
        Node::Data(self.image.id)
    }

    pub(super) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// The right to write, unless it was given back.
    pub(super) fn held(&self) -> Option<Arc<Writer>> {
        lock(&self.writer).clone()
    }

    fn give_back(&self) {
        let writer = lock(&self.writer).take();
        drop(writer);
    }

    /// The right to write, taken again where it was given back.
    pub(super) async fn writer(&self) -> Result<Arc<Writer>> {
        if let Some(writer) = self.held() {
            return Ok(writer);
        }
        let writer = Arc::new(self.uploads.again(&self.upload).await?);
        self.turn.store(self.upload.turn(), Ordering::Release);
        *lock(&self.writer) = Some(Arc::clone(&writer));
        Ok(writer)
    }

    /// Somebody is about to change it.
    pub(super) fn changes(&self) {
        *lock(&self.owed) = Owed::Seal;
    }

    /// Whether a close by `process` is one that counts. Who is not known is not the one who opened.
    pub(super) fn is_closed_by(&self, process: impl FnOnce() -> Process) -> bool {
        if matches!(*lock(&self.owed), Owed::Nothing) {
            return false;
        }
        let process = process();
        process == self.opener && process != Process::UNKNOWN
    }

    /// Its opener closes it. That it leaves no data is noted, in case that it is all: who writes on nevertheless takes that
    /// back. What one wrote who was killed is not all, and is not sent.
    pub(super) async fn close(&self, is_killed: bool) -> Result<Waits> {
        if is_killed {
            *lock(&self.owed) = Owed::Unfinished(FsError::Unfinished(self.image.id));
        }
        let unfinished = match std::mem::replace(&mut *lock(&self.owed), Owed::Nothing) {
            Owed::Unfinished(error) => Some(error),
            Owed::Nothing | Owed::Rest | Owed::Seal => None,
        };
        let outcome = match unfinished {
            Some(error) => Err(error),
            None => self.upload.close().await.map_err(FsError::from),
        };
        match &outcome {
            // The release does not make good what this answers.
            Err(error) => *lock(&self.owed) = Owed::Unfinished(error.clone()),
            Ok(false) => *lock(&self.owed) = Owed::Rest,
            Ok(true) => {}
        }
        self.give_back();
        outcome.map(|is_sealed| if is_sealed { Waits::ForTheService } else { Waits::ForNothing })
    }

    /// What is in the spool.
    pub(super) async fn read(&self, offset: u64, size: u32) -> Result<Bytes> {
        Ok(self.upload.read_at(offset, usize::try_from(size).unwrap_or(usize::MAX)).await?)
    }

    /// The last descriptor is closed: what no close has sealed is sealed soon, unless somebody else wrote meanwhile.
    pub(super) fn released(&self) {
        drop(lock(&self.hold).take());
        let turn = self.turn.load(Ordering::Acquire);
        let owed = std::mem::replace(&mut *lock(&self.owed), Owed::Nothing);
        match owed {
            _ if self.upload.turn() != turn => self.give_back(),
            Owed::Rest | Owed::Seal => {
                self.upload.seal_when_quiet();
                self.give_back();
            }
            // Of what was only opened, or left without a byte by who was killed, nothing is kept, unless it rested before.
            Owed::Nothing | Owed::Unfinished(_) => {
                self.give_back();
                self.upload.leave(turn);
            }
        }
    }

    /// It is gone without a close: nobody said that what was written is all.
    pub(super) fn abandoned(&self) {
        drop(lock(&self.hold).take());
        self.give_back();
    }
}
