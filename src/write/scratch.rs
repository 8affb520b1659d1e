//! Scratch files: bytes beside an image's, which may become those of the image.
//!
//! Programs that replace a file write another one beside it and rename that. Such a file is local and gone with the mount;
//! [`Uploads::place`] makes it the upload of an image, without a copy.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;

use super::error::WriteError;
use super::format::{self, HEAD};
use super::home::Home;
use super::job::Job;
use super::journal::Found;
use super::spool::{Allocation, Spool};
use super::upload::Upload;
use super::uploads::{Uploads, check};
use crate::hash::Expected;
use crate::image::{Image, ImageId, Status};
use crate::sync::{Mutex, lock};

/// How many bytes are read at once to compute a hash.
const PIECE: usize = 256 << 10;

/// A scratch file. It is gone from the disk with its last holder.
pub struct Scratch {
    home: Arc<Home>,
    path: PathBuf,
    spool: Spool,
    /// The image whose bytes these are now. Whoever writes holds it shared, so that nothing is written into an upload.
    placed: RwLock<Option<ImageId>>,
    /// The time that somebody gave it.
    time: Mutex<Option<SystemTime>>,
}

impl Scratch {
    /// Writes all of `bytes` at `offset`, on this thread, which it may block for as long as the local disk takes.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk is full or fails; [`WriteError::Immutable`] once it is an image's.
    pub fn write_now(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        *lock(&self.time) = None;
        self.while_loose("write to", |spool| spool.write_at(offset, bytes))
    }

    /// Makes it `length` bytes long; what is added reads as zeros.
    pub async fn truncate(self: &Arc<Self>, length: u64) -> Result<(), WriteError> {
        self.change("truncate", move |spool| spool.truncate(length)).await
    }

    /// Reserves or gives back space, as `fallocate(2)` does.
    pub async fn allocate(self: &Arc<Self>, how: Allocation, offset: u64, length: u64) -> Result<(), WriteError> {
        self.change("allocate space in", move |spool| spool.allocate(how, offset, length)).await
    }

    /// Up to `length` bytes from `offset` on; fewer at the end.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, WriteError> {
        let spool = self.spool.clone();
        let read = move || {
            let mut bytes = vec![0; length];
            let count = spool.read_at(offset, &mut bytes)?;
            bytes.truncate(count);
            Ok(bytes.into())
        };
        self.home.blocking(read).await.map_err(|error| failed("read", error))
    }

    /// Makes what was written survive a power cut, for as long as the mount lives.
    pub async fn sync(&self) -> Result<(), WriteError> {
        let spool = self.spool.clone();
        self.home.blocking(move || spool.sync()).await.map_err(|error| failed("sync", error))
    }

    /// The length in bytes.
    pub fn len(&self) -> Result<u64, WriteError> {
        self.spool.len().map_err(|error| failed("look at", error))
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> Result<bool, WriteError> {
        Ok(self.len()? == 0)
    }

    /// When it was last changed: the time that it was given, unless it was written to since.
    pub fn time(&self) -> Result<SystemTime, WriteError> {
        match *lock(&self.time) {
            Some(time) => Ok(time),
            None => self.spool.file.metadata().and_then(|about| about.modified()).map_err(|e| failed("look at", e)),
        }
    }

    /// The time that somebody gave it, unless it was written to since.
    pub fn given_time(&self) -> Option<SystemTime> {
        *lock(&self.time)
    }

    /// Whether it has the very bytes that an image has, by the length and the hash that the service shows. It reads all of
    /// them where the length is the same.
    pub async fn is_copy_of(&self, image: &Image) -> Result<bool, WriteError> {
        let Some((expected, mut hash)) = Expected::of(&image.checksums) else { return Ok(false) };
        if !image.status.has_data() || image.size != Some(self.len()?) {
            return Ok(false);
        }
        let spool = self.spool.clone();
        let computed = self.home.blocking(move || {
            let (mut piece, mut at) = (vec![0; PIECE], 0);
            loop {
                let count = spool.read_at(at, &mut piece)?;
                let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
                hash.feed(bytes);
                at += count as u64;
            }
            Ok(hash.finish())
        });
        Ok(computed.await.map_err(|error| failed("read", error))? == expected.value)
    }

    /// Gives it a time.
    pub fn set_time(&self, time: SystemTime) {
        *lock(&self.time) = Some(time);
    }

    /// Whether a new image that names these formats could have these bytes.
    ///
    /// # Errors
    /// [`WriteError::Failed`] with the reason why the service would leave it unusable.
    pub async fn fits(&self, container: Option<&str>, disk: Option<&str>) -> Result<(), WriteError> {
        self.fits_in(None, container, disk).await
    }

    async fn fits_in(
        &self,
        image: Option<ImageId>,
        container: Option<&str>,
        disk: Option<&str>,
    ) -> Result<(), WriteError> {
        let head = self.read_at(0, HEAD).await?;
        let unfit = format::fit(&head, container, disk).err();
        unfit.map_or(Ok(()), |unfit| Err(unfit.cause(image).into()))
    }

    async fn change(
        self: &Arc<Self>,
        action: &'static str,
        work: impl FnOnce(&Spool) -> io::Result<()> + Send + 'static,
    ) -> Result<(), WriteError> {
        let scratch = Arc::clone(self);
        let changed = self.home.runtime.spawn_blocking(move || scratch.while_loose(action, work)).await;
        changed.unwrap_or(Err(WriteError::Closed))
    }

    fn while_loose<T>(&self, action: &str, work: impl FnOnce(&Spool) -> io::Result<T>) -> Result<T, WriteError> {
        let placed = self.placed.read().unwrap_or_else(PoisonError::into_inner);
        match *placed {
            None => work(&self.spool).map_err(|error| failed(action, error)),
            Some(image) => Err(WriteError::Immutable(image)),
        }
    }
}

fn failed(action: &str, error: io::Error) -> WriteError {
    WriteError::spool(format!("{action} a scratch file"), error)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let placed = *self.placed.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Once the mount has ended, it is gone already.
        if placed.is_none()
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a scratch file stays on the disk");
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scratch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Uploads {
    /// Makes an empty scratch file.
    ///
    /// # Errors
    /// [`WriteError::Spool`] where the disk fails.
    pub async fn scratch(&self) -> Result<Arc<Scratch>, WriteError> {
        let journal = self.home.journal.clone();
        let made = self.home.blocking(move || journal.scratch()).await;
        let (path, file) = made.map_err(|error| failed("make", error))?;
        let spool = Spool::new(file, self.home.runtime.clone());
        let home = Arc::clone(&self.home);
        Ok(Arc::new(Scratch { home, path, spool, placed: RwLock::default(), time: Mutex::default() }))
    }

    /// Makes the bytes of a scratch file those of `image`, in place of what was written to it before. They are not sealed
    /// yet, and nobody can change them any more but who opens the image. Where there are none, the upload rests, as behind a
    /// close, and `None` is answered: who made the file may come to say what the image is to be.
    ///
    /// # Errors
    /// As [`Uploads::begin`], and [`WriteError::Failed`] where the bytes contradict the formats of the image. Then
    /// nothing has changed.
    pub async fn place(&self, image: &Image, scratch: &Arc<Scratch>) -> Result<Option<Arc<Upload>>, WriteError> {
        if self.home.is_closed() {
            return Err(WriteError::Closed);
        }
        let before = self.upload_on_disk(image.id).await?;
        check(image, before.is_some())?;
        let expected = before.as_ref().and_then(|before| before.expected());
        if scratch.is_empty()? {
            return self.place_nothing(image).await.map(|()| None);
        }
        scratch.fits_in(Some(image.id), image.container_format.as_deref(), image.disk_format.as_deref()).await?;
        let writer = match &before {
            Some(before) => self.right_to(before).await?,
            None => None,
        };
        // One that held nothing may have gone at this moment.
        let before = before.filter(|_| writer.is_some());
        if let Some(writer) = &writer {
            writer.reopen().await?;
        }
        let (id, mut job, placing) = (image.id, Job::new(image), Arc::clone(scratch));
        job.expected = expected;
        // Not before, because who is taken back asks the service.
        let _doorstep = self.home.doorstep.lock().await;
        if self.of(id).as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr) {
            return Err(WriteError::Busy(id));
        }
        let put = move || placing.put(id, &job).map(|()| job);
        let placed = self.home.blocking(move || match before {
            Some(before) => before.replace(put),
            None => put(),
        });
        let placed = placed.await;
        let job = placed.map_err(|error| WriteError::spool(format!("make a spool for image {id}"), error))?;
        let upload = Arc::new(Upload::of(Arc::clone(&self.home), id, job, scratch.spool.clone()));
        upload.is_certain.store(image.status == Status::Queued, Ordering::Release);
        lock(&self.table).insert(id, Arc::clone(&upload));
        Ok(Some(upload))
    }

    async fn place_nothing(&self, image: &Image) -> Result<(), WriteError> {
        let writer = self.begin(image).await?;
        if !writer.is_empty()? {
            writer.truncate(0).await?;
        }
        if !writer.close().await? {
            writer.seal_when_quiet();
        }
        Ok(())
    }

    /// The upload of `image` that there is, also where another mount left it since this one began.
    pub(super) async fn upload_on_disk(&self, image: ImageId) -> Result<Option<Arc<Upload>>, WriteError> {
        let _doorstep = self.home.doorstep.lock().await;
        if let Some(upload) = self.of(image) {
            return Ok(Some(upload));
        }
        let journal = self.home.journal.clone();
        let found = self.home.blocking(move || journal.take(image)).await;
        match found.map_err(|error| WriteError::spool(format!("look for the spool of image {image}"), error))? {
            Found::Entry(entry) => self.adopt(*entry),
            Found::Nothing | Found::Unreadable(_) => {}
            Found::Busy => return Err(WriteError::Busy(image)),
        }
        Ok(self.of(image))
    }
}

impl Scratch {
    /// Gives the file the place of an upload. It blocks.
    fn put(&self, image: ImageId, job: &Job) -> io::Result<()> {
        let mut placed = self.placed.write().unwrap_or_else(PoisonError::into_inner);
        if placed.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.home.journal.place(image, job, &self.path)?;
        *placed = Some(image);
        Ok(())
    }
}
