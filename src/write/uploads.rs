//! The uploads of a mount.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::error::WriteError;
use super::home::{Home, Table, dispatch};
use super::job::Job;
use super::journal::{Aside, Entry, Found, Journal};
use super::nothing;
use super::record::{Missed, Safe};
use super::report::Report;
use super::settings::Settings;
use super::state::{Cause, State};
use super::upload::Upload;
use super::writer::{Place, Writer};
use crate::image::{Image, ImageId, Status};
use crate::service::ImageService;
use crate::sync::{Mutex, lock};

/// The uploads of a mount.
pub struct Uploads {
    pub(super) home: Arc<Home>,
    pub(super) table: Arc<Table>,
    aside: Vec<Aside>,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

impl Uploads {
    /// Takes up the uploads in the folder where an earlier mount left them: what was sealed is sent, what was still
    /// written is kept. What another mount is at is left to that.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub async fn open(settings: Settings, service: Arc<dyn ImageService>) -> Result<Arc<Self>, WriteError> {
        let (folder, takes_up) = (settings.folder.clone(), settings.takes_up);
        let runtime = tokio::runtime::Handle::current();
        let opened = runtime.spawn_blocking(move || {
            let journal = Journal::open(&folder)?;
            let taken = if takes_up { journal.take_all() } else { Ok(Default::default()) };
            let taken = taken.map_err(|source| WriteError::Folder { folder, source: Arc::new(source) })?;
            Ok((journal, taken))
        });
        let (journal, (entries, aside)) = opened.await.unwrap_or(Err(WriteError::Closed))?;
        let home = Arc::new(Home::new(settings, journal, service));
        let table = Arc::new(Table::default());
        for moved in &aside {
            tracing::warn!("{}", WriteError::Unreadable(moved.clone()));
        }
        let dispatcher = tokio::spawn(dispatch(Arc::clone(&home), Arc::clone(&table)));
        let uploads = Self { home, table, aside, dispatcher: Mutex::new(Some(dispatcher)) };
        for entry in entries {
            uploads.adopt(entry);
        }
        Ok(Arc::new(uploads))
    }

    /// Goes on with an upload of an earlier mount.
    pub(super) fn adopt(&self, mut entry: Entry) {
        let image = entry.image;
        if entry.job.is_lost() && (entry.job.state != State::Writing || entry.job.resting) {
            tracing::warn!(%image, "the machine went down before the bytes of an upload were on its disk");
            // As if it had been killed while they were written: they are kept, and not sent.
            entry.job.state = State::Writing;
            entry.job.resting = false;
        }
        let (goes_on, rests) = (entry.job.state.is_under_way(), entry.job.resting);
        let upload = Arc::new(Upload::new(Arc::clone(&self.home), entry));
        lock(&self.table).insert(image, Arc::clone(&upload));
        if goes_on {
            self.home.enqueue(image, self.home.clock.now());
        }
        if rests {
            upload.seal_when_quiet();
        }
    }

    /// Bytes of memory that sending holds at most: see [`Settings::memory`].
    pub fn memory(&self) -> u64 {
        self.home.settings.memory()
    }

    /// What could not be read when the folder was opened, and where it is now.
    pub fn aside(&self) -> &[Aside] {
        &self.aside
    }

    /// Opens `image` for writing. It is a new upload, or the one that there is and whose image is not active yet: that
    /// is taken out of the queue with its bytes, also when they are on their way.
    ///
    /// # Errors
    /// [`WriteError::Busy`] where there is a writer already; [`WriteError::Immutable`], [`WriteError::Status`] and
    /// [`WriteError::Poisoned`] where the image takes no data; [`WriteError::Spool`] where the disk fails.
    pub async fn begin(&self, image: &Image) -> Result<Writer, WriteError> {
        if self.home.is_closed() {
            return Err(WriteError::Closed);
        }
        loop {
            let here = self.of(image.id);
            check(image, here.is_some())?;
            let (upload, is_new) = match here {
                Some(upload) => (upload, false),
                None => self.make(image).await?,
            };
            // One that held nothing may go at this moment.
            let Some(writer) = self.right_to(&upload).await? else { continue };
            upload.learn(image);
            if !is_new {
                writer.reopen().await?;
            }
            upload.is_certain.store(image.status == Status::Queued, Ordering::Release);
            return Ok(writer);
        }
    }

    /// Opens an upload for writing once more, for who has it open.
    ///
    /// # Errors
    /// As [`Self::begin`], and [`WriteError::Discarded`] where it was given up.
    pub async fn again(&self, upload: &Arc<Upload>) -> Result<Writer, WriteError> {
        if self.home.is_closed() {
            return Err(WriteError::Closed);
        }
        let image = upload.image();
        if !self.of(image).is_some_and(|here| Arc::ptr_eq(&here, upload)) {
            let is_done = upload.state() == State::Done;
            return Err(if is_done { WriteError::Immutable(image) } else { WriteError::Discarded(image) });
        }
        let writer = Writer::of(upload)?;
        writer.reopen().await?;
        Ok(writer)
    }

    /// Has `told` hear of each image as it is once its upload is done, before nobody finds the bytes here any more.
    pub fn on_finish(&self, told: impl Fn(&Image) + Send + Sync + 'static) {
        // There is one who asks, who is there as long as this.
        let _ = self.home.told.set(Box::new(told));
    }

    /// Has `told` hear why an upload failed, for good or for longer than somebody waited, that nobody waits for.
    pub fn on_failure(&self, told: impl Fn(ImageId, Cause) + Send + Sync + 'static) {
        // There is one who asks, who is there as long as this.
        let _ = self.home.failed.set(Box::new(told));
    }

    /// Makes an upload, or takes the one that another mount left; and whether it is a new one.
    async fn make(&self, image: &Image) -> Result<(Arc<Upload>, bool), WriteError> {
        let _doorstep = self.home.doorstep.lock().await;
        if let Some(upload) = self.of(image.id) {
            return Ok((upload, false));
        }
        let (journal, job, id) = (self.home.journal.clone(), Job::new(image), image.id);
        let made = self.home.briefly(move || match journal.make(id, &job)? {
            Some(data) => Ok((Found::Entry(Box::new(Entry { image: id, job, data })), true)),
            None => journal.take(id).map(|found| (found, false)),
        });
        match made.await.map_err(|error| WriteError::spool(format!("make a spool for image {id}"), error))? {
            (Found::Entry(entry), is_new) => {
                self.adopt(*entry);
                self.of(id).map(|upload| (upload, is_new)).ok_or(WriteError::Busy(id))
            }
            // It is finished by another process, at this moment; or was, and is not there on the next try.
            (Found::Busy | Found::Nothing | Found::Unreadable(_), _) => Err(WriteError::Busy(id)),
        }
    }

    /// The upload of `image`, while that is not active. Readers see its bytes.
    pub fn of(&self, image: ImageId) -> Option<Arc<Upload>> {
        lock(&self.table).get(&image).map(Arc::clone)
    }

    /// All uploads that are not done.
    pub fn all(&self) -> Vec<Arc<Upload>> {
        let mut all: Vec<_> = lock(&self.table).values().map(Arc::clone).collect();
        all.sort_by_key(|upload| upload.image());
        all
    }

    /// The folder of all of them.
    pub fn folder(&self) -> &Path {
        &self.home.settings.folder
    }

    /// The same as people see them.
    pub fn list(&self) -> Vec<Report> {
        self.all().iter().map(|upload| upload.report()).collect()
    }

    /// What is in a folder of uploads, for who has no mount: it asks nobody, and changes nothing. It blocks.
    pub fn peek(folder: &Path) -> Result<Vec<Report>, WriteError> {
        let records = Journal::peek(folder)
            .map_err(|source| WriteError::Folder { folder: folder.to_owned(), source: Arc::new(source) })?;
        let report = |(image, job): (ImageId, Job)| Report {
            image,
            name: job.name,
            size: job.state.sealed().map_or(0, |sealed| sealed.size),
            state: job.state,
            has_writer: false,
            is_resting: false,
            sent: 0,
            rate: None,
        };
        Ok(records.into_iter().map(report).collect())
    }

    /// What is in a folder of uploads and cannot be read. It blocks.
    pub fn unreadable(folder: &Path) -> Result<Vec<Aside>, WriteError> {
        let failed = |source| WriteError::Folder { folder: folder.to_owned(), source: Arc::new(source) };
        Journal::unreadable(folder).map_err(failed)
    }

    /// Where the mounts are that share a folder of uploads. It blocks.
    pub fn mounts(folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
        let failed = |source| WriteError::Folder { folder: folder.to_owned(), source: Arc::new(source) };
        Journal::announced(folder).map_err(failed)
    }

    /// Whether a process is at an upload that [`Self::peek`] found: a mount, or a program whose mount has ended and that
    /// finishes its uploads. `None` where the upload is gone. It blocks.
    pub fn is_taken(folder: &Path, image: ImageId) -> Result<Option<bool>, WriteError> {
        let failed = |error| WriteError::spool(format!("look at the upload of image {image}"), error);
        Journal::is_taken(folder, image).map_err(failed)
    }

    /// Gives an upload up that no mount is at. It blocks.
    ///
    /// # Errors
    /// [`WriteError::Busy`] where a mount has it: ask that one.
    pub fn discard_in(folder: &Path, image: ImageId) -> Result<(), WriteError> {
        let failed = |error| WriteError::spool(format!("discard the upload of image {image}"), error);
        let journal = Journal::open(folder)?;
        match journal.take(image).map_err(failed)? {
            Found::Entry(_) => journal.remove(image).map_err(failed),
            Found::Busy => Err(WriteError::Busy(image)),
            Found::Nothing => Err(WriteError::Unknown(image, "discard")),
            Found::Unreadable(moved) => Err(WriteError::Unreadable(moved)),
        }
    }

    /// Has an upload tried again by the next mount, that failed and that no mount is at. It blocks.
    ///
    /// # Errors
    /// [`WriteError::Busy`] where a mount has it: ask that one.
    pub fn retry_in(folder: &Path, image: ImageId) -> Result<(), WriteError> {
        let failed = |error| WriteError::spool(format!("retry the upload of image {image}"), error);
        let journal = Journal::open(folder)?;
        let mut entry = match journal.take(image).map_err(failed)? {
            Found::Entry(entry) => entry,
            Found::Busy => return Err(WriteError::Busy(image)),
            Found::Nothing => return Err(WriteError::Unknown(image, "retry")),
            Found::Unreadable(moved) => return Err(WriteError::Unreadable(moved)),
        };
        let sealed = match &entry.job.state {
            State::Failed { sealed, .. } | State::Waiting { sealed, .. } => sealed.clone(),
            _ => return Err(WriteError::Unknown(image, "retry")),
        };
        entry.job.state = State::Sealed(sealed);
        // Somebody wants these bytes in the service.
        entry.job.foretold = false;
        entry.job.write(&journal.folder(image), true).map_err(failed)
    }

    /// Tries an upload again that has failed, or that waits, now.
    pub async fn retry(&self, image: ImageId) -> Result<(), WriteError> {
        let upload = self.of(image).ok_or(WriteError::Unknown(image, "retry"))?;
        let (epoch, state) = upload.at();
        // What is wrong with the image may have been mended since.
        upload.is_certain.store(false, Ordering::Release);
        match state {
            State::Failed { sealed, .. } => {
                let again = Arc::clone(&upload);
                let work = move || Ok(again.enter(epoch, State::Sealed(sealed), Safe::Kill));
                match self.home.blocking(work).await.map_err(|error| upload.failed("retry", error))? {
                    Ok(()) => {}
                    Err(Missed::Superseded) => return Err(WriteError::Busy(image)),
                    Err(Missed::Disk(error)) => return Err(upload.failed("retry", error)),
                }
            }
            State::Waiting { .. } | State::Sealed(_) => {}
            _ => return Err(WriteError::Unknown(image, "retry")),
        }
        self.home.enqueue(image, self.home.clock.now());
        Ok(())
    }

    /// Gives an upload up, and removes its bytes. The image stays as the service has it.
    ///
    /// # Errors
    /// [`WriteError::Busy`] while somebody has it open for writing.
    pub async fn discard(&self, image: ImageId) -> Result<(), WriteError> {
        let _doorstep = self.home.doorstep.lock().await;
        let upload = self.of(image).ok_or(WriteError::Unknown(image, "discard"))?;
        let _writer = Writer::of(&upload)?;
        // Where it cannot be removed, it goes on as it was.
        let place = Place::leave(&upload);
        upload.supersede();
        let _working = upload.working.lock().await;
        let given_up = Arc::clone(&upload);
        let removed = self.home.blocking(move || given_up.discard()).await;
        removed.map_err(|error| upload.failed("discard", error))?;
        place.give_up();
        lock(&self.table).remove(&image);
        Ok(())
    }

    /// The mount has ended: who looks for it finds it no more. What is under way goes on.
    pub fn leave(&self) {
        drop(lock(&self.home.announced).take());
        self.home.journal.leave();
    }

    /// Waits until the queue is empty, at most for so long, and takes nothing more in. Answers what is left: it is in
    /// the folder, for the next mount to go on with. What rests unsealed is sealed now.
    pub async fn drain(&self, deadline: Duration) -> Vec<Report> {
        self.home.closed.store(true, Ordering::Release);
        self.home.journal.leave();
        let until = Instant::now() + deadline;
        for upload in self.all() {
            if upload.is_resting()
                && !upload.has_writer()
                && let Err(error) = upload.seal().await
            {
                tracing::warn!(image = %upload.image(), %error, "an upload could not be sealed");
            }
            nothing::let_go(&upload, &self.table, upload.turn()).await;
        }
        let _ = timeout_at(until, self.idle()).await;
        let dispatcher = lock(&self.dispatcher).take();
        if let Some(dispatcher) = dispatcher {
            self.home.stop.notify_one();
            let _ = dispatcher.await;
        }
        self.list()
    }

    /// Waits until nothing is under way.
    async fn idle(&self) {
        loop {
            let moved = self.home.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if !self.all().iter().any(|upload| upload.state().is_under_way()) {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if let Some(dispatcher) = lock(&self.dispatcher).take() {
            dispatcher.abort();
        }
    }
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Uploads").field(&self.list()).finish()
    }
}

/// Whether data can be written to an image that the service shows so.
pub(super) fn check(image: &Image, is_ours: bool) -> Result<(), WriteError> {
    match &image.status {
        Status::Queued if is_poisoned(image) => Err(WriteError::Poisoned(image.id)),
        Status::Queued => Ok(()),
        // By an upload of our own.
        Status::Saving if is_ours => Ok(()),
        status if status.has_data() => Err(WriteError::Immutable(image.id)),
        status => Err(WriteError::Status { image: image.id, status: status.clone() }),
    }
}

/// Whether an upload that was refused after its last byte left the image unusable: it is queued, and has a hash all the
/// same, and no size.
pub(super) fn is_poisoned(image: &Image) -> bool {
    let hashed = image.checksums.md5.is_some() || image.checksums.value.is_some() || !image.stores.is_empty();
    image.status == Status::Queued && image.size.is_none() && hashed
}
