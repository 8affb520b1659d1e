//! Tags, properties and members that somebody makes, and that the service does not know yet.
//!
//! Whoever makes a file may go on to write what is refused, and then there is to be nothing: so a shell's
//! `echo x > properties/p` is one request, and `echo nonsense > members/p` shares the image with nobody. What is made and
//! gets no text is sent where its maker hears of it: by `touch`, at `fsync`, at the close.

use std::collections::HashSet;

use super::inode::Ino;
use super::node::{Collection, Node};
use super::scratch::Place;
use super::writing::Modified;
use super::{FileSystem, Result};
use crate::image::ImageId;
use crate::sync::{Mutex, MutexGuard, lock};

/// Entries that were made and are nothing yet.
#[derive(Default)]
pub(super) struct Begun(Mutex<HashSet<Node>>);

impl Begun {
    pub(super) fn add(&self, item: Node) {
        self.all().insert(item);
    }

    /// It is there, or gone. Answers whether it was one.
    pub(super) fn remove(&self, item: &Node) -> bool {
        self.all().remove(item)
    }

    pub(super) fn has(&self, item: &Node) -> bool {
        self.all().contains(item)
    }

    /// The image is gone, and what was begun in it.
    pub(super) fn forget(&self, image: ImageId) {
        self.all().retain(|item| item.image() != Some(image));
    }

    /// The entries of a folder.
    pub(super) fn of(&self, image: ImageId, collection: Collection) -> Vec<Box<str>> {
        let entry = |item: &Node| match item {
            Node::Item(of, within, entry) if (*of, *within) == (image, collection) => Some(entry.clone()),
            _ => None,
        };
        let mut begun: Vec<_> = self.all().iter().filter_map(entry).collect();
        begun.sort_unstable();
        begun
    }

    fn all(&self) -> MutexGuard<'_, HashSet<Node>> {
        lock(&self.0)
    }
}

impl FileSystem {
    /// An entry was made and is nothing yet.
    pub(super) fn begin(&self, id: ImageId, collection: Collection, entry: &str) {
        self.begun.add(Node::Item(id, collection, entry.into()));
        self.lists_otherwise(Place::Collection(id, collection));
    }

    /// It is there, or gone. Answers whether it was one that is nothing yet.
    pub(super) fn end_begun(&self, node: &Node) -> bool {
        let was = self.begun.remove(node);
        if let (true, Node::Item(id, collection, _)) = (was, node) {
            self.lists_otherwise(Place::Collection(*id, *collection));
        }
        was
    }

    /// Notes what came of a write to a small file. Where one was refused that was only begun there is none, and who looks for
    /// the reason finds the folder.
    pub(super) fn noted_write(&self, ino: Ino, node: &Node, outcome: Result<()>) -> Result<()> {
        let is_gone = outcome.is_err() && self.end_begun(node);
        let outcome = self.noted(ino, node, outcome);
        if is_gone {
            self.tell_folder(&node.parent(), ino);
        }
        outcome
    }

    /// Somebody wants what he made to be there as it is: without a text.
    pub(super) async fn settle_begun(&self, node: &Node) -> Result<()> {
        if !self.begun.has(node) {
            return Ok(());
        }
        let outcome = self.make_begun(node).await;
        self.noted_write(self.inodes.number(node), node, outcome)
    }

    pub(super) async fn make_begun(&self, node: &Node) -> Result<()> {
        let Node::Item(id, collection, entry) = node else { return Ok(()) };
        let image = self.catalogue.image(*id).await?.value;
        self.make_known(&image, *collection, entry).await
    }

    /// Somebody sets the time of an entry, and writes nothing: it is to be there. Who gives a time may be copying, entry by
    /// entry, and the present one is what `touch` sets.
    pub(super) async fn touched(&self, ino: Ino, node: &Node, modified: Modified) -> Result<()> {
        if self.begun.has(node) || modified != Modified::Now {
            return self.settle_begun(node).await;
        }
        let outcome = self.put_back(node).await;
        self.noted(ino, node, outcome)
    }

    /// Makes an entry that is there, as far as is known, if somebody has removed it since.
    pub(super) async fn put_back(&self, node: &Node) -> Result<()> {
        let Node::Item(id, collection, entry) = node else { return Ok(()) };
        let image = if *collection == Collection::Members {
            self.catalogue.forget_members(*id);
            self.catalogue.image(*id).await?.value
        } else {
            self.look(*id).await?.into()
        };
        let name = self.name_for(&image, *collection, entry).await?;
        if self.has_item(&image, *collection, &name).await? {
            return Ok(());
        }
        self.make_known(&image, *collection, entry).await
    }
}
