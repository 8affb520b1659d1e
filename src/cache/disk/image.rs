//! The blocks of one image on disk: opening them, and what is there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::entry::{self, Entry};
use super::header::Seal;
use super::home::Home;
use super::map::Map;
use super::space::Space;
use super::tags::{BLOCKS_AT_MOST, PAGE, Tags};
use super::{Identity, lock};
use crate::sync::Mutex;

/// The blocks of one image in a file, as many as there are. All calls but [`has`](Self::has) and its like block the
/// thread.
///
/// Nothing that happens to the files makes it answer wrong bytes: what was not proven as a whole is compared with its
/// checksum at each read.
#[derive(Debug)]
pub struct DiskImage {
    pub(super) content: Identity,
    pub(super) data: File,
    pub(super) tags: Tags,
    /// Nothing where the file has no name and ends with this.
    pub(super) kept: Option<Kept>,
    /// The data for readers without checksums, once all of it was proven.
    pub(super) sealed: OnceLock<Arc<File>>,
    /// Something is wrong with the files, or they are to be forgotten: nothing is here any more.
    lost: AtomicBool,
    complained: AtomicBool,
    /// Whoever changes data or tags holds this, and then the map's file lock. Inside: where punching goes on.
    pub(super) hand: Mutex<u64>,
}

/// What an image has that other processes find again.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) map: Map,
    /// Where the folder is. Sealing moves it.
    pub(super) path: Mutex<PathBuf>,
    pub(super) home: Arc<Home>,
}

impl DiskImage {
    /// Blocks in a file without a name in `folder`, for as long as the answer lives; its space is free again however
    /// the program ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] where the whole image would leave the disk with less than a twentieth of its
    /// space free.
    pub fn anonymous(folder: &Path, content: &Identity) -> io::Result<Self> {
        let data = nameless(folder)?;
        if Space::of(&data)?.lacks(None, content.size()) > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        data.set_len(content.size())?;
        Self::new(content, data, None)
    }

    fn new(content: &Identity, data: File, kept: Option<Kept>) -> io::Result<Self> {
        if content.blocks() > BLOCKS_AT_MOST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the image is too large for the cache on disk"));
        }
        Ok(Self {
            content: content.clone(),
            data,
            tags: Tags::new(content.blocks()),
            kept,
            sealed: OnceLock::new(),
            lost: AtomicBool::new(false),
            complained: AtomicBool::new(false),
            hand: Mutex::new(0),
        })
    }

    /// The image whose folder `path` is, which has these files. `None` where they are not what they should be.
    pub(super) fn load(entry: Entry, path: &Path, wanted: &Wanted<'_>, home: &Arc<Home>) -> io::Result<Option<Self>> {
        let Some((map, owner)) = Map::open(entry.map)? else { return Ok(None) };
        if !wanted.is(&owner) || entry.data.metadata()?.len() != wanted.content.size() {
            return Ok(None);
        }
        let kept = Kept { map, path: Mutex::new(path.to_owned()), home: Arc::clone(home) };
        let image = Self::new(wanted.content, entry.data, Some(kept))?;
        let Some(kept) = &image.kept else { return Ok(None) };
        match image.adopt_seal(kept)? {
            Some(false) => return Ok(None),
            None if wanted.sealed => return Ok(None),
            None => image.load_tags(kept)?,
            Some(true) if wanted.sealed => {}
            // The process that sealed it ended before it could.
            Some(true) => image.share(kept),
        }
        kept.map.touch();
        Ok(Some(image))
    }

    fn load_tags(&self, kept: &Kept) -> io::Result<()> {
        let mut first = 0;
        while first < self.tags.blocks() {
            let count = (self.tags.blocks() - first).min(64 * PAGE);
            self.tags.set_run(first, &kept.map.tags(first, count)?);
            first += count;
        }
        Ok(())
    }

    /// Whose blocks these are.
    pub fn content(&self) -> &Identity {
        &self.content
    }

    /// Whether block `block` is here, as far as this process knows. Neither I/O nor a lock.
    pub fn has(&self, block: u64) -> bool {
        !self.is_lost() && block < self.tags.blocks() && (self.is_sealed() || self.tags.get(block).is_some())
    }

    /// How many blocks are here from `first` on without a gap, counting up to `most` of them.
    pub fn run(&self, first: u64, most: u64) -> u64 {
        (first..first.saturating_add(most)).take_while(|block| self.has(*block)).count() as u64
    }

    /// The number of blocks that are not here.
    pub fn missing(&self) -> u64 {
        let here = if self.is_sealed() { self.tags.blocks() } else { self.tags.present() };
        if self.is_lost() { self.tags.blocks() } else { self.tags.blocks().saturating_sub(here) }
    }

    /// Whether all blocks are here.
    pub fn is_complete(&self) -> bool {
        self.missing() == 0
    }

    /// Whether all bytes were proven, so that they are read without another look at checksums.
    pub fn is_sealed(&self) -> bool {
        self.sealed.get().is_some()
    }

    /// The file of a sealed image, which has the image's bytes and nothing else and is open for reading only. It stays
    /// right for as long as it is open, also when the cache has dropped the image.
    pub fn sealed_file(&self) -> Option<Arc<File>> {
        self.sealed.get().filter(|_| !self.is_lost()).cloned()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Takes over that another process sealed the image. `None` where nobody did; `false` where the seal is not that
    /// of this file any more, and the image is lost.
    pub(super) fn adopt_seal(&self, kept: &Kept) -> io::Result<Option<bool>> {
        let Some(seal) = kept.map.seal()? else { return Ok(None) };
        if seal != Seal::of(&self.data)? {
            self.lose();
            return Ok(Some(false));
        }
        self.become_sealed()?;
        Ok(Some(true))
    }

    pub(super) fn become_sealed(&self) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", self.data.as_raw_fd());
        let file = File::open(path).or_else(|_| self.data.try_clone())?;
        // Whoever came first has the same file.
        let _ = self.sealed.set(Arc::new(file));
        Ok(())
    }

    /// Has nothing any more, and leaves nothing for others to find.
    pub(super) fn lose(&self) {
        let was = self.lost.swap(true, Ordering::AcqRel);
        let Some(kept) = self.kept.as_ref().filter(|_| !was) else { return };
        let path = lock(&kept.path);
        // Under its name may already be the next one.
        if entry::is_of(&path, &self.data)
            && let Err(error) = entry::remove(&path)
        {
            self.complain("remove", &error);
        }
    }

    /// Tells once an image that its disk fails: nobody but the log hears of it, and it would fill that.
    pub(super) fn complain(&self, action: &str, error: &io::Error) {
        if !self.complained.swap(true, Ordering::AcqRel) {
            tracing::warn!(image = %self.content.image(), action, %error, "the cache on disk fails");
        }
    }
}

impl Drop for DiskImage {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.as_ref().filter(|_| !self.is_lost()) {
            kept.map.touch();
            kept.home.is_less_used();
        }
    }
}

/// Which image is looked for in a folder.
pub(super) struct Wanted<'a> {
    pub(super) content: &'a Identity,
    /// Whether only a sealed one will do, which may be another image with the same bytes.
    pub(super) sealed: bool,
}

impl Wanted<'_> {
    fn is(&self, owner: &Identity) -> bool {
        owner == self.content || (self.sealed && super::name::same_bytes(owner, self.content))
    }
}

/// A file without a name in `folder`.
fn nameless(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let path = folder.join(format!(".glancefs-{:016x}", fastrand::u64(..)));
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        opened => opened,
    }
}
