//! The images of one listing, by id, by name and as flat files.

use std::sync::{Arc, OnceLock};

use super::by_name::Index;
use super::changes::Change;
use super::flat::{self, Flat};
use crate::image::{Image, ImageId, Visibility};

/// A listing. It is shared and never changes while anybody else holds it.
///
/// A hundred thousand images are common, so there is no table: images lie in two rows, by id and by name, and what they
/// did not change is shared with the listings before and behind.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By id.
    images: Vec<Arc<Image>>,
    names: Index,
    /// Made when somebody looks.
    files: OnceLock<Arc<Flat>>,
    version: u64,
}

impl Snapshot {
    /// The listing of these images; of an image that two pages showed, the later one.
    pub fn new(images: impl IntoIterator<Item = Image>) -> Self {
        Self::of(images.into_iter().map(Arc::new).collect())
    }

    /// The same of images that other listings may have too.
    pub(super) fn of(mut images: Vec<Arc<Image>>) -> Self {
        images.reverse();
        // Of several that are equal, the first one stays, which was the last.
        images.sort_by_key(|image| image.id);
        images.dedup_by_key(|image| image.id);
        images.shrink_to_fit();
        let names = Index::new(&images);
        Self { images, names, files: OnceLock::new(), version: 0 }
    }

    /// This listing behind another one, whose entries may be other ones.
    pub(super) fn behind(self, before: &Self) -> Self {
        let is_same =
            |(one, other): (&Arc<Image>, &Arc<Image>)| Arc::ptr_eq(one, other) || has_same_entries(one, other);
        let same = self.len() == before.len() && self.images.iter().zip(&before.images).all(is_same);
        Self { version: before.version.wrapping_add(u64::from(!same)), ..self }
    }

    /// Which entries there are: another number wherever one was added, removed, or became another image's.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Makes a change. A hidden or a community image is in no listing, whoever changed it.
    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Image(image) if is_listed(image) => self.put(image),
            Change::Image(image) => self.remove(image.id),
            Change::Gone(id) => self.remove(*id),
        }
    }

    fn put(&mut self, image: &Arc<Image>) {
        match self.place(image.id) {
            Ok(at) => {
                let Some(place) = self.images.get_mut(at) else { return };
                let before = std::mem::replace(place, Arc::clone(image));
                self.names.change(Some(&before), Some(image));
                if has_same_entries(&before, image) {
                    return;
                }
            }
            Err(at) => {
                self.images.insert(at, Arc::clone(image));
                self.names.change(None, Some(image));
            }
        }
        self.has_other_entries();
    }

    fn remove(&mut self, id: ImageId) {
        if let Ok(at) = self.place(id) {
            let before = self.images.remove(at);
            self.names.change(Some(&before), None);
            self.has_other_entries();
        }
    }

    fn has_other_entries(&mut self) {
        self.version = self.version.wrapping_add(1);
        self.files = OnceLock::new();
    }

    fn place(&self, id: ImageId) -> Result<usize, usize> {
        self.images.binary_search_by_key(&id, |image| image.id)
    }

    /// An image by its id.
    pub fn image(&self, id: ImageId) -> Option<&Arc<Image>> {
        self.place(id).ok().and_then(|at| self.images.get(at))
    }

    /// All images, by their ids.
    pub fn images(&self) -> &[Arc<Image>] {
        &self.images
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
        self.files.get_or_init(|| Arc::new(Flat::new(&self.names, |id| flat::ending(self.image(id)?))))
    }

    /// The image that an entry of `files` stands for. The name without a format does too, where no listed entry is called
    /// so: a file that was made as `disk.img` is found as that.
    pub fn file(&self, entry: &str) -> Option<ImageId> {
        let of_format = |(base, format): (&str, &str)| {
            let id = self.names.resolve(&flat::base(base))?;
            (flat::ending(self.image(id)?) == Some(format)).then_some(id)
        };
        let listed = self.files().get(entry).or_else(|| entry.rsplit_once('.').and_then(of_format));
        listed.or_else(|| self.names.resolve(&flat::base(entry)))
    }
}

/// Whether an image is still called what it was, in each of the folders.
fn has_same_entries(before: &Image, now: &Image) -> bool {
    before.id == now.id && before.name == now.name && before.disk_format == now.disk_format
}

/// Whether the service lists an image of our own project.
fn is_listed(image: &Image) -> bool {
    !image.hidden && image.visibility != Visibility::Community
}
