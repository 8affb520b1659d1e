//! Making and removing images, as folders are made and removed; removing files.

use std::ffi::OsStr;
use std::sync::Arc;

use super::attr::Entry;
use super::error::FsError;
use super::inode::Ino;
use super::node::{Node, Part, View};
use super::restoring::Stirring;
use super::scratch::ScratchFile;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId};
use crate::name;
use crate::service::{Api, Change, Kind, NewImage, ServiceError};

/// Why no folder is made elsewhere.
pub(super) const ONLY_IMAGES: &str = "folders are images: they are made in by-name and by-id";

/// What cannot be made anywhere in the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmakeable {
    /// A hard link.
    Link,
    /// A device, a pipe or a socket.
    Device,
}

impl FileSystem {
    /// Makes an image: one called `name` in `by-name`, or one with the id `name` in `by-id`. Its id is chosen here, so
    /// that a lost answer never makes two.
    pub async fn mkdir(&self, parent: Ino, name: &OsStr) -> Result<Entry> {
        self.mkdir_as(parent, name, ImageId::random()).await
    }

    /// The same for who has chosen the id of an image that he makes in `by-name`.
    pub async fn mkdir_as(&self, parent: Ino, name: &OsStr, id: ImageId) -> Result<Entry> {
        let folder = self.node(parent)?;
        let outcome = self.make_folder(&folder, name, id).await;
        self.noted_in(parent, &folder, name, outcome)?;
        self.lookup(parent, name).await
    }

    async fn make_folder(&self, folder: &Node, name: &OsStr, chosen: ImageId) -> Result<()> {
        self.writable()?;
        let text = makeable(folder, name)?;
        if let Node::Images(_) = folder {
            self.makes_images()?;
        }
        let new = match folder {
            Node::Images(View::ByName) => {
                let name = entry_name(folder, text)?;
                self.free(&name).await?;
                NewImage { name: Some(name), ..NewImage::new(chosen) }
            }
            Node::Images(View::ById) => {
                let id = text.parse().map_err(|_| unnameable(folder, text, "an image's id is a UUID"))?;
                NewImage::new(id)
            }
            Node::Image(..) => {
                if let Some(part) = Part::named(text, self.offers.api) {
                    self.is_part(part)?;
                }
                return Err(self.only_images());
            }
            _ => return Err(self.only_images()),
        };
        self.make(&new).await.map(drop)
    }

    pub(super) async fn make(&self, new: &NewImage) -> Result<Image> {
        let image = self.service.create(new).await.map_err(|error| taken(new, error))?;
        self.catalogue.learn(image.clone());
        Ok(image)
    }

    /// Makes sure that no image is called `name`.
    pub(super) async fn free(&self, name: &str) -> Result<()> {
        let listing = self.catalogue.listing().await?.value;
        if listing.names().is_taken(&name::encode(name)) { Err(FsError::Taken(name.to_owned())) } else { Ok(()) }
    }

    /// Deletes an image, although its folder shows entries. The folders in an image's folder are only remembered as
    /// removed, as files are: see [`Self::unlink`].
    pub async fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let folder = self.node(parent)?;
        let node = self.doomed(parent, &folder, name).await?;
        let outcome = self.remove_folder(&node).await;
        self.noted(self.inodes.number(&node), &node, outcome)
    }

    /// What is to be removed: why it is not, is told on it and not on its folder.
    async fn doomed(&self, parent: Ino, folder: &Node, name: &OsStr) -> Result<Node> {
        let found = self.find_node(folder, name).await;
        self.noted_in(parent, folder, name, found)
    }

    async fn remove_folder(&self, node: &Node) -> Result<()> {
        self.writable()?;
        match node.clone() {
            Node::Image(id, _) => self.delete(id).await,
            node @ Node::Collection(id, ..) => {
                self.removable(id).await?;
                self.hide(id, node);
                Ok(())
            }
            Node::Root | Node::Images(_) | Node::Files | Node::Control | Node::Queries | Node::Query(_) => {
                Err(FsError::NotPermitted("this folder belongs to the mount"))
            }
            file => Err(FsError::NotAFolder(file.path())),
        }
    }

    async fn delete(&self, id: ImageId) -> Result<()> {
        self.removable(id).await?;
        if let Err(error) = self.service.delete(id).await {
            // Somebody else may have protected it since the last look.
            let is_protected = error.kind == Kind::Forbidden && self.look(id).await.is_ok_and(|image| image.protected);
            return Err(if is_protected { FsError::Protected(id) } else { FsError::Change(error) });
        }
        self.catalogue.gone(id);
        self.give_up_upload(id).await;
        self.removals.forget(id);
        self.scratches.forget(id);
        self.begun.forget(id);
        self.guesses.forget(id);
        self.reads.forget(id);
        Ok(())
    }

    /// What was written to an image that is gone leads nowhere. One who still writes it hears so at his close.
    async fn give_up_upload(&self, id: ImageId) {
        let Some(uploads) = self.uploads.as_ref().filter(|uploads| uploads.of(id).is_some()) else { return };
        if let Err(error) = uploads.discard(id).await {
            tracing::debug!(image = %id, %error, "the upload of a deleted image stays");
        }
    }

    /// Why this cannot be made in a folder. It is never possible, and the kernel asks all the same.
    pub fn refuse(&self, parent: Ino, what: Unmakeable) -> FsError {
        let refused = self.writable().err().unwrap_or(FsError::NotPermitted(match what {
            Unmakeable::Link => "images and their files have no links",
            Unmakeable::Device => "images have no devices, pipes or sockets",
        }));
        let node = self.node(parent).unwrap_or(Node::Root);
        let outcome: Result<()> = self.noted(parent, &node, Err(refused.clone()));
        outcome.err().unwrap_or(refused)
    }

    /// Removes a file. One in `files/` is an image, which is deleted. Of an image's own files that is only remembered: `rm -r` removes them before the folder, which
    /// deletes the image, and if it does not they are back soon. Properties and tags are removed.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let folder = self.node(parent)?;
        let node = self.doomed(parent, &folder, name).await?;
        let outcome = self.remove_file(&folder, name, &node).await;
        self.noted(self.inodes.number(&node), &node, outcome)
    }

    async fn remove_file(&self, folder: &Node, name: &OsStr, node: &Node) -> Result<()> {
        self.writable()?;
        match node {
            Node::Data(id) if *folder == Node::Files => self.delete(*id).await,
            Node::Scratch(file) => self.remove_scratch(folder, name, file),
            Node::Data(id) | Node::Document(id, _) => {
                self.removable(*id).await?;
                self.hide(*id, node.clone());
                Ok(())
            }
            Node::Item(id, ..) if self.is_being_removed(*id) => {
                self.hide(*id, node.clone());
                Ok(())
            }
            Node::Item(id, collection, entry) => {
                self.changeable(node)?;
                let image = self.removable(*id).await?;
                self.remove_item(&image, *collection, entry).await
            }
            Node::ControlFile(_) | Node::Link(..) => Err(FsError::NotPermitted("this file belongs to the mount")),
            folder => Err(FsError::IsAFolder(folder.path())),
        }
    }

    fn remove_scratch(&self, folder: &Node, name: &OsStr, file: &ScratchFile) -> Result<()> {
        let text = makeable(folder, name)?;
        if let Some(place) = self.place_of(folder, text) {
            self.scratches.remove(place, text, file);
            self.lists_otherwise(place);
        }
        Ok(())
    }

    pub(super) async fn update(&self, id: ImageId, changes: &[Change]) -> Result<()> {
        match self.beside_data(id, || self.service.update(id, changes)).await {
            Ok(image) => {
                self.catalogue.learn(image);
                Ok(())
            }
            Err(FsError::Change(error)) if error.kind == Kind::Forbidden && self.offers.api == Api::Compute => {
                // Now it is known whose it is or who sees it, which the modes are to show.
                let _ = self.look(id).await;
                Err(FsError::Change(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a change that cannot be made while data of ours are on their way. Where nobody waits for those (their close has
    /// returned), it is made behind them: who copies a folder comes to the next file before they are there.
    pub(super) async fn beside_data<T, F>(&self, id: ImageId, change: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, ServiceError>>,
    {
        let _stir = self.stir(Some(id));
        loop {
            match (change().await, self.spooled(id)) {
                (Err(error), Some(upload)) if error.kind == Kind::Conflict && upload.is_over().await => {}
                (outcome, _) => return outcome.map_err(FsError::Change),
            }
        }
    }

    /// Somebody changes something of an image beside its data, until the answer is dropped.
    pub(super) fn stir(&self, id: Option<ImageId>) -> Option<Stirring<'_>> {
        id.map(|id| Stirring::new(&self.restorers, id, self.uploads.as_deref()))
    }

    pub(super) fn writable(&self) -> Result<()> {
        if self.settings.read_only { Err(FsError::ReadOnly) } else { Ok(()) }
    }

    /// The image, unless it is protected.
    pub(super) async fn removable(&self, id: ImageId) -> Result<Arc<Image>> {
        let image = self.catalogue.image(id).await?.value;
        // Somebody else may have given it free since the last look.
        let image = if image.protected { Arc::new(self.look(id).await?) } else { image };
        if image.protected { Err(FsError::Protected(id)) } else { Ok(image) }
    }
}

/// The text of a name for something new.
pub(super) fn makeable<'a>(folder: &Node, name: &'a OsStr) -> Result<&'a str> {
    if name.len() > name::LONGEST {
        return Err(FsError::NameTooLong);
    }
    name.to_str().ok_or_else(|| unnameable(folder, &name.to_string_lossy(), "names are UTF-8"))
}

/// The image name that the entry `text` of `by-name` stands for.
pub(super) fn entry_name(folder: &Node, text: &str) -> Result<String> {
    let name = name::decode(text).filter(|name| !name.is_empty());
    name.ok_or_else(|| unnameable(folder, text, NO_NAME))
}

/// Why an entry is no image's name.
pub(super) const NO_NAME: &str = "a '%' is written %25 here, and a name is not empty";

pub(super) fn unnameable(folder: &Node, name: &str, why: &'static str) -> FsError {
    FsError::Unnameable { folder: folder.path(), name: name.to_owned(), why }
}

/// Why an image could not be made: its id is taken, or something else.
fn taken(new: &NewImage, error: ServiceError) -> FsError {
    if error.kind == Kind::Conflict { FsError::IdTaken(new.id) } else { FsError::Change(error) }
}
