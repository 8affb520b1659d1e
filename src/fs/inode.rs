//! Inode numbers: derived from what a node is, so that they survive a remount; and which nodes the kernel knows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::node::Node;

/// The number of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the mount (`FUSE_ROOT_ID` of `linux/fuse.h`).
    pub const ROOT: Self = Self(1);
}

/// How many numbers are tried for a node whose own is taken. A million nodes meet one collision in a hundred million
/// mounts; two on one place never.
const PROBES: u64 = 8;

/// The nodes that the kernel knows, with the number of times it was told of each.
///
/// A node stays until the kernel has forgotten it as often as it was told (`FUSE_FORGET`).
#[derive(Debug, Default)]
pub(super) struct Inodes(Mutex<HashMap<Ino, Known>>);

#[derive(Debug)]
struct Known {
    node: Node,
    told: u64,
}

impl Inodes {
    /// The number of a node, counted as told to the kernel once more.
    pub(super) fn tell(&self, node: Node) -> Ino {
        let mut known = self.known();
        let ino = place(&known, &node);
        match known.entry(ino) {
            Entry::Occupied(mut entry) => entry.get_mut().told += 1,
            Entry::Vacant(entry) => {
                entry.insert(Known { node, told: 1 });
            }
        }
        ino
    }

    /// The number of a node, without telling anybody (for `.`, `..` and plain listings).
    pub(super) fn number(&self, node: &Node) -> Ino {
        place(&self.known(), node)
    }

    /// The node of a number that the kernel was told; the root is always known.
    pub(super) fn node(&self, ino: Ino) -> Option<Node> {
        if ino == Ino::ROOT {
            return Some(Node::Root);
        }
        self.known().get(&ino).map(|known| known.node.clone())
    }

    /// The kernel forgot `count` of the times that it was told of `ino`.
    pub(super) fn forget(&self, ino: Ino, count: u64) {
        let mut known = self.known();
        if let Entry::Occupied(mut entry) = known.entry(ino) {
            let left = entry.get().told.saturating_sub(count);
            if left == 0 {
                entry.remove();
            } else {
                entry.get_mut().told = left;
            }
        }
    }

    /// How many nodes the kernel knows, the root aside.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Ino, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the node is, or the first free place for it.
fn place(known: &HashMap<Ino, Known>, node: &Node) -> Ino {
    if *node == Node::Root {
        return Ino::ROOT;
    }
    let places = (0..PROBES).map(|step| Ino(derived(node).wrapping_add(step)));
    let mut free = None;
    for ino in places {
        match known.get(&ino) {
            Some(other) if other.node == *node => return ino,
            Some(_) => {}
            None => free = free.or(Some(ino)),
        }
    }
    free.unwrap_or_else(|| Ino(derived(node)))
}

/// The number that a node has by itself: FNV-1a over its path, stirred, within 63 bits (some programs take a number
/// with the highest bit for a negative one) and above the small ones.
fn derived(node: &Node) -> u64 {
    let mut hash = node
        .path()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((hash ^ (hash >> 32)) >> 1).max(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::node::{Collection, View};
    use crate::image::ImageId;

    fn data(digit: char) -> Node {
        Node::Data("0a0b0c0d-0000-4000-8000-00000000000X".replace('X', &digit.to_string()).parse::<ImageId>().unwrap())
    }

    #[test]
    fn numbers_are_the_same_after_a_remount() {
        // Written down, so that a change of the derivation shows.
        assert_eq!(Inodes::default().number(&data('1')), Ino(1_364_817_907_554_380_137));
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
    fn a_node_is_known_until_it_is_forgotten_as_often_as_it_was_told() {
        let inodes = Inodes::default();
        let ino = inodes.tell(data('1'));
        assert_eq!(inodes.tell(data('1')), ino);
        inodes.forget(ino, 1);
        assert_eq!(inodes.node(ino), Some(data('1')));
        inodes.forget(ino, 1);
        assert_eq!(inodes.node(ino), None);
        inodes.forget(ino, 5);
        assert_eq!(inodes.len(), 0);
        assert_eq!(inodes.node(Ino::ROOT), Some(Node::Root));
    }

    #[test]
    fn two_nodes_of_one_number_live_side_by_side() {
        let inodes = Inodes::default();
        let own = inodes.number(&data('1'));
        inodes.known().insert(own, Known { node: data('2'), told: 1 });
        let moved = inodes.tell(data('1'));
        assert_ne!(moved, own);
        assert_eq!(inodes.tell(data('1')), moved);
        inodes.forget(own, 1);
        assert_eq!(inodes.number(&data('1')), moved, "it keeps its place while the kernel knows it");
    }
}
