//! Inode numbers: derived from what a node is, so that they survive a remount; and which nodes the kernel knows.

mod items;
mod table;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use items::{Item, Names};
use table::Table;

use super::node::{Collection, Document, Node, View};
use super::position::hash;
use crate::image::ImageId;

/// The number of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount (`FUSE_ROOT_ID` of `linux/fuse.h`).
    pub const ROOT: Self = Self(1);
}

/// The lowest bits of a number: which of an image's own files and folders it is, [`ITEM`] or [`ANOTHER`].
const KIND_BITS: u32 = 4;

/// What stands in those bits for an entry of a collection.
const ITEM: u64 = ANOTHER - 1;

/// What stands there for all else: a scratch file, a folder of the mount.
const ANOTHER: u64 = (1 << KIND_BITS) - 1;

/// An image's own files and folders, by the lowest bits of their numbers.
const OWN: [fn(ImageId) -> Node; 14] = [
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
    |id| Node::Document(id, Document::Progress),
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
    items: Table<Item>,
    names: Names,
    others: Table<Node>,
    /// When images that the kernel knows became others, or what their folders list. What a folder lists may come to be again
    /// what it was before; who read it in between is not to be believed. A kernel that has forgotten the image has nothing to
    /// believe in.
    turned: HashMap<ImageId, u64>,
    /// Counts those turns. No image has one twice.
    turns: u64,
}

impl Inodes {
    /// The number of a node, counted as told to the kernel once more.
    pub(super) fn tell(&self, node: Node) -> Ino {
        self.known().tell(node)
    }

    /// The number of a node, without telling anybody (for `.`, `..` and plain listings).
    pub(super) fn number(&self, node: &Node) -> Ino {
        self.known().number(node, own_place(node))
    }

    /// The node of a number that the kernel was told; the root is always known.
    pub(super) fn node(&self, ino: Ino) -> Option<Node> {
        if ino == Ino::ROOT { Some(Node::Root) } else { self.known().node(ino) }
    }

    /// The kernel forgot `count` of the times that it was told of `ino`.
    pub(super) fn forget(&self, ino: Ino, count: u64) {
        self.known().forget(ino, count);
    }

    /// The numbers of an image's own folders and of its data, which the kernel may know; none where it knows nothing of the
    /// image.
    pub(super) fn of_image(&self, id: ImageId) -> Vec<Ino> {
        let known = self.known();
        let place = known.image(id);
        if known.images.get(place).is_none() {
            return Vec::new();
        }
        let is_vouched = |node: &Node| !matches!(node, Node::Document(..));
        (0..).zip(OWN).filter(|(_, own)| is_vouched(&own(id))).map(|(kind, _)| number(place, kind)).collect()
    }

    /// An image became another one, or its folders list otherwise. Answers as [`Self::of_image`].
    pub(super) fn turn(&self, id: ImageId) -> Vec<Ino> {
        self.known().turn(id);
        self.of_image(id)
    }

    /// When that was so the last time; `None` where the kernel has known nothing of the image since.
    pub(super) fn turned(&self, id: ImageId) -> Option<u64> {
        self.known().turned.get(&id).copied()
    }

    /// How many nodes the kernel knows, the root aside; those of one image are one.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known();
        known.images.len() + known.items.len() + known.others.len()
    }

    fn known(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn tell(&mut self, node: Node) -> Ino {
        let own = own_place(&node);
        let ino = self.number(&node, own);
        let (place, _) = parts(ino);
        match node {
            Node::Root => {}
            Node::Item(id, collection, name) => {
                let folder = self.folder(id, collection);
                let Self { images, items, names, .. } = self;
                items.tell(place, own, || {
                    images.tell(parts(folder).0, hash(id.as_bytes()), || id);
                    Item { folder, name: names.share(&name) }
                });
            }
            node => match own_kind(&node) {
                Some((id, _)) => self.images.tell(place, own, || id),
                None => self.others.tell(place, own, || node),
            },
        }
        ino
    }

    fn number(&self, node: &Node, own: u64) -> Ino {
        match (node, own_kind(node)) {
            (Node::Root, _) => Ino::ROOT,
            (_, Some((id, kind))) => number(self.images.place(own, |known| *known == id), kind),
            (Node::Item(id, collection, name), _) => {
                let folder = self.folder(*id, *collection);
                number(self.items.place(own, |known| known.is(folder, name)), ITEM)
            }
            _ => number(self.others.place(own, |known| known == node), ANOTHER),
        }
    }

    /// The place of an image.
    fn image(&self, id: ImageId) -> u64 {
        self.images.place(hash(id.as_bytes()), |known| *known == id)
    }

    /// The folder by which an item is known.
    fn folder(&self, id: ImageId, collection: Collection) -> Ino {
        number(self.image(id), kind_of(View::ById, collection))
    }

    fn turn(&mut self, id: ImageId) {
        if self.images.get(self.image(id)).is_some() {
            self.turns = self.turns.wrapping_add(1);
            self.turned.insert(id, self.turns);
        }
    }

    /// The kernel forgot `count` of the times that it was told of something of an image.
    fn forget_image(&mut self, place: u64, count: u64) {
        if let Some(id) = self.images.forget(place, count) {
            self.turned.remove(&id);
        }
    }

    fn node(&self, ino: Ino) -> Option<Node> {
        let (place, kind) = parts(ino);
        match kind {
            ITEM => {
                let Item { folder, name } = self.items.get(place)?;
                match self.node(*folder)? {
                    Node::Collection(id, _, collection) => Some(Node::Item(id, collection, name.as_ref().into())),
                    _ => None,
                }
            }
            ANOTHER => self.others.get(place).cloned(),
            _ => {
                let own = usize::try_from(kind).ok().and_then(|kind| OWN.get(kind))?;
                self.images.get(place).map(|id| own(*id))
            }
        }
    }

    fn forget(&mut self, ino: Ino, count: u64) {
        let (place, kind) = parts(ino);
        match kind {
            ITEM => {
                if let Some(Item { folder, name }) = self.items.forget(place, count) {
                    self.forget_image(parts(folder).0, 1);
                    self.names.give_back(&name);
                }
            }
            ANOTHER => drop(self.others.forget(place, count)),
            _ => self.forget_image(place, count),
        }
    }
}

/// The place that a node has where nobody else is: for all that is an image's own, that of the image.
fn own_place(node: &Node) -> u64 {
    own_kind(node).map_or_else(|| hash(node.path().as_bytes()), |(id, _)| hash(id.as_bytes()))
}

/// Which of an image's own files and folders a collection is.
fn kind_of(view: View, collection: Collection) -> u64 {
    let first = match view {
        View::ById => 7,
        View::ByName => 10,
    };
    first
        + match collection {
            Collection::Members => 0,
            Collection::Tags => 1,
            Collection::Properties => 2,
        }
}

/// Which of an image's own files or folders a node is.
fn own_kind(node: &Node) -> Option<(ImageId, u64)> {
    match node {
        Node::Image(id, View::ById) => Some((*id, 0)),
        Node::Image(id, View::ByName) => Some((*id, 1)),
        Node::Data(id) => Some((*id, 2)),
        Node::Document(id, Document::Metadata) => Some((*id, 3)),
        Node::Document(id, Document::Status) => Some((*id, 4)),
        Node::Document(id, Document::Checksums) => Some((*id, 5)),
        Node::Document(id, Document::Import) => Some((*id, 6)),
        Node::Document(id, Document::Progress) => Some((*id, 13)),
        Node::Collection(id, view, collection) => Some((*id, kind_of(*view, *collection))),
        // Few images are made of servers: there is no number left for this one.
        Node::Document(_, Document::Server)
        | Node::Root
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
        assert_eq!(Inodes::default().tell(tag("a")), Ino(8_621_795_498_489_241_502));
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
        assert_eq!(inodes.len(), 4, "an image is one, whatever is known of it but its server and its tags");
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
    fn a_turn_of_an_image_is_known_while_the_image_is_and_is_no_other_ones() {
        let inodes = Inodes::default();
        let id = data('1').image().unwrap();
        assert_eq!((inodes.turn(id), inodes.turned(id)), (Vec::new(), None), "the kernel knows nothing of it");
        let (file, item) = (inodes.tell(data('1')), inodes.tell(tag("a")));
        assert!(inodes.turn(id).contains(&file));
        let first = inodes.turned(id);
        inodes.forget(file, 1);
        assert!(first.is_some() && inodes.turned(id) == first, "one of its tags is known");
        inodes.forget(item, 1);
        assert_eq!((inodes.turned(id), inodes.known().turned.len()), (None, 0));
        inodes.tell(data('1'));
        inodes.turn(id);
        assert!(inodes.turned(id).is_some() && inodes.turned(id) != first, "nor one that it had before");
    }

    #[test]
    fn images_that_come_and_go_leave_no_turns() {
        let inodes = Inodes::default();
        for n in 0..1000 {
            let node = Node::Data(crate::fs::testing::id(n));
            let ino = inodes.tell(node.clone());
            inodes.turn(node.image().unwrap());
            inodes.forget(ino, 1);
        }
        assert_eq!((inodes.len(), inodes.known().turned.len()), (0, 0));
    }

    #[test]
    fn an_item_is_known_when_all_else_of_its_image_was_forgotten() {
        let inodes = Inodes::default();
        let (file, item) = (inodes.tell(data('1')), inodes.tell(tag("a")));
        inodes.forget(file, 1);
        assert_eq!(inodes.node(item), Some(tag("a")));
        assert_eq!((inodes.tell(data('1')), inodes.tell(tag("a"))), (file, item));
        inodes.forget(file, 1);
        inodes.forget(item, 2);
        assert_eq!((inodes.len(), inodes.known().names.len()), (0, 0));
    }

    #[test]
    fn a_name_that_many_images_have_is_held_once_and_not_longer_than_they() {
        let inodes = Inodes::default();
        let of = |digit| Node::Item(data(digit).image().unwrap(), Collection::Properties, "os_distro".into());
        let [one, two] = ['1', '2'].map(|digit| inodes.tell(of(digit)));
        inodes.tell(tag("os_distro"));
        assert_eq!(inodes.known().names.len(), 1);
        inodes.forget(one, 1);
        assert_eq!((inodes.node(two), inodes.node(one)), (Some(of('2')), None));
        assert_eq!(inodes.tell(of('1')), one);
        for item in [one, two, inodes.number(&tag("os_distro"))] {
            assert_eq!(inodes.known().names.len(), 1);
            inodes.forget(item, 1);
        }
        assert_eq!((inodes.len(), inodes.known().names.len()), (0, 0));
    }

    #[test]
    fn two_nodes_of_one_number_live_side_by_side() {
        let inodes = Inodes::default();
        let (own, own_item) = (inodes.number(&data('1')), inodes.number(&tag("a")));
        // Others that are where these belong.
        let there = parts(own).0;
        inodes.known().images.tell(there, there, || data('2').image().unwrap());
        let folder = inodes.tell(Node::Collection(data('3').image().unwrap(), View::ById, Collection::Tags));
        let there = parts(own_item).0;
        inodes.known().items.tell(there, there, || Item { folder, name: "b".into() });
        let nodes = [data('1'), tag("a")];
        let moved = nodes.clone().map(|node| inodes.tell(node));
        assert!(moved[0] != own && moved[1] != own_item);
        assert_eq!(nodes.clone().map(|node| inodes.tell(node)), moved);
        assert_eq!(moved.map(|ino| inodes.node(ino)), nodes.clone().map(Some));
        inodes.forget(own, 1);
        inodes.forget(own_item, 1);
        assert_eq!(nodes.each_ref().map(|node| inodes.number(node)), moved, "it keeps its place while it is known");
        assert_eq!(inodes.of_image(data('1').image().unwrap())[2], moved[0]);
    }
}
