//! Which way an image's bytes come: by ranges, or as one stream because its store cannot seek.
//!
//! Whether it can is a property of the store and never changes, so it is learnt from the first refusal and remembered.

use std::collections::HashSet;

use super::Content;
use super::board::Way;
use crate::cache::Identity;
use crate::image::Text;
use crate::service::Kind;

/// What is known about stores.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Stores that answer no ranges.
    seekless: HashSet<Text>,
    /// Contents that were refused as a range while the service chose the store: we choose now.
    chosen: HashSet<Identity>,
    /// Contents that were refused as a range, in stores not told or by somebody else than the store.
    streams: HashSet<Identity>,
}

/// Who refused a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The store, which refuses each of them.
    ByStore,
    /// Somebody who may have done it once.
    BySomebody,
}

impl Refused {
    /// Whether a failure is a refused range.
    pub(super) fn of(failure: &Kind) -> Option<Self> {
        match failure {
            Kind::Unseekable => Some(Self::ByStore),
            Kind::Unranged => Some(Self::BySomebody),
            _ => None,
        }
    }
}

impl Routes {
    /// The way to the bytes of `content`, as far as is known.
    pub(super) fn of(&self, content: &Content, identity: &Identity) -> Way {
        if self.streams.contains(identity) {
            return Way::Whole;
        }
        let Some(seeking) = content.stores.iter().find(|store| !self.seekless.contains(*store)) else {
            return if content.stores.is_empty() { Way::Ranges(None) } else { Way::Whole };
        };
        let choose = self.chosen.contains(identity) || content.stores.iter().any(|store| self.seekless.contains(store));
        Way::Ranges(choose.then(|| seeking.clone()))
    }

    /// Learns that a range of `content` was refused, asked for from `store`.
    pub(super) fn refused(&mut self, content: &Content, identity: &Identity, store: Option<&str>, refused: Refused) {
        match (store, content.stores.as_slice()) {
            // Other images of this store are not to be read as streams for the one answer to this.
            _ if refused == Refused::BySomebody => {
                self.streams.insert(identity.clone());
            }
            (Some(store), _) => {
                self.seekless.insert(store.into());
            }
            (None, [only]) => {
                self.seekless.insert(only.clone());
            }
            (None, []) => {
                self.streams.insert(identity.clone());
            }
            (None, _) => {
                self.chosen.insert(identity.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Checksums, ImageId};

    fn content(stores: &[&str]) -> (Content, Identity) {
        let (image, checksums) = (ImageId::random(), Checksums::default());
        let stores = stores.iter().copied().map(Text::from).collect();
        let identity = Identity::new(image, 1, checksums.clone());
        (Content { image, size: 1, checksums, stores }, identity)
    }

    #[test]
    fn a_refusal_is_remembered_for_all_images_of_the_store() {
        let mut routes = Routes::default();
        let (one, other) = (content(&["rbd"]), content(&["rbd"]));
        assert_eq!(routes.of(&one.0, &one.1), Way::Ranges(None));
        routes.refused(&one.0, &one.1, None, Refused::ByStore);
        assert_eq!(routes.of(&other.0, &other.1), Way::Whole);
        let elsewhere = content(&["file"]);
        assert_eq!(routes.of(&elsewhere.0, &elsewhere.1), Way::Ranges(None));
    }

    #[test]
    fn a_refusal_by_somebody_else_says_nothing_of_other_images() {
        for stores in [&["rbd"] as &[_], &["rbd", "file"], &[]] {
            let mut routes = Routes::default();
            let (one, other) = (content(stores), content(stores));
            routes.refused(&one.0, &one.1, None, Refused::BySomebody);
            assert_eq!(routes.of(&one.0, &one.1), Way::Whole);
            assert_eq!(routes.of(&other.0, &other.1), Way::Ranges(None));
        }
    }

    #[test]
    fn without_stores_a_refusal_is_remembered_for_the_image() {
        let mut routes = Routes::default();
        let (one, other) = (content(&[]), content(&[]));
        routes.refused(&one.0, &one.1, None, Refused::ByStore);
        assert_eq!(routes.of(&one.0, &one.1), Way::Whole);
        assert_eq!(routes.of(&other.0, &other.1), Way::Ranges(None));
    }

    #[test]
    fn a_copy_in_a_store_that_can_seek_is_preferred() {
        let mut routes = Routes::default();
        let (both, identity) = content(&["rbd", "file"]);
        routes.refused(&both, &identity, None, Refused::ByStore);
        assert_eq!(routes.of(&both, &identity), Way::Ranges(Some("rbd".into())));
        routes.refused(&both, &identity, Some("rbd"), Refused::ByStore);
        assert_eq!(routes.of(&both, &identity), Way::Ranges(Some("file".into())));
        routes.refused(&both, &identity, Some("file"), Refused::ByStore);
        assert_eq!(routes.of(&both, &identity), Way::Whole);
    }
}
