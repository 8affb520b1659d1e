//! What a listing shows otherwise than the one before: what a kernel has to forget.

use std::sync::Arc;

use super::changes::Change;
use super::snapshot::Snapshot;
use crate::image::{Image, ImageId};

/// What became otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The images that are new, gone, or otherwise than before.
    pub images: Vec<ImageId>,
    /// The entries of `by-name` that stand for no image any more, or for another one.
    pub names: Vec<Box<str>>,
    /// Folders of images have other entries than before.
    pub entries: bool,
}

impl Difference {
    /// Nothing is otherwise.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.names.is_empty() && !self.entries
    }

    /// Makes changes to a listing, and adds what they make otherwise.
    pub(super) fn make(&mut self, changes: &[Change], listing: &mut Snapshot) {
        let before = changes.iter().filter_map(|change| listing.image(change.image()).map(AsRef::as_ref));
        let now = changes.iter().filter_map(Change::now);
        let (entries, version) = (listing.names().around(before.chain(now)), listing.version());
        for change in changes {
            listing.change(change);
        }
        self.compare(&entries, version, listing);
    }

    /// Adds what is otherwise in a listing than in the one before it.
    pub(super) fn add(&mut self, before: &Snapshot, now: &Snapshot) {
        let unlike = |one: &Snapshot, other: &Snapshot| -> Vec<_> {
            let is_same = |image: &Arc<Image>, other: &Arc<Image>| Arc::ptr_eq(image, other) || image == other;
            let is_unlike = |image: &&Arc<Image>| !other.image(image.id).is_some_and(|other| is_same(image, other));
            one.images().iter().filter(is_unlike).cloned().collect()
        };
        let (gone, new) = (unlike(before, now), unlike(now, before));
        let entries = before.names().around(gone.iter().chain(&new).map(AsRef::as_ref));
        let came = new.iter().filter(|image| before.image(image.id).is_none());
        self.images.extend(gone.iter().chain(came).map(|image| image.id));
        self.compare(&entries, before.version(), now);
    }

    fn compare(&mut self, entries: &[(Box<str>, ImageId)], version: u64, now: &Snapshot) {
        let is_other = |(entry, id): &&(Box<str>, ImageId)| now.names().get(entry) != Some(*id);
        self.names.extend(entries.iter().filter(is_other).map(|(entry, _)| entry.clone()));
        self.entries |= version != now.version();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::fs::testing::{id, image};

    fn entries(listing: &Snapshot) -> BTreeMap<String, ImageId> {
        listing.names().iter().map(|(entry, id)| (entry.into_owned(), id)).collect()
    }

    fn change((number, name): &(u32, Option<String>)) -> Change {
        match name {
            Some(name) => Change::Image(Arc::new(image(*number, name))),
            None => Change::Gone(id(*number)),
        }
    }

    proptest! {
        /// Whatever the kernel was told of and is not so any more, it is told to forget, however the change was learnt.
        #[test]
        fn each_entry_that_is_none_any_more_is_told(
            first in prop::collection::btree_map(1..9_u32, "|[xy]|x~0000000[12]|[xy]~00000001", 0..8),
            then in prop::collection::vec((1..9_u32, prop::option::of("|[xy]|x~0000000[12]")), 0..6),
        ) {
            let before = Snapshot::new(first.iter().map(|(number, name)| image(*number, name)));
            let changes: Vec<Change> = then.iter().map(change).collect();
            let (mut now, mut made) = (before.clone(), Difference::default());
            made.make(&changes, &mut now);
            let mut seen = Difference::default();
            let fresh = Snapshot::of(now.images().to_vec()).behind(&before);
            seen.add(&before, &fresh);

            let (old, new) = (entries(&before), entries(&now));
            for difference in [&made, &seen] {
                for (entry, id) in &old {
                    let told = difference.names.iter().any(|name| **name == **entry);
                    prop_assert_eq!(told, new.get(entry) != Some(id), "{}: {:?}", entry, difference);
                }
                prop_assert!(difference.entries || old == new);
            }
            for image in before.images().iter().chain(now.images()) {
                let same = before.image(image.id) == now.image(image.id);
                prop_assert_eq!(seen.images.contains(&image.id), !same);
            }
        }
    }
}
