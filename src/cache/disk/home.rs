//! The folder of all images: how much it holds, and making room in it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::entry::{self, Found, Listed};
use super::image::{DiskImage, Wanted};
use super::name::Names;
use super::settings::{DiskSettings, Folder};
use super::space::Space;
use super::{BLOCK, Identity, lock};
use crate::sync::Mutex;

/// After room was looked for in vain, so many writes are refused without another look: each costs a look at every
/// image of the cache.
const PATIENCE: u32 = 64;

/// The share of `size` that is freed beyond what is needed, so that the next write does not have to look again.
const SPARE_SHARE: u64 = 64;

/// The share of an image in use that goes at most beyond what is needed.
const PUNCH_SHARE: u64 = 8;

/// What all images of a cache share.
///
/// Lock order: `allowance`, `live`, an image's hand, its path.
#[derive(Debug)]
pub(super) struct Home {
    folder: Folder,
    size: u64,
    floor: Option<u64>,
    /// Images that somebody in this process holds.
    live: Mutex<HashMap<Identity, Weak<DiskImage>>>,
    /// Bytes that may be written before the folder is looked at again.
    allowance: Mutex<u64>,
    /// Writes that are refused before room is looked for again.
    refusals: AtomicU32,
}

impl Home {
    pub(super) fn new(folder: Folder, settings: &DiskSettings) -> Self {
        let (size, floor) = (settings.size, settings.floor);
        let (live, allowance, refusals) = (Mutex::default(), Mutex::default(), AtomicU32::default());
        Self { folder, size, floor, live, allowance, refusals }
    }

    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        entry::list(&self.folder.images)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.images.join(name)
    }

    /// The image with these bytes: the one that is open, that is on disk, or a new one.
    pub(super) fn image(self: &Arc<Self>, content: &Identity) -> io::Result<Arc<DiskImage>> {
        let mut live = lock(&self.live);
        if let Some(image) = live.get(content).and_then(Weak::upgrade).filter(|image| !image.is_lost()) {
            return Ok(image);
        }
        live.retain(|_, image| image.strong_count() > 0);
        let image = Arc::new(self.open(content)?);
        live.insert(content.clone(), Arc::downgrade(&image));
        Ok(image)
    }

    fn open(self: &Arc<Self>, content: &Identity) -> io::Result<DiskImage> {
        const TRIES: u32 = 64;
        let names = Names::of(content)?;
        let shared = names.shared.map(|name| (self.path(&name), Wanted { content, sealed: true }));
        let own = (self.path(&names.own), Wanted { content, sealed: false });
        for again in 0..TRIES {
            for (path, wanted) in shared.iter().chain([&own]) {
                match self.look(path, wanted)? {
                    Looked::Image(image) => return Ok(image),
                    Looked::Nothing if wanted.sealed => {}
                    Looked::Nothing => self.create(path, content)?,
                    Looked::Moving => {
                        // Another process is at it, for a moment; or left half of it, for ever.
                        if again % 16 == 15 {
                            entry::evict(path);
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn look(self: &Arc<Self>, path: &Path, wanted: &Wanted<'_>) -> io::Result<Looked> {
        let entry = match entry::open(path)? {
            Found::Entry(entry) => entry,
            Found::Nothing => return Ok(Looked::Nothing),
            Found::Moving => return Ok(Looked::Moving),
        };
        if let Some(image) = DiskImage::load(entry, path, wanted, self)? {
            return Ok(Looked::Image(image));
        }
        tracing::warn!(path = %path.display(), "dropped an image of the cache on disk that is damaged or not ours");
        entry::remove(path)?;
        Ok(Looked::Nothing)
    }

    fn create(&self, path: &Path, content: &Identity) -> io::Result<()> {
        if self.lacks(super::map::Map::length(content.size())) > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entry::create(path, content)
    }

    /// By how many bytes `more` would go below the floor of free space.
    fn lacks(&self, more: u64) -> u64 {
        Space::of(&self.folder.lock).map_or(more, |space| space.lacks(self.floor, more))
    }

    /// Drops what is known of `content`, in memory and on disk.
    pub(super) fn forget(&self, content: &Identity) -> io::Result<()> {
        let names = Names::of(content)?;
        let paths: Vec<PathBuf> = names.shared.iter().chain([&names.own]).map(|name| self.path(name)).collect();
        for image in self.held() {
            if image.kept.as_ref().is_some_and(|kept| paths.contains(&lock(&kept.path))) || image.content == *content {
                image.lose();
            }
        }
        paths.iter().try_for_each(|path| entry::remove(path))
    }

    fn held(&self) -> Vec<Arc<DiskImage>> {
        lock(&self.live).values().filter_map(Weak::upgrade).collect()
    }

    /// Whether `bytes` more may be written, after making room for them where that can be done.
    pub(super) fn admit(&self, bytes: u64) -> bool {
        let mut allowance = lock(&self.allowance);
        if *allowance >= bytes && self.lacks(bytes) == 0 {
            *allowance -= bytes;
            return true;
        }
        let refuse = |left: u32| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, refuse).is_ok() {
            return false;
        }
        let room = self.make_room(bytes).unwrap_or_default();
        *allowance = room.unwrap_or_default();
        room.is_some()
    }

    /// An image was closed: it may make room now.
    pub(super) fn is_less_used(&self) {
        self.refusals.store(0, Ordering::Release);
    }

    /// Makes room for `bytes` more. Answers how many beyond these may be written before the next look, which is half
    /// of what is left: another process may be writing too. `None` where there is no room.
    fn make_room(&self, bytes: u64) -> io::Result<Option<u64>> {
        // Two that make room at once would make too much of it. The other one may take long; a write need not wait.
        if self.folder.lock.try_lock().is_err() {
            return Ok(None);
        }
        let left = self.free_up(bytes);
        self.folder.lock.unlock()?;
        let left = left?;
        if left.is_none() {
            self.refusals.store(PATIENCE, Ordering::Release);
        }
        Ok(left)
    }

    fn free_up(&self, bytes: u64) -> io::Result<Option<u64>> {
        let listed = self.list()?;
        let used: u64 = listed.iter().map(|image| image.bytes).sum();
        let need = used.saturating_add(bytes).saturating_sub(self.size).max(self.lacks(bytes));
        let freed = if need == 0 { 0 } else { self.drop_images(listed, need) };
        let left = self.size.checked_sub(used.saturating_sub(freed).saturating_add(bytes));
        Ok(left.filter(|_| freed >= need).map(|left| left / 2))
    }

    /// Drops images that nobody uses, the least recently used first, and then blocks of those that are in use here,
    /// until `need` bytes and some are free. Answers how many are.
    fn drop_images(&self, listed: Vec<Listed>, need: u64) -> u64 {
        let spare = self.size / SPARE_SHARE;
        let mut freed = 0;
        for image in listed {
            if freed >= need.saturating_add(spare) {
                return freed;
            }
            if entry::evict(&image.path) {
                freed += image.bytes;
            }
        }
        let mut held = self.held();
        held.sort_by_key(|image| std::cmp::Reverse(image.tags.present()));
        for image in held {
            if freed >= need {
                break;
            }
            let spare = spare.min(image.tags.present().saturating_mul(BLOCK) / PUNCH_SHARE);
            freed += image.punch(need.saturating_sub(freed).saturating_add(spare));
        }
        freed
    }
}

/// What a name led to.
enum Looked {
    Image(DiskImage),
    Nothing,
    Moving,
}
