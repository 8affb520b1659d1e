//! Making files: images through `files/`, scratch files, and `data` once more after it was removed.

use std::ffi::OsStr;

use super::attr::Entry;
use super::error::FsError;
use super::import::is_importable;
use super::inode::Ino;
use super::node::{Document, Node, Part};
use super::open::{Asked, Opened, Writing};
use super::tree::{NO_NAME, makeable, unnameable};
use super::{FileSystem, Result};
use crate::image::{Image, ImageId};
use crate::name;
use crate::service::NewImage;

/// The formats of disks that the service knows (`disk_format` in its image schema), by which a file's name may end.
pub(super) const FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];

/// Those whose wrapping is called as the disk is.
pub(super) const WRAPPED: [&str; 3] = ["ami", "ari", "aki"];

/// Why nothing is made in a folder.
pub(super) const ONLY_THESE: &str = "this folder has the files that it has; other ones cannot be made";

/// The image that a file in `files/` is asked to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) name: String,
    /// `None` where the name does not tell one: then the content does.
    pub(super) format: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What a file of this name stands for; `None` where no image is called so.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let of_format = text.rsplit_once('.').filter(|(stem, format)| !stem.is_empty() && FORMATS.contains(format));
        let (stem, format) = of_format.map_or((text, None), |(stem, format)| (stem, Some(format)));
        let name = name::decode_file(stem).filter(|name| !name.is_empty())?;
        Some(Self { name, format })
    }

    pub(super) fn container(&self) -> Option<&'a str> {
        self.format.map(|format| if WRAPPED.contains(&format) { format } else { "bare" })
    }

    fn image(self, id: ImageId) -> NewImage {
        let container = self.container().map(Into::into);
        let disk = self.format.map(Into::into);
        NewImage { name: Some(self.name), container_format: container, disk_format: disk, ..NewImage::new(id) }
    }
}

impl FileSystem {
    /// Makes the file `name`, and opens it for writing.
    pub async fn create(&self, parent: Ino, name: &OsStr, by: Writing) -> Result<(Entry, Opened)> {
        let entry = self.make_entry(parent, name).await?;
        let node = self.node(entry.attr.ino)?;
        if let Node::Data(id) | Node::Document(id, _) = &node
            && self.node(parent)? != Node::Files
        {
            self.restorers.replace(*id, &[by.process]);
        }
        // What was removed is begun anew.
        let truncate = by.truncate || matches!(node, Node::Document(..));
        let writing = Some(Writing { truncate, ..by });
        match self.open(entry.attr.ino, Asked { writing, ..Asked::default() }).await {
            Ok(opened) => Ok((entry, opened)),
            Err(error) => {
                self.forget(entry.attr.ino, 1);
                Err(error)
            }
        }
    }

    /// Makes the file `name`, which nobody has open, so that it gets no text: a property has no value then.
    pub async fn mknod(&self, parent: Ino, name: &OsStr) -> Result<Entry> {
        let entry = self.make_entry(parent, name).await?;
        if let Err(error) = self.settle_begun(&self.node(entry.attr.ino)?).await {
            self.forget(entry.attr.ino, 1);
            return Err(error);
        }
        Ok(entry)
    }

    async fn make_entry(&self, parent: Ino, name: &OsStr) -> Result<Entry> {
        let folder = self.node(parent)?;
        let outcome = self.make_file(&folder, name).await;
        self.noted_in(parent, &folder, name, outcome)?;
        self.lookup(parent, name).await
    }

    async fn make_file(&self, folder: &Node, name: &OsStr) -> Result<()> {
        self.writable()?;
        let text = makeable(folder, name)?;
        if let Some(place) = self.place_of(folder, text) {
            return self.make_scratch(folder, place, text).await.map(drop);
        }
        match (folder, Part::named(text, self.offers.api)) {
            (Node::Image(..), Some(part)) if !part.is_offered(self.offers) => self.is_part(part),
            (Node::Files, _) => {
                let wanted = wanted(folder, text)?;
                self.make_image(wanted).await.map(drop)
            }
            (Node::Collection(id, _, collection), _) => self.begin_item(*id, *collection, text).await,
            (Node::Image(id, _), Some(Part::Document(Document::Import))) => {
                let image = self.catalogue.image(*id).await?.value;
                if is_importable(&image) {
                    // The kernel asks for it only where it was removed.
                    self.show_again(&Node::Document(*id, Document::Import));
                    return Ok(());
                }
                Err(FsError::NoImport { image: *id, status: image.status.to_string() })
            }
            (Node::Image(id, _), Some(Part::Document(document))) => {
                self.show_again(&Node::Document(*id, document));
                Ok(())
            }
            (Node::Image(id, _), Some(Part::Data)) => {
                if self.show_again(&Node::Data(*id)) {
                    self.empty(*id).await
                } else {
                    Ok(())
                }
            }
            _ => Err(FsError::NotPermitted(ONLY_THESE)),
        }
    }

    /// What was written to the data before they were removed is not to be seen in those that are made anew.
    async fn empty(&self, id: ImageId) -> Result<()> {
        let Some(uploads) = self.uploads.as_ref().filter(|uploads| uploads.of(id).is_some()) else { return Ok(()) };
        let image = self.catalogue.image(id).await?.value;
        Ok(uploads.begin(&image).await?.truncate(0).await?)
    }

    /// Makes the image that a file in `files/` stands for.
    pub(super) async fn make_image(&self, wanted: Wanted<'_>) -> Result<Image> {
        self.free(&wanted.name).await?;
        self.make(&wanted.image(ImageId::random())).await
    }
}

/// What a file of this name in `files/` is asked to be.
pub(super) fn wanted<'a>(folder: &Node, text: &'a str) -> Result<Wanted<'a>> {
    Wanted::of(text).ok_or_else(|| unnameable(folder, text, NO_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_files_name_is_its_format() {
        let of = |text| Wanted::of(text).map(|wanted| (wanted.name, wanted.format));
        assert_eq!(of("disk.qcow2"), Some(("disk".to_owned(), Some("qcow2"))));
        assert_eq!(of("debian-12.5.raw"), Some(("debian-12.5".to_owned(), Some("raw"))));
        assert_eq!(of("cloud.img"), Some(("cloud.img".to_owned(), None)), "which says nothing of the content");
        assert_eq!(of("a%2Fb.iso"), Some(("a/b".to_owned(), Some("iso"))));
        assert_eq!(of("%2Ex.raw"), Some((".x".to_owned(), Some("raw"))));
        assert_eq!(of("sedentary.raw"), Some(("sedentary".to_owned(), Some("raw"))));
        assert_eq!((of("100%.raw"), of("%")), (None, None));
    }

    #[test]
    fn an_amazon_kernel_is_wrapped_as_one() {
        let container = |text| Wanted::of(text).and_then(|wanted| wanted.container());
        assert_eq!((container("k.aki"), container("d.vdi"), container("d")), (Some("aki"), Some("bare"), None));
    }
}
