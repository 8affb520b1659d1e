//! Blocks of images on disk.
//!
//! [`DiskCache`] is a folder with a folder for each image: `data`, a sparse file with the image's bytes in their places,
//! and `map`, which tells for each block whether it is there and what its checksum is. Several mounts may use one
//! folder at once. Blocks are written without waiting for the disk; the checksum proves each of them when it is read,
//! so that neither a crash nor another process can make a wrong byte of it. What was proven as a whole is
//! [sealed](DiskImage::seal) and read without that.

mod blocks;
mod entry;
mod header;
mod home;
mod image;
mod inventory;
mod map;
mod name;
mod seal;
mod settings;
mod space;
mod tag;
mod tags;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::{BLOCK, Identity, lock};
use home::Home;
pub use image::DiskImage;
pub use inventory::{Damaged, Dropped, InCache, Inventory, Verdict};
pub use settings::{DiskError, DiskSettings};
pub use tag::{Proof, Tag};

/// A folder with blocks of images. All calls block the thread.
#[derive(Debug)]
pub struct DiskCache {
    home: Arc<Home>,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Images, whole or in part.
    pub images: u64,
}

impl DiskCache {
    /// The cache in the folder of `settings`, which is made where there is none.
    pub fn open(settings: &DiskSettings) -> Result<Self, DiskError> {
        let folder = settings.prepare()?;
        entry::clean(&folder.images, SystemTime::now())
            .map_err(|source| DiskError::Folder { folder: settings.folder.clone(), source })?;
        if let Some(caveat) = space::caveat(&folder.lock) {
            tracing::warn!(folder = %settings.folder.display(), "the folder of --cache-dir: {caveat}");
        }
        Ok(Self { home: Arc::new(Home::new(folder, settings)) })
    }

    /// The blocks of `content`, with those that are in the cache already. It is the same object for all who ask while
    /// one of them holds it.
    ///
    /// # Errors
    /// Where the disk fails or is full, or the image is larger than a disk: the reader then goes on without.
    pub fn image(&self, content: &Identity) -> io::Result<Arc<DiskImage>> {
        self.home.image(content)
    }

    /// Drops the blocks of `content`, which are damaged or outdated. Those who hold them find nothing there any more.
    pub fn forget(&self, content: &Identity) {
        if let Err(error) = self.home.forget(content) {
            tracing::warn!(image = %content.image(), %error, "an image in the cache on disk could not be removed");
        }
    }

    /// What the cache holds, of all processes.
    pub fn usage(&self) -> io::Result<DiskUsage> {
        let listed = self.home.list()?;
        Ok(DiskUsage { bytes: listed.iter().map(|image| image.bytes).sum(), images: listed.len() as u64 })
    }
}
