//! Removals that are remembered and not executed.
//!
//! `rm -r` removes what is in a folder before the folder. The files of an image cannot be removed one by one, and the
//! folder's removal deletes the image; so a file that is removed is only hidden until then, and is back if it does not
//! come to that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::node::{Collection, Node, Part, View};
use crate::image::ImageId;

/// How long a file stays hidden whose folder is not removed: `rm -r` of an image's folder takes a few round trips.
const HIDDEN: Duration = Duration::from_secs(5);

/// What was removed, and when.
#[derive(Debug, Default)]
pub(super) struct Removals(Mutex<HashMap<Node, Instant>>);

impl Removals {
    /// A file, or a folder in an image's folder, is hidden from now on.
    pub(super) fn remember(&self, node: Node) {
        let mut hidden = self.hidden();
        hidden.retain(|_, since| since.elapsed() < HIDDEN);
        hidden.insert(node, Instant::now());
    }

    /// It is back. Answers whether it was hidden.
    pub(super) fn recall(&self, node: &Node) -> bool {
        self.hidden().remove(node).is_some()
    }

    /// Whether it is hidden.
    pub(super) fn is_hidden(&self, node: &Node) -> bool {
        self.hidden().get(node).is_some_and(|since| since.elapsed() < HIDDEN)
    }

    /// Whether anything of an image is hidden.
    pub(super) fn is_in(&self, image: ImageId) -> bool {
        self.hidden().iter().any(|(node, since)| node.image() == Some(image) && since.elapsed() < HIDDEN)
    }

    /// What is hidden in a folder of an image, by its name there, sorted.
    pub(super) fn of(&self, image: ImageId, view: View) -> Vec<&'static str> {
        let is_hidden = |part: &Part| self.is_hidden(&Node::part(image, view, *part));
        if self.is_in(image) { Part::ALL.into_iter().filter(is_hidden).map(Part::name).collect() } else { Vec::new() }
    }

    /// What is hidden in `members/`, `tags/` or `properties/` of an image, by its name there, sorted.
    pub(super) fn items(&self, image: ImageId, within: Collection) -> Vec<Box<str>> {
        let name = |(node, since): (&Node, &Instant)| match node {
            Node::Item(id, collection, name) if *id == image && *collection == within && since.elapsed() < HIDDEN => {
                Some(name.clone())
            }
            _ => None,
        };
        let mut hidden: Vec<_> = self.hidden().iter().filter_map(name).collect();
        hidden.sort_unstable();
        hidden
    }

    /// The image is gone, and nothing of it needs to be hidden.
    pub(super) fn forget(&self, image: ImageId) {
        self.hidden().retain(|node, _| node.image() != Some(image));
    }

    fn hidden(&self) -> MutexGuard<'_, HashMap<Node, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
