//! The images of one listing, by id, by name and as flat files.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::by_name::Index;
use super::changes::Change;
use super::flat::{self, Flat};
use crate::image::{Image, ImageId, Visibility};

/// An immutable listing.
#[derive(Debug, Default)]
pub struct Snapshot {
    images: HashMap<ImageId, Arc<Image>>,
    names: Arc<Index>,
    /// Made when somebody looks.
    files: OnceLock<Flat>,
}

impl Snapshot {
    /// The listing of these images; of an image that two pages showed, the later one.
    pub fn new(images: impl IntoIterator<Item = Image>) -> Self {
        Self::of(images.into_iter().map(|image| (image.id, Arc::new(image))).collect(), None)
    }

    /// The listing of these images; `names` where they are known.
    fn of(images: HashMap<ImageId, Arc<Image>>, names: Option<Arc<Index>>) -> Self {
        let holders = images.values().filter_map(|image| Some((image.id, image.name.as_deref()?)));
        let names = names.unwrap_or_else(|| Arc::new(Index::new(holders)));
        Self { images, names, files: OnceLock::new() }
    }

    /// The same with a change. A hidden or a community image is in no listing, whoever changed it.
    pub(super) fn with(&self, change: &Change) -> Self {
        let mut images = self.images.clone();
        let is_named_so = |image: &Image| images.get(&image.id).is_some_and(|before| before.name == image.name);
        let keeps_names = matches!(change, Change::Image(image) if is_listed(image) && is_named_so(image));
        match change {
            Change::Image(image) if is_listed(image) => images.insert(image.id, Arc::clone(image)),
            Change::Image(image) => images.remove(&image.id),
            Change::Gone(id) => images.remove(id),
        };
        Self::of(images, keeps_names.then(|| Arc::clone(&self.names)))
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

    /// The entries of `files`.
    pub fn files(&self) -> &Flat {
        self.files.get_or_init(|| Flat::new(&self.names, |id| self.images.get(&id)?.disk_format.as_deref()))
    }

    /// The image that an entry of `files` stands for. The name without a format does too, where no listed entry is called
    /// so: a file that was made as `disk.img` is found as that.
    pub fn file(&self, entry: &str) -> Option<ImageId> {
        let of_format = |(base, format): (&str, &str)| {
            let id = self.names.resolve(&flat::base(base))?;
            (self.images.get(&id)?.disk_format.as_deref() == Some(format)).then_some(id)
        };
        let listed = self.files().get(entry).or_else(|| entry.rsplit_once('.').and_then(of_format));
        listed.or_else(|| self.names.resolve(&flat::base(entry)))
    }
}

/// Whether the service lists an image of our own project.
fn is_listed(image: &Image) -> bool {
    !image.hidden && image.visibility != Visibility::Community
}
