//! The images: an index in memory over the folder on disk.
//!
//! Lock order: an image's stripe, then the index. The index is never held while the disk is written.

use super::disk::Disk;
use super::record::{Record, Status};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::oneshot;

/// So many writers of different images seldom wait for each other, and the locks stay few.
const STRIPES: usize = 64;

/// An image's place in the default order: newest first, then by id, both falling.
pub(crate) type Place = (Reverse<Timestamp>, Reverse<String>);

/// What one project uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) images: u64,
    /// Of data in the stores.
    pub(crate) bytes: u64,
    /// Of data that is staged.
    pub(crate) staged: u64,
    pub(crate) uploading: u64,
}

/// The index that requests read.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_id: BTreeMap<String, Arc<Record>>,
    by_age: BTreeSet<Place>,
    deleted: HashSet<String>,
    usage: HashMap<Option<String>, Usage>,
}

impl Index {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Record>> {
        self.by_id.get(id)
    }

    /// All images, newest first, from behind this place on.
    pub(crate) fn by_age(&self, after: Option<&Place>) -> impl Iterator<Item = &Arc<Record>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.by_age.range((from, Unbounded)).filter_map(|(_, id)| self.by_id.get(&id.0))
    }

    pub(crate) fn usage(&self, owner: Option<&String>) -> Usage {
        self.usage.get(&owner.cloned()).copied().unwrap_or_default()
    }

    fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id) || self.deleted.contains(id)
    }

    fn put(&mut self, record: Record) -> Arc<Record> {
        self.take(&record.id);
        self.count(&record, u64::wrapping_add);
        self.by_age.insert(place(&record));
        let record = Arc::new(record);
        self.by_id.insert(record.id.clone(), Arc::clone(&record));
        record
    }

    fn take(&mut self, id: &str) {
        if let Some(old) = self.by_id.remove(id) {
            self.by_age.remove(&place(&old));
            self.count(&old, u64::wrapping_sub);
        }
    }

    fn count(&mut self, record: &Record, change: fn(u64, u64) -> u64) {
        let usage = self.usage.entry(record.owner.clone()).or_default();
        usage.images = change(usage.images, 1);
        let staged = record.staged_size();
        usage.bytes = change(usage.bytes, record.size().filter(|_| staged.is_none()).unwrap_or(0));
        usage.staged = change(usage.staged, staged.unwrap_or(0));
        let coming = matches!(record.status, Status::Saving | Status::Uploading | Status::Importing);
        usage.uploading = change(usage.uploading, u64::from(coming));
    }
}

/// Where an image stands in the default order.
pub(crate) fn place(record: &Record) -> Place {
    (Reverse(record.created_at), Reverse(record.id.clone()))
}

/// Why a record was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The id is taken, or was once.
    Taken,
    /// There is no such image (any more).
    Missing,
    /// The disk failed.
    Disk(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The images of one folder. Methods that write block on the disk.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Disk,
    index: RwLock<Index>,
    stripes: Vec<Mutex<()>>,
}

impl Store {
    /// Opens a folder, which drops `holds` when it is closed, and answers beside it what had to be moved aside.
    pub(crate) fn open(folder: &Path, holds: oneshot::Sender<()>) -> io::Result<(Self, Vec<(PathBuf, String)>)> {
        let disk = Disk::open(folder, holds)?;
        let contents = disk.load()?;
        let mut index = Index { deleted: contents.deleted.into_iter().collect(), ..Index::default() };
        for record in contents.records {
            index.put(record);
        }
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Ok((Self { disk, index: RwLock::new(index), stripes }, contents.aside))
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Reads the index. The guard must be dropped before anything is awaited.
    pub(crate) fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn stripe(&self, id: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let slot = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        self.stripes.get(slot).map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Record>> {
        self.index().get(id).cloned()
    }

    /// Adds a new image.
    pub(crate) fn create(&self, record: Record) -> Result<Arc<Record>, Unwritten> {
        let _stripe = self.stripe(&record.id);
        if self.index().knows(&record.id) {
            return Err(Unwritten::Taken);
        }
        self.disk.create(&record)?;
        Ok(self.index_mut().put(record))
    }

    /// Changes an image as the function says, on disk and then in memory, and moves its `updated_at`.
    pub(crate) fn change<E>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Record) -> Result<(), E>,
    ) -> Result<Result<Arc<Record>, E>, Unwritten> {
        self.change_members(id, |record| {
            change(record)?;
            record.updated_at = now();
            Ok(())
        })
    }

    /// Changes whom an image is shared with, which does not count as a change of the image.
    pub(crate) fn change_members<E>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Record) -> Result<(), E>,
    ) -> Result<Result<Arc<Record>, E>, Unwritten> {
        let _stripe = self.stripe(id);
        let mut record = Record::clone(&*self.get(id).ok_or(Unwritten::Missing)?);
        if let Err(refusal) = change(&mut record) {
            return Ok(Err(refusal));
        }
        self.disk.write(&record)?;
        Ok(Ok(self.index_mut().put(record)))
    }

    /// Moves an image from queued to saving or uploading, or back, which only memory knows.
    pub(crate) fn change_status(&self, id: &str, from: Status, to: Status) -> Result<(), Option<Status>> {
        let _stripe = self.stripe(id);
        let mut record = Record::clone(&*self.get(id).ok_or(None)?);
        if record.status != from {
            return Err(Some(record.status));
        }
        record.status = to;
        record.updated_at = now();
        self.index_mut().put(record);
        Ok(())
    }

    /// Deletes an image unless the function refuses; its id stays taken.
    pub(crate) fn delete<E>(
        &self,
        id: &str,
        check: impl FnOnce(&Record) -> Result<(), E>,
    ) -> Result<Result<(), E>, Unwritten> {
        let _stripe = self.stripe(id);
        let record = self.get(id).ok_or(Unwritten::Missing)?;
        if let Err(refusal) = check(&record) {
            return Ok(Err(refusal));
        }
        self.disk.delete(id)?;
        let mut index = self.index_mut();
        index.take(id);
        index.deleted.insert(id.to_owned());
        Ok(Ok(()))
    }
}

/// The present, in the microseconds that the database under Glance keeps.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
