//! Telling the kernel which of its pages are void.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::inode::Ino;

/// The filesystem's end: says which inodes the kernel shall drop its pages of. It only notes them, so it may be used
/// with any lock held.
#[derive(Debug)]
pub(super) struct Pages {
    tell: UnboundedSender<Ino>,
    void: Mutex<Option<VoidPages>>,
}

/// The kernel side's end: the inodes whose pages are void, each as often as it was said.
///
/// It is unbounded, because there is one for each image that proves to be damaged or replaced, and no more.
#[derive(Debug)]
pub struct VoidPages(UnboundedReceiver<Ino>);

impl Default for Pages {
    fn default() -> Self {
        let (tell, void) = unbounded_channel();
        Self { tell, void: Mutex::new(Some(VoidPages(void))) }
    }
}

impl Pages {
    /// The pages of `ino` are void.
    pub(super) fn are_void(&self, ino: Ino) {
        // Nobody listens where there is no kernel, and so there are no pages.
        let _ = self.tell.send(ino);
    }

    /// The other end, once.
    pub(super) fn listen(&self) -> Option<VoidPages> {
        self.void.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl VoidPages {
    /// Waits, on a thread outside the runtime, for the next one; `None` once the filesystem is gone.
    pub fn wait(&mut self) -> Option<Ino> {
        self.0.blocking_recv()
    }
}
