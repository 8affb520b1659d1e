//! Inode numbers: derived from what a node is, so that they survive a remount; and which nodes the kernel knows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::node::{Collection, Document, Node, View};
use super::position::{hash, within};
use crate::image::ImageId;

/// The number of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount (`FUSE_ROOT_ID` of `linux/fuse.h`).
    pub const ROOT: Self = Self(1);
}

/// How many places are tried for what finds its own taken. A million nodes meet one collision in a hundred million mounts;
/// two on one place never.
const PROBES: u64 = 8;

/// The lowest bits of a number: which of an image's own files and folders it is, or [`ANOTHER`].
const KIND_BITS: u32 = 4;

/// What stands in those bits where it is none of them: an entry of a collection, a scratch file, a folder of the mount.
const ANOTHER: u64 = (1 << KIND_BITS) - 1;

/// An image's own files and folders, by the lowest bits of their numbers.
const OWN: [fn(ImageId) -> Node; 13] = [
    |id| Node::Image(id, View::ById),
    |id| Node::Image(id, View::ByName),
    Node::Data,
    |id| Node::Document(id, Document::Metadata),
    |id| Node::Document(id, Document::Status),
    |id| Node::Document(id, Document::Checksums),
    |id| Node::Document(id, Document::Import),
    |id| Node::Collection(id, View::ById, Collection::Members),
    |id| Node::Collection(id, View::ById, Collection::Tags),
    |id| Node::Collection(id, View::ById, Collection::Properties),
    |id| Node::Collection(id, View::ByName, Collection::Members),
    |id| Node::Collection(id, View::ByName, Collection::Tags),
    |id| Node::Collection(id, View::ByName, Collection::Properties),
];

/// The nodes that the kernel knows, with the number of times it was told of each.
///
/// A node stays until the kernel has forgotten it as often as it was told (`FUSE_FORGET`). Of an image's own files and
/// folders, of which a hundred thousand images have a million, there is one count for all of them.
#[derive(Debug, Default)]
pub(super) struct Inodes(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    images: Table<ImageId>,
    others: Table<Node>,
}

/// What is known, by the upper bits of its numbers.
#[derive(Debug)]
struct Table<T> {
    known: HashMap<u64, Known<T>>,
    /// How many of them are at another place than their own, where somebody else was.
    moved: usize,
}

#[derive(Debug)]
struct Known<T> {
    what: T,
    told: u64,
    is_moved: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), moved: 0 }
    }
}

impl<T: Clone + PartialEq> Table<T> {
    /// Where it is, or the first free place for it.
    fn place(&self, what: &T, own: u64) -> u64 {
        let mut free = None;
        let probes =
            if self.moved == 0 && self.known.get(&own).is_none_or(|known| known.what == *what) { 1 } else { PROBES };
        for place in (0..probes).map(|step| within(own.wrapping_add(step))) {
            match self.known.get(&place) {
                Some(other) if other.what == *what => return place,
                Some(_) => {}
                None => free = free.or(Some(place)),
            }
        }
        free.unwrap_or(own)
    }

    fn tell(&mut self, what: T, own: u64) -> u64 {
        let place = self.place(&what, own);
        match self.known.entry(place) {
            Entry::Occupied(mut entry) => entry.get_mut().told += 1,
            Entry::Vacant(entry) => {
                let is_moved = place != own;
                self.moved += usize::from(is_moved);
                entry.insert(Known { what, told: 1, is_moved });
            }
        }
        place
    }

    fn forget(&mut self, place: u64, count: u64) {
        if let Entry::Occupied(mut entry) = self.known.entry(place) {
            let left = entry.get().told.saturating_sub(count);
            if left == 0 {
                self.moved -= usize::from(entry.remove().is_moved);
            } else {
                entry.get_mut().told = left;
            }
        }
    }

    fn get(&self, place: u64) -> Option<&T> {
        self.known.get(&place).map(|known| &known.what)
    }
}

impl Inodes {
    /// The number of a node, counted as told to the kernel once more.
    pub(super) fn tell(&self, node: Node) -> Ino {
        let mut known = self.known();
        match own_kind(&node) {
            _ if node == Node::Root => Ino::ROOT,
            Some((id, kind)) => number(known.images.tell(id, hash(id.as_str())), kind),
            None => {
                let own = hash(&node.path());
                number(known.others.tell(node, own), ANOTHER)
            }
        }
    }

    /// The number of a node, without telling anybody (for `.`, `..` and plain listings).
    pub(super) fn number(&self, node: &Node) -> Ino {
        let known = self.known();
        match own_kind(node) {
            _ if *node == Node::Root => Ino::ROOT,
            Some((id, kind)) => number(known.images.place(&id, hash(id.as_str())), kind),
            None => number(known.others.place(node, hash(&node.path())), ANOTHER),
        }
    }

    /// The node of a number that the kernel was told; the root is always known.
    pub(super) fn node(&self, ino: Ino) -> Option<Node> {
        if ino == Ino::ROOT {
            return Some(Node::Root);
        }
        let (place, kind) = parts(ino);
        let known = self.known();
        if kind == ANOTHER {
            return known.others.get(place).cloned();
        }
        let own = usize::try_from(kind).ok().and_then(|kind| OWN.get(kind))?;
        known.images.get(place).map(|id| own(*id))
    }

    /// The kernel forgot `count` of the times that it was told of `ino`.
    pub(super) fn forget(&self, ino: Ino, count: u64) {
        let (place, kind) = parts(ino);
        let mut known = self.known();
        if kind == ANOTHER { known.others.forget(place, count) } else { known.images.forget(place, count) }
    }

    /// The numbers of an image's own folders and of its data, which the kernel may know; none where it knows nothing of the
    /// image.
    pub(super) fn of_image(&self, id: ImageId) -> Vec<Ino> {
        let known = self.known();
        let place = known.images.place(&id, hash(id.as_str()));
        if known.images.get(place).is_none() {
            return Vec::new();
        }
        let is_vouched = |node: &Node| !matches!(node, Node::Document(..));
        (0..).zip(OWN).filter(|(_, own)| is_vouched(&own(id))).map(|(kind, _)| number(place, kind)).collect()
    }

    /// How many nodes the kernel knows, the root aside; those of one image are one.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known();
        known.images.known.len() + known.others.known.len()
    }

    fn known(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of an image's own files or folders a node is.
fn own_kind(node: &Node) -> Option<(ImageId, u64)> {
    let collection = |collection: Collection| match collection {
        Collection::Members => 0,
        Collection::Tags => 1,
        Collection::Properties => 2,
    };
    match node {
        Node::Image(id, View::ById) => Some((*id, 0)),
        Node::Image(id, View::ByName) => Some((*id, 1)),
        Node::Data(id) => Some((*id, 2)),
        Node::Document(id, Document::Metadata) => Some((*id, 3)),
        Node::Document(id, Document::Status) => Some((*id, 4)),
        Node::Document(id, Document::Checksums) => Some((*id, 5)),
        Node::Document(id, Document::Import) => Some((*id, 6)),
        Node::Collection(id, View::ById, of) => Some((*id, 7 + collection(*of))),
        Node::Collection(id, View::ByName, of) => Some((*id, 10 + collection(*of))),
        Node::Root
        | Node::Images(_)
        | Node::Files
        | Node::Control
        | Node::ControlFile(_)
        | Node::Item(..)
        | Node::Scratch(_)
        | Node::Queries
        | Node::Query(_)
        | Node::Link(..) => None,
    }
}

fn number(place: u64, kind: u64) -> Ino {
    Ino((place << KIND_BITS) | kind)
}

fn parts(ino: Ino) -> (u64, u64) {
    (ino.0 >> KIND_BITS, ino.0 & ANOTHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::node::Part;

    fn data(digit: char) -> Node {
        Node::Data("0a0b0c0d-0000-4000-8000-00000000000X".replace('X', &digit.to_string()).parse::<ImageId>().unwrap())
    }

    fn tag(name: &str) -> Node {
        Node::Item(data('1').image().unwrap(), Collection::Tags, name.into())
    }

    #[test]
    fn numbers_are_the_same_after_a_remount() {
        // Written down, so that a change of the derivation shows.
        assert_eq!(Inodes::default().number(&data('1')), Ino(6_004_312_292_211_514_866));
        assert_eq!(
            Inodes::default().tell(Node::Images(View::ById)),
            Inodes::default().number(&Node::Images(View::ById))
        );
    }

    #[test]
    fn folders_differ_between_the_views_and_files_do_not() {
        let inodes = Inodes::default();
        let id = data('1').image().unwrap();
        let folder = |view| inodes.number(&Node::Image(id, view));
        assert_ne!(folder(View::ById), folder(View::ByName));
        let tags = |view| inodes.number(&Node::Collection(id, view, Collection::Tags));
        assert_ne!(tags(View::ById), tags(View::ByName));
    }

    #[test]
    fn each_file_and_folder_of_an_image_has_a_number_of_its_own_that_leads_back_to_it() {
        let inodes = Inodes::default();
        let id = data('1').image().unwrap();
        let folders = View::ALL.map(|view| Node::Image(id, view));
        let parts = View::ALL.into_iter().flat_map(|view| Part::ALL.map(|part| Node::part(id, view, part)));
        let mut numbers = std::collections::HashMap::new();
        for node in folders.into_iter().chain(parts).chain([tag("a"), tag("b")]) {
            let ino = inodes.tell(node.clone());
            assert_eq!(inodes.node(ino), Some(node.clone()));
            assert!(numbers.insert(ino, node.clone()).is_none_or(|other| other == node), "{node:?} has another's");
            assert!(ino.0 < 1 << 63 && ino.0 > 1 << 16, "{ino:?}");
        }
        assert_eq!(inodes.len(), 3, "an image is one, whatever is known of it");
    }

    #[test]
    fn a_node_is_known_until_it_is_forgotten_as_often_as_it_was_told() {
        for node in [data('1'), tag("a")] {
            let inodes = Inodes::default();
            let ino = inodes.tell(node.clone());
            assert_eq!(inodes.tell(node.clone()), ino);
            inodes.forget(ino, 1);
            assert_eq!(inodes.node(ino), Some(node));
            inodes.forget(ino, 1);
            assert_eq!(inodes.node(ino), None);
            inodes.forget(ino, 5);
            assert_eq!(inodes.len(), 0);
            assert_eq!(inodes.node(Ino::ROOT), Some(Node::Root));
        }
    }

    #[test]
    fn an_image_is_known_while_any_of_its_files_is() {
        let inodes = Inodes::default();
        let id = data('1').image().unwrap();
        assert_eq!(inodes.of_image(id), []);
        let (file, folder) = (inodes.tell(data('1')), inodes.tell(Node::Image(id, View::ById)));
        inodes.forget(folder, 1);
        assert_eq!(inodes.node(file), Some(data('1')));
        assert!(inodes.of_image(id).contains(&file) && inodes.of_image(id).contains(&folder));
        inodes.forget(file, 1);
        assert_eq!((inodes.node(file), inodes.of_image(id).len()), (None, 0));
    }

    #[test]
    fn two_nodes_of_one_number_live_side_by_side() {
        let inodes = Inodes::default();
        let own = inodes.number(&data('1'));
        let other = Known { what: data('2').image().unwrap(), told: 1, is_moved: false };
        inodes.known().images.known.insert(parts(own).0, other);
        let moved = inodes.tell(data('1'));
        assert_ne!(moved, own);
        assert_eq!(inodes.tell(data('1')), moved);
        inodes.forget(own, 1);
        assert_eq!(inodes.number(&data('1')), moved, "it keeps its place while the kernel knows it");
    }
}
