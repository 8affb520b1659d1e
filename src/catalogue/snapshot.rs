//! The images of one listing, by id and by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::by_name::Index;
use super::changes::Change;
use crate::image::{Image, ImageId, Visibility};

/// An immutable listing.
#[derive(Debug, Default)]
pub struct Snapshot {
    images: HashMap<ImageId, Arc<Image>>,
    names: Index,
}

impl Snapshot {
    /// The listing of these images; of an image that two pages showed, the later one.
    pub fn new(images: impl IntoIterator<Item = Image>) -> Self {
        Self::of(images.into_iter().map(|image| (image.id, Arc::new(image))).collect())
    }

    fn of(images: HashMap<ImageId, Arc<Image>>) -> Self {
        let holders = images.values().filter_map(|image| Some((image.id, image.name.as_deref()?)));
        let names = Index::new(holders);
        Self { images, names }
    }

    /// The same with a change. A hidden or a community image is in no listing, whoever changed it.
    pub(super) fn with(&self, change: &Change) -> Self {
        let mut images = self.images.clone();
        match change {
            Change::Image(image) if is_listed(image) => images.insert(image.id, Arc::clone(image)),
            Change::Image(image) => images.remove(&image.id),
            Change::Gone(id) => images.remove(id),
        };
        Self::of(images)
    }

    /// An image by its id.
    pub fn image(&self, id: ImageId) -> Option<&Arc<Image>> {
        self.images.get(&id)
    }

    /// All images, in no order.
    pub fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The entries of `by-name`.
    pub fn names(&self) -> &Index {
        &self.names
    }
}

/// Whether the service lists an image of our own project.
fn is_listed(image: &Image) -> bool {
    !image.hidden && image.visibility != Visibility::Community
}
