//! Uploads that are over: their folders are removed, or kept for the next ones.
//!
//! A folder with two files is made and removed slowly: ext4 passes over each inode of its group that was freed within the
//! last minutes before it takes one for a new file, which after a few hundred uploads costs more than all else that a
//! small one needs. So a few folders of small uploads are used again, with the inodes of their files and the lock.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Journal, RECORD, SMALL, make_folder};
use crate::image::ImageId;
use crate::sync::{Mutex, lock};

/// How the names of spare folders begin in `tmp/`.
pub(super) const SPARE: &str = "spare-";

/// So many are kept. The last one is often still open, for the kernel tells of that later than of the close.
const MOST: usize = 4;

/// The longest file of records that is kept: those of the next upload go behind them.
const SHORT: u64 = 16 << 10;

/// The folders that are kept. They go away with it.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    folders: VecDeque<Spare>,
    /// None are kept any more.
    is_over: bool,
}

/// A folder with the files of an upload, nobody's but ours.
#[derive(Debug)]
struct Spare {
    folder: PathBuf,
    data: Arc<File>,
}

impl Spares {
    /// Keeps `folder`, whose bytes are `data` and whose lock is held; answers the one that is to be removed for it.
    pub(super) fn keep(&self, folder: PathBuf, data: Arc<File>) -> Option<PathBuf> {
        let mut kept = lock(&self.0);
        if kept.is_over {
            return Some(folder);
        }
        kept.folders.push_back(Spare { folder, data });
        if kept.folders.len() > MOST { kept.folders.pop_front().map(|spare| spare.folder) } else { None }
    }

    /// A folder that was kept and that nobody has open any more, with its empty file of bytes.
    pub(super) fn take(&self) -> Option<(PathBuf, File)> {
        let spare = {
            let mut kept = lock(&self.0);
            let free = kept.folders.iter().position(|spare| Arc::strong_count(&spare.data) == 1)?;
            kept.folders.remove(free)?
        };
        let data = Arc::into_inner(spare.data).filter(|data| data.set_len(0).is_ok());
        if data.is_none() {
            remove(&spare.folder);
        }
        Some((spare.folder, data?))
    }

    /// Removes them, and keeps none any more.
    pub(super) fn end(&self) {
        let folders = {
            let mut kept = lock(&self.0);
            kept.is_over = true;
            std::mem::take(&mut kept.folders)
        };
        for spare in folders {
            remove(&spare.folder);
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether it is small by the space that it takes on the disk: until it is used again, it has that.
fn is_small(folder: &Path, data: &File) -> io::Result<bool> {
    let space = data.metadata()?.blocks().saturating_mul(512);
    Ok(space <= SMALL && fs::metadata(folder.join(RECORD))?.len() <= SHORT)
}

fn remove(folder: &Path) {
    // What stays is removed by the next mount.
    let _ = fs::remove_dir_all(folder);
}

impl Journal {
    /// Removes the upload of `image`. Who has its file open keeps that.
    pub(in super::super) fn remove(&self, image: ImageId) -> io::Result<()> {
        self.take_away(image, self.temporary(image))?.delete()
    }

    /// Takes the upload of `image`, which is done and whose bytes are `data`, out of its place. The folder of a small one is
    /// kept for the next.
    pub(in super::super) fn retire(&self, image: ImageId, data: Arc<File>) -> io::Result<Removed> {
        if !is_small(&self.folder(image), &data).unwrap_or(false) {
            return self.take_away(image, self.temporary(image));
        }
        let Removed(spare) = self.take_away(image, self.tmp.join(format!("{SPARE}{:016x}", fastrand::u64(..))))?;
        Ok(Removed(spare.and_then(|folder| self.spares.keep(folder, data))))
    }

    /// Gives the folder of an upload another name: after that there is no upload.
    fn take_away(&self, image: ImageId, name: PathBuf) -> io::Result<Removed> {
        make_folder(&self.tmp)?;
        match fs::rename(self.folder(image), &name) {
            Ok(()) => Ok(Removed(Some(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed(None)),
            Err(error) => Err(error),
        }
    }
}

/// What is left to be removed. A large file takes the disk some time.
#[must_use]
pub(in super::super) struct Removed(Option<PathBuf>);

impl Removed {
    pub(in super::super) fn delete(self) -> io::Result<()> {
        self.0.map_or(Ok(()), fs::remove_dir_all)
    }
}
