//! Telling the kernel what it must not go on showing: pages, attributes, names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time;

use super::FileSystem;
use super::inode::Ino;
use super::node::{Node, View};
use super::scratch::Place;
use crate::catalogue::{Difference, Seen};
use crate::image::ImageId;

/// How long who walks by may be held up until the kernel has forgotten names. It waits for whoever makes or looks up
/// something in that folder, at most for the service's deadlines.
const PATIENCE: Duration = Duration::from_secs(1);

/// The filesystem's end.
pub(super) struct Kernel {
    /// Has the attributes of an inode forgotten, at once.
    attributes: OnceLock<Box<dyn Fn(Ino) + Send + Sync>>,
    pages: UnboundedSender<Ino>,
    names: UnboundedSender<(Ino, Box<str>)>,
    /// How many names were said to be void.
    said: AtomicU64,
    /// How many of them the kernel has forgotten.
    forgotten: watch::Receiver<u64>,
    listeners: Mutex<Option<(VoidPages, VoidNames)>>,
}

/// The kernel's end: the inodes whose pages are void, each as often as it was said.
///
/// It is unbounded, because there is one for each image that proves to be damaged or replaced, and no more.
#[derive(Debug)]
pub struct VoidPages(UnboundedReceiver<Ino>);

/// The kernel's end: the names that stand for nothing any more or for something else, each with its folder.
///
/// It is unbounded, because there is one for each name that the service shows no more.
#[derive(Debug)]
pub struct VoidNames {
    names: UnboundedReceiver<(Ino, Box<str>)>,
    taken: u64,
    forgotten: watch::Sender<u64>,
}

impl Default for Kernel {
    fn default() -> Self {
        let (pages, void_pages) = unbounded_channel();
        let (names, void_names) = unbounded_channel();
        let (done, forgotten) = watch::channel(0);
        let void_names = VoidNames { names: void_names, taken: 0, forgotten: done };
        Self {
            attributes: OnceLock::new(),
            pages,
            names,
            said: AtomicU64::new(0),
            forgotten,
            listeners: Mutex::new(Some((VoidPages(void_pages), void_names))),
        }
    }
}

impl Kernel {
    /// The pages of `ino` are void. It is only noted, so it may be said with any lock held.
    pub(super) fn pages_are_void(&self, ino: Ino) {
        // Nobody listens where there is no kernel, and so there are no pages.
        let _ = self.pages.send(ino);
    }

    /// The attributes of `ino` are void, and what it lists if it is a folder. Nothing may be locked: it calls the kernel.
    fn attributes_are_void(&self, ino: Ino) {
        if let Some(forget) = self.attributes.get() {
            forget(ino);
        }
    }

    /// `name` in `folder` stands for nothing any more, or for something else.
    fn name_is_void(&self, folder: Ino, name: Box<str>) {
        if self.names.send((folder, name)).is_ok() {
            self.said.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Waits until the kernel has forgotten the names that are void by now, but not for ever: it forgets none while
    /// somebody is busy in their folder.
    ///
    /// Who calls this must not keep the kernel busy in a folder of images himself.
    pub(super) async fn has_forgotten(&self) {
        let said = self.said.load(Ordering::Acquire);
        let mut forgotten = self.forgotten.clone();
        let _ = time::timeout(PATIENCE, forgotten.wait_for(|forgotten| *forgotten >= said)).await;
    }
}

impl VoidPages {
    /// Waits, on a thread outside the runtime, for the next one; `None` once the filesystem is gone.
    pub fn wait(&mut self) -> Option<Ino> {
        self.0.blocking_recv()
    }
}

impl VoidNames {
    /// Waits, on a thread outside the runtime, for the next one; `None` once the filesystem is gone. The one before is
    /// taken to be forgotten.
    pub fn wait(&mut self) -> Option<(Ino, Box<str>)> {
        self.forgotten.send_replace(self.taken);
        let next = self.names.blocking_recv();
        self.taken = self.taken.saturating_add(1);
        next
    }
}

impl FileSystem {
    /// Has a kernel told what is void. Attributes are, by calls of `forget` with nothing locked, before the answer of what
    /// made them so; pages and names by the two that this answers, once.
    pub fn tell(self: &Arc<Self>, forget: impl Fn(Ino) + Send + Sync + 'static) -> Option<(VoidPages, VoidNames)> {
        let listeners = self.kernel.listeners.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if self.kernel.attributes.set(Box::new(forget)).is_ok() {
            let told = Arc::downgrade(self);
            self.catalogue.watch(move |difference| {
                if let Some(fs) = told.upgrade() {
                    fs.is_otherwise(difference);
                }
            });
        }
        Some(listeners)
    }

    fn is_otherwise(&self, difference: Difference) {
        difference.images.into_iter().for_each(|image| self.shows_otherwise(image));
        if difference.entries {
            for folder in [Node::Images(View::ByName), Node::Images(View::ById), Node::Files] {
                self.kernel.attributes_are_void(self.inodes.number(&folder));
            }
        }
        let folder = self.inodes.number(&Node::Images(View::ByName));
        difference.names.into_iter().for_each(|name| self.kernel.name_is_void(folder, name));
    }

    /// A folder lists otherwise than before by what no service knows of. The kernel knows of it for the one of an image's
    /// two folders through which it came.
    pub(super) fn lists_otherwise(&self, place: Place) {
        match place {
            Place::Files => {
                self.shelves.turn_files();
                self.kernel.attributes_are_void(self.inodes.number(&Node::Files));
            }
            Place::Image(id) | Place::Collection(id, _) => self.shows_otherwise(id),
        }
    }

    /// A file of an image, or a folder in it, is hidden from now on.
    pub(super) fn hide(&self, id: ImageId, node: Node) {
        self.removals.remember(node);
        self.lists_otherwise(Place::Image(id));
    }

    /// It is back. Answers whether it was hidden.
    pub(super) fn show_again(&self, node: &Node) -> bool {
        let was = self.removals.recall(node);
        if let (true, Some(id)) = (was, node.image()) {
            self.lists_otherwise(Place::Image(id));
        }
        was
    }

    fn shows_otherwise(&self, id: ImageId) {
        for ino in self.inodes.turn(id) {
            self.kernel.attributes_are_void(ino);
        }
    }

    /// For how long the kernel may rely on what it is told of what was seen.
    pub(super) fn hold<T>(&self, seen: &Seen<T>) -> Hold {
        let is_watched = seen.is_watched && self.catalogue.has_watcher();
        let vouched = if is_watched { self.catalogue.vouch() } else { seen.fresh_for };
        Hold { vouched, ..Hold::fresh(seen) }
    }
}

/// For how long the kernel may rely on what it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// Where nobody tells it what becomes otherwise.
    pub(super) fresh_for: Duration,
    /// Where somebody does.
    pub(super) vouched: Duration,
}

impl Hold {
    /// For no time.
    pub(super) const NONE: Self = Self { fresh_for: Duration::ZERO, vouched: Duration::ZERO };

    /// For as long as it is young, because nobody tells when it is otherwise.
    pub(super) fn fresh<T>(seen: &Seen<T>) -> Self {
        Self { fresh_for: seen.fresh_for, vouched: seen.fresh_for }
    }
}
