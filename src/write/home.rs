//! What all uploads of a mount share, and the queue's clockwork.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::clock::Clock;
use super::journal::{Announced, Journal};
use super::queue::Queue;
use super::settings::Settings;
use super::state::Cause;
use super::upload::Upload;
use super::worker;
use crate::image::{Image, ImageId};
use crate::service::ImageService;
use crate::sync::{Mutex, lock};

/// What all uploads of a mount share. It knows none of them, so that each of them can hold it.
pub(super) struct Home {
    pub(super) settings: Settings,
    pub(super) journal: Journal,
    pub(super) service: Arc<dyn ImageService>,
    pub(super) clock: Clock,
    pub(super) runtime: Handle,
    /// Held by who makes a step on a thread that has other work.
    turn: Mutex<()>,
    queue: Mutex<Queue>,
    /// Something was put into the queue.
    queued: Notify,
    /// Nothing more is to be sent.
    pub(super) stop: Notify,
    /// Some upload's state changed.
    pub(super) moved: Notify,
    /// Nothing more is to be taken in.
    pub(super) closed: AtomicBool,
    /// Who hears of the images that are done.
    pub(super) told: OnceLock<Told>,
    /// Who hears of the uploads that failed while nobody waited for them.
    pub(super) failed: OnceLock<Failing>,
    /// For as long as this mount is to be found.
    pub(super) announced: Mutex<Option<Announced>>,
    /// Held by the one who makes or takes away an upload.
    pub(super) doorstep: tokio::sync::Mutex<()>,
}

/// Hears of an image that is done.
pub(super) type Told = Box<dyn Fn(&Image) + Send + Sync>;

/// Hears why an upload failed.
pub(super) type Failing = Box<dyn Fn(ImageId, Cause) + Send + Sync>;

/// The uploads of a mount that are not done.
pub(super) type Table = Mutex<HashMap<ImageId, Arc<Upload>>>;

impl Home {
    pub(super) fn new(settings: Settings, journal: Journal, service: Arc<dyn ImageService>) -> Self {
        let announced = settings.point.as_deref().and_then(|point| {
            let outcome = journal.announce(point);
            outcome.inspect_err(|error| tracing::warn!(%error, "who asks for uploads will not find this mount")).ok()
        });
        Self {
            settings,
            journal,
            service,
            clock: Clock::start(),
            runtime: Handle::current(),
            turn: Mutex::default(),
            queue: Mutex::default(),
            queued: Notify::new(),
            stop: Notify::new(),
            moved: Notify::new(),
            closed: AtomicBool::new(false),
            told: OnceLock::new(),
            failed: OnceLock::new(),
            announced: Mutex::new(announced),
            doorstep: tokio::sync::Mutex::default(),
        }
    }

    /// Gives `image` its turn at `due`.
    pub(super) fn enqueue(&self, image: ImageId, due: Timestamp) {
        lock(&self.queue).put(image, due);
        self.queued.notify_one();
    }

    pub(super) fn dequeue(&self, image: ImageId) {
        lock(&self.queue).remove(image);
    }

    /// An image is done.
    pub(super) fn finished(&self, image: &Image) {
        if let Some(told) = self.told.get() {
            told(image);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Runs what takes no longer than a few writes to the page cache, on this thread: a hand-over to another one and back
    /// takes longer. One at a time, and where another thread goes on with the rest, since a disk that is busy makes even
    /// such writes wait.
    pub(super) async fn briefly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.runtime.metrics().num_workers() > 1
            && let Ok(_turn) = self.turn.try_lock()
        {
            return work();
        }
        self.blocking(work).await
    }

    /// Runs what blocks a thread where that harms nobody.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // It fails only when the program ends.
        self.runtime.spawn_blocking(work).await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }
}

/// Sends what is due, so many at once, until it is stopped. Dropping it stops all of them too.
pub(super) async fn dispatch(home: Arc<Home>, table: Arc<Table>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < home.settings.workers.max(1)
            && let Some(image) = take(&home)
        {
            let upload = lock(&table).get(&image).map(Arc::clone);
            if let Some(upload) = upload {
                tasks.spawn(worker::run(upload, Arc::clone(&table)));
            }
        }
        let next = if tasks.len() < home.settings.workers.max(1) { lock(&home.queue).next() } else { None };
        let turn = home.clock.instant(next.unwrap_or(Timestamp::MAX));
        tokio::select! {
            () = home.stop.notified() => return tasks.shutdown().await,
            () = home.queued.notified() => {}
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            () = sleep_until(turn), if next.is_some() => {}
        }
    }
}

fn take(home: &Home) -> Option<ImageId> {
    lock(&home.queue).take(home.clock.now())
}
