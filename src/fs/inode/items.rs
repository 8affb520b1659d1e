//! Entries of images' collections. A hundred thousand images have half a million of them, under a few names.

use std::collections::HashSet;
use std::sync::Arc;

use super::Ino;

/// A tag, a property or a member that the kernel knows.
#[derive(Debug)]
pub(super) struct Item {
    /// The folder that it is in, as under `by-id`. Its image is known for as long as the item is.
    pub(super) folder: Ino,
    /// Its name there.
    pub(super) name: Arc<str>,
}

impl Item {
    pub(super) fn is(&self, folder: Ino, name: &str) -> bool {
        self.folder == folder && *self.name == *name
    }
}

/// The names of items, each once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// A name, shared with all others who have the same one.
    pub(super) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }

    /// Gives a name back.
    pub(super) fn give_back(&mut self, name: &Arc<str>) {
        // This one and the set's own.
        if Arc::strong_count(name) == 2 {
            self.0.remove(name);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
