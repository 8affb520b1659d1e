//! The images of one listing, by id and by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::by_name::Index;
use crate::image::{Image, ImageId};

/// An immutable listing.
#[derive(Debug, Default)]
pub struct Snapshot {
    images: HashMap<ImageId, Arc<Image>>,
    names: Index,
}

impl Snapshot {
    /// The listing of these images; of an image that two pages showed, the later one.
    pub fn new(images: impl IntoIterator<Item = Image>) -> Self {
        let images: HashMap<_, _> = images.into_iter().map(|image| (image.id, Arc::new(image))).collect();
        let holders = images.values().filter_map(|image| Some((image.id, image.name.as_deref()?)));
        let names = Index::new(holders);
        Self { images, names }
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
