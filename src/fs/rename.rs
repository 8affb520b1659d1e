//! Renaming: of images, and of scratch files, whose bytes become an image's by it.

use std::ffi::OsStr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::create::wanted;
use super::draft::{self, Untaken};
use super::error::FsError;
use super::inode::Ino;
use super::node::{Node, Part, View};
use super::scratch::ScratchFile;
use super::tree::{entry_name, makeable};
use super::writing::{Asker, Process};
use super::{FileSystem, Result};
use crate::image::{DATA_MTIME, Image, ImageId};
use crate::service::Change;
use crate::write::{Scratch, Upload};

/// A folder, and a name in it.
type Spot<'a> = (&'a Node, &'a OsStr);

impl FileSystem {
    /// Renames an image, or a scratch file. Where that makes its bytes an image's, this returns when the image is active,
    /// as a close does.
    pub async fn rename(&self, from: (Ino, &OsStr), to: (Ino, &OsStr), by: Asker) -> Result<()> {
        let (source, target) = (self.node(from.0)?, self.node(to.0)?);
        let Err(error) = self.rename_node((&source, from.1), (&target, to.1), by).await else { return Ok(()) };
        // Who looks for the reason looks at the file that it was to be, or at the folder that it stayed in.
        let at = match self.find_node(&target, to.1).await {
            Ok(node @ (Node::Data(_) | Node::Document(..) | Node::Item(..))) => node,
            _ => source.clone(),
        };
        let ino = self.inodes.number(&at);
        let outcome = self.noted(ino, &at, Err(error));
        self.tell_folder(&source, ino);
        self.tell_folder(&target, ino);
        // And at what was to be renamed, which is there still.
        if let Ok(node) = self.find_node(&source, from.1).await {
            self.tell_folder(&node, ino);
        }
        outcome
    }

    async fn rename_node(&self, from: Spot<'_>, to: Spot<'_>, by: Asker) -> Result<()> {
        self.writable()?;
        match (self.find_node(from.0, from.1).await?, from.0) {
            (Node::Scratch(file), _) => self.rename_scratch(&file, from, to, by).await,
            (Node::Image(id, View::ByName), _) => self.rename_image(id, to).await,
            (Node::Data(id), Node::Files) => self.rename_file(id, to).await,
            (node @ (Node::Document(..) | Node::Item(..)), _) => self.rename_small(&node, to).await,
            _ => Err(self.only_renamed()),
        }
    }

    /// Gives a tag or a property another name. Where a small file is renamed to a scratch file's name, that becomes a copy
    /// of it: editors keep what they replace so, and the image has the file still.
    async fn rename_small(&self, node: &Node, to: Spot<'_>) -> Result<()> {
        let text = makeable(to.0, to.1)?;
        if let Some(place) = self.place_of(to.0, text) {
            let copy = self.text_of(node).await?;
            let Node::Scratch(file) = self.replace_scratch(to.0, place, text).await? else {
                return Err(FsError::Forgotten);
            };
            let bytes = file.bytes().ok_or(FsError::BadHandle)?;
            return self.scratched(&file, bytes.write_now(0, copy.as_bytes()));
        }
        match (node, to.0) {
            (Node::Item(id, collection, entry), Node::Collection(target, _, other))
                if id == target && collection == other =>
            {
                self.rename_item(*id, *collection, entry, text).await
            }
            _ => Err(FsError::NotPermitted("a file of an image stays where it is: copy it")),
        }
    }

    async fn rename_image(&self, id: ImageId, to: Spot<'_>) -> Result<()> {
        self.renames_images()?;
        if *to.0 != Node::Images(View::ByName) {
            return Err(FsError::NotPermitted("an image's folder stays in by-name"));
        }
        let name = entry_name(to.0, makeable(to.0, to.1)?)?;
        self.free(&name).await?;
        self.update(id, &[Change::set("name", name)]).await
    }

    async fn rename_file(&self, id: ImageId, to: Spot<'_>) -> Result<()> {
        if *to.0 != Node::Files {
            return Err(FsError::NotPermitted("an image's file stays in files"));
        }
        let text = makeable(to.0, to.1)?;
        if self.place_of(to.0, text).is_some() {
            return Err(FsError::NotPermitted(
                "an image cannot become a scratch file: its name would begin with a dot",
            ));
        }
        let wanted = wanted(to.0, text)?;
        let image = self.catalogue.image(id).await?.value;
        if wanted.format.is_some() && wanted.format != image.disk_format.as_deref() {
            let format = image.disk_format.clone().unwrap_or_default();
            return Err(FsError::FormatStays { image: id, format });
        }
        if image.name.as_deref() == Some(wanted.name.as_str()) {
            return Ok(());
        }
        self.free(&wanted.name).await?;
        self.update(id, &[Change::set("name", wanted.name)]).await?;
        self.kernel.has_forgotten().await;
        Ok(())
    }

    async fn rename_scratch(&self, file: &ScratchFile, from: Spot<'_>, to: Spot<'_>, by: Asker) -> Result<()> {
        let (was, text) = (makeable(from.0, from.1)?, makeable(to.0, to.1)?);
        let place = self.place_of(from.0, was).ok_or(FsError::Forgotten)?;
        if let Some(target) = self.place_of(to.0, text) {
            self.scratches.rename((place, was), (target, text));
            self.lists_otherwise(place);
            self.lists_otherwise(target);
            return Ok(());
        }
        let bytes = file.bytes().ok_or(FsError::NotPermitted("a link is no image's data"))?;
        let writers = [by.process(), file.writer()];
        if let Node::Image(id, _) = to.0 {
            self.restorers.replace(*id, &writers);
        }
        let image = match (to.0, Part::named(text, self.offers.api)) {
            (Node::Image(id, _), Some(Part::Data)) => {
                self.changeable(&Node::Data(*id))?;
                self.catalogue.image(*id).await?.value
            }
            (Node::Files, _) => self.image_for(bytes, to.0, text).await?,
            _ => {
                self.become_small(file, bytes, to, by).await?;
                self.scratches.remove(place, was, file);
                self.lists_otherwise(place);
                return Ok(());
            }
        };
        let placed = if bytes.is_copy_of(&image).await? {
            self.take_time(bytes, &image).await.map(|()| None)
        } else {
            self.place(bytes, &image, &writers).await
        };
        if placed.is_ok() {
            self.scratches.remove(place, was, file);
            self.lists_otherwise(place);
        }
        match placed? {
            Some(upload) => self.send(&upload).await,
            None => Ok(()),
        }
    }

    /// Does what the text of a scratch file says, as if it had been written to the file that it is renamed to.
    async fn become_small(&self, file: &ScratchFile, bytes: &Arc<Scratch>, to: Spot<'_>, by: Asker) -> Result<()> {
        let text = makeable(to.0, to.1)?;
        let node = match (to.0, Part::named(text, self.offers.api)) {
            (Node::Image(..), Some(part)) if !part.is_offered(self.offers) => return self.is_part(part),
            (Node::Image(id, _), Some(Part::Document(document))) => Node::Document(*id, document),
            (Node::Collection(id, _, collection), _) => Node::Item(*id, *collection, text.into()),
            _ => return Err(FsError::NotPermitted("a scratch file becomes a file of an image, and no folder")),
        };
        let text = self.whole(bytes).await?;
        self.commit(&node, &text, &[by.process(), file.writer()]).await?;
        self.show_again(&node);
        Ok(())
    }

    /// All of a scratch file that is to be a small one.
    async fn whole(&self, bytes: &Scratch) -> Result<Bytes> {
        let length = usize::try_from(bytes.len()?).ok().filter(|length| *length <= draft::LONGEST);
        let length = length.ok_or(FsError::Untaken(Untaken::TooLong))?;
        Ok(bytes.read_at(0, length).await?)
    }

    /// The image that a file called `text` in `files/` is, or a new one.
    async fn image_for(&self, bytes: &Arc<Scratch>, folder: &Node, text: &str) -> Result<Arc<Image>> {
        if let Some(id) = self.catalogue.listing().await?.value.file(text) {
            return Ok(self.catalogue.image(id).await?.value);
        }
        let wanted = wanted(folder, text)?;
        // Before there is an image that would stay without data. Who gives it none means that.
        if !bytes.is_empty()? {
            bytes.fits(wanted.container(), wanted.format).await?;
        }
        self.make_image(wanted).await.map(Arc::new)
    }

    /// Makes the bytes of a scratch file those of an image, and its time theirs. Where there are none, there is nothing to
    /// wait for. `by` are those who wrote it.
    async fn place(&self, bytes: &Arc<Scratch>, image: &Image, by: &[Process]) -> Result<Option<Arc<Upload>>> {
        let uploads = self.uploads.as_ref().ok_or(FsError::NoSpool)?;
        let time = bytes.time()?;
        let upload = match uploads.place(image, bytes).await {
            Ok(upload) => upload,
            Err(error) => return Err(self.untaken(image, error).await),
        };
        self.show_again(&Node::Data(image.id));
        if upload.is_none() && self.restorers.keep_queued(image.id, by) {
            self.stay_queued(image.id).await?;
        }
        if let Err(error) = self.set_time(image.id, time).await {
            // The bytes matter more; the time of the copy is then that of the image.
            tracing::warn!(image = %image.id, %error, "the time of a file could not be kept");
        }
        Ok(upload)
    }

    /// The image has these very bytes: what is left to take over is their time. A program that copies files by their bytes, or
    /// finds another time, does so again and again.
    async fn take_time(&self, bytes: &Scratch, image: &Image) -> Result<()> {
        let Some(time) = bytes.given_time() else { return Ok(()) };
        let known = image.properties.get(DATA_MTIME).and_then(|text| text.parse::<Timestamp>().ok());
        if known == Timestamp::try_from(time).ok() { Ok(()) } else { self.set_time(image.id, time).await }
    }

    async fn send(&self, upload: &Arc<Upload>) -> Result<()> {
        upload.seal().await?;
        if self.settings.write_back { Ok(()) } else { self.settled(upload).await }
    }
}
