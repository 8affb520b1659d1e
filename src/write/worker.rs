//! Sending one upload: one try, and what follows from its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::failure::{self, Verdict};
use super::format;
use super::home::{Home, Table};
use super::nothing;
use super::record::{Missed, Safe};
use super::sender;
use super::state::{Cause, Hashes, Reason, Sealed, State};
use super::time;
use super::upload::Upload;
use super::uploads::is_poisoned;
use crate::image::{Image, Status, TaskStatus};
use crate::service::{Change, Outgoing, ServiceError};
use crate::sync::lock;

/// Makes one try of `upload`, or takes it away where it was left without bytes.
pub(super) async fn run(upload: Arc<Upload>, table: Arc<Table>) {
    if upload.state() == State::Writing {
        let turn = upload.left.load(Ordering::Acquire);
        return nothing::let_go(&upload, &table, turn).await;
    }
    let _working = upload.working.lock().await;
    let (epoch, state) = upload.at();
    let Some(sealed) = state.sealed().filter(|_| state.is_under_way()).cloned() else { return };
    let saving = if let State::Waiting { saving, .. } = state { saving } else { None };
    let number = state.attempts().saturating_add(1);
    let attempt = Attempt { home: Arc::clone(&upload.home), upload: &upload, table, epoch, sealed, number, saving };
    tokio::select! {
        // Dropping the try cuts the connection.
        () = upload.superseded(epoch) => {}
        () = attempt.make() => {}
    }
}

struct Attempt<'a> {
    home: Arc<Home>,
    upload: &'a Arc<Upload>,
    table: Arc<Table>,
    epoch: u64,
    sealed: Sealed,
    number: u32,
    /// Since when the service has shown `saving`.
    saving: Option<Timestamp>,
}

/// How a try ended that did not succeed.
enum Ended {
    /// Somebody took the upload back.
    Superseded,
    /// It failed for good.
    Failed(Cause),
    /// It is tried again, not before the service asks for it.
    Again(Cause, Option<Duration>),
    /// The service is still at bytes that it got earlier.
    Saving,
}

/// What the service shows.
enum Seen {
    /// It waits for bytes.
    Queued,
    /// It has bytes.
    Filled(Box<Image>),
}

impl Attempt<'_> {
    async fn make(self) {
        match self.send_and_verify().await {
            Ok(()) | Err(Ended::Superseded) => {}
            Err(Ended::Failed(cause)) => self.give_up(cause).await,
            Err(Ended::Again(cause, asked)) => self.put_off(cause, asked).await,
            Err(Ended::Saving) => self.wait_for_saving().await,
        }
    }

    async fn send_and_verify(&self) -> Result<(), Ended> {
        let is_certain = self.upload.is_certain.swap(false, Ordering::AcqRel);
        if !is_certain && let Seen::Filled(image) = self.look().await? {
            return self.verify(*image).await;
        }
        self.compare_expected().await?;
        self.set_formats().await?;
        self.enter(State::Sending { sealed: self.sealed(), attempt: self.number }, Safe::Kill).await?;
        if let Some(image) = self.send().await? {
            return self.verify(image).await;
        }
        self.enter(State::Verifying { sealed: self.sealed(), attempt: self.number }, Safe::Kill).await?;
        match self.look().await? {
            Seen::Filled(image) => self.verify(*image).await,
            Seen::Queued => Err(Ended::Again(self.vanished(), None)),
        }
    }

    /// Sends nothing of bytes that have other hashes than somebody said.
    async fn compare_expected(&self) -> Result<(), Ended> {
        let Some(expected) = self.upload.expected() else { return Ok(()) };
        let own = self.own_hashes().await?;
        expected.compare(&own).map_err(|differs| {
            let image = self.upload.image();
            let sentence = format!(
                "the data of image {image} are not those that its checksums tell of: {differs}; nothing was sent, and other \
                 data can be written"
            );
            Ended::Failed(Cause::new(Reason::Mismatch, sentence))
        })
    }

    /// The hashes of all bytes. Those that have not passed by on their way are read for it.
    async fn own_hashes(&self) -> Result<Hashes, Ended> {
        self.upload.spool.digest.passed(self.sealed.size);
        let own = self.upload.spool.digest.hashes().await;
        own.map_err(|error| Ended::Again(self.unreadable(&error), None))
    }

    fn vanished(&self) -> Cause {
        let image = self.upload.image();
        let sentence = format!("the service took the bytes of image {image}, and shows it without any");
        Cause::new(Reason::Unavailable, sentence)
    }

    /// Sends the bytes. Where the answer was lost and the image is active all the same, that is answered.
    async fn send(&self) -> Result<Option<Image>, Ended> {
        let (body, trouble) = sender::body(self.upload, self.sealed.size);
        self.upload.sent.store(0, Ordering::Release);
        *lock(&self.upload.began) = Some(Instant::now());
        tracing::info!(image = %self.upload.image(), bytes = self.sealed.size, attempt = self.number, "an upload begins");
        let outgoing = Outgoing { image: self.upload.image(), size: self.sealed.size, body };
        let Err(error) = self.home.service.upload(outgoing).await else { return Ok(None) };
        let cause = failure::cause(&error);
        let trouble = lock(&trouble).take();
        if let Some(trouble) = trouble {
            return Err(Ended::Again(self.unreadable(&trouble), None));
        }
        match failure::verdict(&error.kind) {
            Verdict::Permanent => Err(Ended::Failed(cause)),
            Verdict::Retry => {
                self.upload.is_certain.store(true, Ordering::Release);
                Err(Ended::Again(cause, error.retry_after))
            }
            Verdict::LookAgain => match self.look().await? {
                Seen::Filled(image) => Ok(Some(*image)),
                Seen::Queued => {
                    self.upload.is_certain.store(true, Ordering::Release);
                    Err(Ended::Again(self.after_import(cause).await, error.retry_after))
                }
            },
        }
    }

    /// Why the service fails, where it may be for an import. One that failed for the format of what was fetched leaves bytes
    /// in the store, and Glance answers each upload with a 500 from then on. It shows the image as after any other failure.
    async fn after_import(&self, mut cause: Cause) -> Cause {
        if cause.reason == Reason::Unavailable {
            let tasks = self.home.service.tasks(self.upload.image()).await.unwrap_or_default();
            if tasks.last().is_some_and(|task| task.status == TaskStatus::Failure) {
                cause.sentence.push_str(
                    "; an import into this image has failed, which may have left it unusable: delete it, and make a new one",
                );
            }
        }
        cause
    }

    fn unreadable(&self, error: &std::io::Error) -> Cause {
        let sentence = format!("could not read the spool of image {}: {error}", self.upload.image());
        Cause::new(Reason::Spool, sentence)
    }

    /// Asks the service how far the image is.
    async fn look(&self) -> Result<Seen, Ended> {
        let image = self.home.service.show(self.upload.image()).await.map_err(|error| ended(&error))?;
        match &image.status {
            Status::Queued if is_poisoned(&image) => Err(Ended::Failed(
                self.unusable(Reason::Poisoned, "an earlier upload left it unusable: delete it, and make a new one"),
            )),
            Status::Queued => {
                self.upload.learn(&image);
                Ok(Seen::Queued)
            }
            Status::Saving => Err(Ended::Saving),
            status if status.has_data() => Ok(Seen::Filled(Box::new(image))),
            status => {
                let why = format!("it is {status}, and data can be uploaded only while it is queued");
                Err(Ended::Failed(self.unusable(Reason::Conflict, &why)))
            }
        }
    }

    fn unusable(&self, reason: Reason, why: &str) -> Cause {
        Cause::new(reason, format!("could not upload image {}: {why}", self.upload.image()))
    }

    /// Sets the formats that the image lacks, as its bytes say.
    async fn set_formats(&self) -> Result<(), Ended> {
        let (container, disk) = self.upload.formats();
        let head = self.upload.step(Upload::head).await;
        let head = head.map_err(|error| Ended::Again(self.unreadable(&error), None))?;
        let formats = format::fit(&head, container.as_deref(), disk.as_deref())
            .map_err(|unfit| Ended::Failed(unfit.cause(Some(self.upload.image()))))?;
        let mut changes = Vec::new();
        if container.is_none() {
            changes.push(Change::set("container_format", formats.container));
        }
        if disk.is_none() {
            changes.push(Change::set("disk_format", formats.disk));
        }
        let time = self.upload.change_of_time(None);
        let told = time::tell(self.home.service.as_ref(), self.upload, changes, time).await;
        if let Some(image) = told.map_err(|error| ended(&error))? {
            self.upload.learn(&image);
        }
        Ok(())
    }

    /// Compares what the service has with what was written.
    async fn verify(&self, image: Image) -> Result<(), Ended> {
        if self.upload.state().word() != "verifying" {
            self.enter(State::Verifying { sealed: self.sealed(), attempt: self.number }, Safe::Kill).await?;
        }
        if image.size != Some(self.sealed.size) {
            let shown = image.size.map_or_else(|| "no size".to_owned(), |size| format!("{size} bytes"));
            return Err(self.differs(&format!("the service shows {shown}, and {} were written", self.sealed.size)));
        }
        let own = self.own_hashes().await?;
        let shown = &image.checksums;
        let second = shown
            .value
            .as_ref()
            .filter(|_| shown.algorithm.as_deref().is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("sha512")));
        if shown.md5.is_none() && second.is_none() {
            tracing::warn!(image = %image.id, "the service shows no hash to compare: only the size of an upload was");
        }
        for (name, shown, own) in [("MD5", shown.md5.as_ref(), &own.md5), ("SHA-512", second, &own.sha512)] {
            if let Some(shown) = shown.map(ToString::to_string).filter(|shown| !shown.eq_ignore_ascii_case(own)) {
                return Err(self.differs(&format!("the service shows the {name} {shown}, and that of ours is {own}")));
            }
        }
        let time = self.upload.change_of_time(Some(&image));
        let told = time::tell(self.home.service.as_ref(), self.upload, Vec::new(), time).await;
        let image = told.map_err(|error| ended(&error))?.unwrap_or(image);
        let (table, epoch) = (Arc::clone(&self.table), self.epoch);
        let finished = self.upload.step(move |upload| Ok(upload.finish(epoch, image, &table))).await;
        let outcome = finished.unwrap_or(Err(Missed::Superseded)).map_err(|_| Ended::Superseded);
        if outcome.is_ok() {
            tracing::info!(image = %self.upload.image(), bytes = self.sealed.size, attempts = self.number, "an upload is done");
        }
        outcome
    }

    fn differs(&self, how: &str) -> Ended {
        let sentence = format!(
            "image {} is active with other bytes than were written: {how}; delete it, and make a new one",
            self.upload.image()
        );
        Ended::Failed(Cause::new(Reason::Mismatch, sentence))
    }

    /// What is sealed, with its hashes where they are known by now.
    fn sealed(&self) -> Sealed {
        Sealed { size: self.sealed.size, hashes: self.upload.hashes() }
    }

    /// Goes on to `next`. Where the disk takes no record of it, the next mount finds an earlier state and asks the
    /// service, as it does in any case: a full disk keeps nobody from sending what is on it.
    async fn enter(&self, next: State, safe: Safe) -> Result<(), Ended> {
        let epoch = self.epoch;
        let entered = move |upload: &Upload| {
            Ok(match upload.enter(epoch, next.clone(), safe) {
                Err(Missed::Disk(error)) => {
                    tracing::warn!(image = %upload.image(), %error, "the record of an upload could not be written");
                    upload.pretend(epoch, next)
                }
                entered => entered,
            })
        };
        let entered = self.upload.step(entered).await;
        entered.unwrap_or(Err(Missed::Superseded)).map_err(|_| Ended::Superseded)
    }

    async fn give_up(&self, cause: Cause) {
        tracing::warn!(image = %self.upload.image(), attempts = self.number, "an upload failed: {cause}");
        self.upload.fails_behind(&cause);
        let failed = State::Failed { sealed: self.sealed(), attempt: self.number, cause };
        let _ = self.enter(failed, Safe::PowerCut).await;
    }

    async fn put_off(&self, cause: Cause, asked: Option<Duration>) {
        let settings = &self.home.settings;
        let patience = if self.upload.is_awaited() { settings.patience } else { settings.behind };
        let Some(pause) = patience.pause(self.number, asked, fastrand::f64()) else {
            return self.give_up(cause).await;
        };
        tracing::info!(image = %self.upload.image(), attempts = self.number, ?pause, "an upload waits: {cause}");
        self.wait(pause, self.number, cause, None).await;
    }

    async fn wait(&self, pause: Duration, attempt: u32, cause: Cause, saving: Option<Timestamp>) {
        let until = self.home.clock.later(pause);
        let waiting = State::Waiting { sealed: self.sealed(), attempt, until, cause, saving };
        if self.enter(waiting, Safe::Kill).await.is_ok() {
            self.home.enqueue(self.upload.image(), until);
        }
    }

    /// Waits until the service is through with bytes that it got earlier, or is not believed any more that it is at it.
    async fn wait_for_saving(&self) {
        let now = self.home.clock.now();
        let since = self.saving.unwrap_or(now);
        let waited = Duration::try_from(now.duration_since(since).max(SignedDuration::ZERO)).unwrap_or_default();
        let why = format!("the service has shown it as saving for {} s, and nobody sends", waited.as_secs());
        if waited > self.home.settings.saving {
            let why = format!("{why}; delete it, and make a new one");
            return self.give_up(self.unusable(Reason::Stuck, &why)).await;
        }
        // It is no try of its own: nothing failed yet.
        let pause = (waited / 8).clamp(Duration::from_secs(1), Duration::from_secs(15));
        self.wait(pause, self.number.saturating_sub(1), self.unusable(Reason::Stuck, &why), Some(since)).await;
    }
}

/// What follows from a failed question or change: both are repeated by the service's client where that may help.
fn ended(error: &ServiceError) -> Ended {
    let cause = failure::cause(error);
    match failure::verdict(&error.kind) {
        Verdict::Permanent => Ended::Failed(cause),
        Verdict::Retry | Verdict::LookAgain if cause.reason == Reason::Gone => Ended::Failed(cause),
        Verdict::Retry | Verdict::LookAgain => Ended::Again(cause, error.retry_after),
    }
}
