//! What an import does behind its answer.
//!
//! Whatever goes wrong is told to nobody but the task and three words of the image, as in Glance: after a failed
//! download the image is queued again, after a failed `glance-direct` it stays in `importing` for ever. An import that
//! a stop or a kill of the service interrupts has failed; the next start writes that down.

use super::errors::Refusal;
use super::fetch;
use super::quota;
use super::receive::{Limits, Outcome, WAITING, receive};
use super::record::{Received, Record, Status};
use super::service::{Caller, Service, on_disk};
use super::store::Store;
use super::task::{FAILED, Method, Progress, Task};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use url::Url;

/// The import that works on an image; gone when it has ended.
const TASK: &str = "os_glance_import_task";
/// The stores that it has still to fill.
const TO_FILL: &str = "os_glance_importing_to_stores";
/// The stores that it failed to fill.
const NOT_FILLED: &str = "os_glance_failed_import";

/// Why an import ends without data.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It is over a limit, whose sentence the task shows.
    #[error("{0}")]
    Quota(String),
    /// There is no store that it is for.
    #[error("it is for no store")]
    NoStore,
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    #[error("the download ended with {0:?}")]
    Received(Outcome),
    #[error("the bytes look like {0}")]
    OtherFormat(String),
    #[error("a failed import left bytes in the store")]
    Littered,
    #[error("nothing is staged")]
    NothingStaged,
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error("the service ended")]
    Interrupted,
    /// The image was deleted, and nothing is left to be told.
    #[error("the image is gone")]
    Gone,
}

/// Whether an import works on the image.
pub(crate) fn is_locked(record: &Record) -> bool {
    record.properties.contains_key(TASK)
}

/// The stores that hold the image's data.
pub(crate) fn stores(record: &Record) -> impl Iterator<Item = &str> {
    record.data.iter().flat_map(|data| data.store.split(','))
}

/// Notes that a task works on the image.
pub(crate) fn lock(record: &mut Record, task: Task) {
    record.properties.insert(TASK.to_owned(), task.id.clone());
    record.tasks.push(task);
}

/// Fails the import that worked on an image when the service ended.
pub(crate) fn interrupted(record: &mut Record) {
    if record.open_task().is_some() {
        fail(record, &Failure::Interrupted);
    }
}

/// Goes on behind the answer, until it is done or the service ends.
pub(crate) fn spawn(service: Arc<Service>, caller: Caller, id: String, source: Option<Url>) {
    tokio::spawn(async move {
        let mut stop = service.stop.clone();
        tokio::select! {
            // A service that was dropped has no sender any more, which means the same.
            _ = stop.wait_for(|stop| *stop) => {}
            () = run(&service, &caller, &id, source) => {}
        }
    });
}

async fn run(service: &Arc<Service>, caller: &Caller, id: &str, source: Option<Url>) {
    let Err(failure) = work(service, caller, id, source).await else { return };
    tracing::warn!(id, %failure, "an import failed");
    if change(service, id, move |record| {
        fail(record, &failure);
        Ok(())
    })
    .await
    .is_err()
    {
        tracing::debug!(id, "the image of a failed import is gone");
    }
}

async fn work(service: &Arc<Service>, caller: &Caller, id: &str, source: Option<Url>) -> Result<(), Failure> {
    change(service, id, |record| {
        begin(record);
        Ok(())
    })
    .await?;
    let Some(source) = source else { return keep(service, id, None).await };
    // Where Glance looks at these limits, a word of the task is all that comes of it.
    let limits = quota::may_stage(service, caller, None).and_then(|()| quota::may_begin(service, caller, 0));
    if let Err(Refusal::Answer(error)) = limits {
        return Err(Failure::Quota(error.explanation().to_owned()));
    }
    let (part, received) = download(service, id, source).await?;
    keep(service, id, Some((part, received))).await
}

/// The import shows itself in the image.
fn begin(record: &mut Record) {
    let Some(task) = record.open_task() else { return };
    task.advance(Progress::Processing, None);
    let (method, stores) = (task.method, task.stores.clone());
    if method != Method::CopyImage {
        record.status = Status::Importing;
    }
    record.properties.insert(TO_FILL.to_owned(), joined(stores));
    record.properties.insert(NOT_FILLED.to_owned(), String::new());
}

/// Names as Glance writes them: each once, in their order, with commas.
fn joined(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

/// The import is over, and this is what it leaves.
fn fail(record: &mut Record, failure: &Failure) {
    let Some(task) = record.open_task() else { return };
    let message = if let Failure::Quota(why) = failure { why.clone() } else { FAILED.to_owned() };
    task.advance(Progress::Failure, Some(message));
    let (method, stores, tolerant) = (task.method, task.stores.clone(), task.is_tolerant());
    let in_store = matches!(failure, Failure::OtherFormat(_) | Failure::Littered);
    match method {
        Method::GlanceDirect if tolerant || matches!(failure, Failure::NoStore) => {
            record.staged = None;
            record.status = Status::Queued;
            leave(record, failure, stores, Vec::new());
        }
        // The first store fails, and nobody comes to the others or takes the image back.
        Method::GlanceDirect => {
            record.status = Status::Importing;
            let (first, others) = stores.split_at(stores.len().min(1));
            leave(record, failure, first.to_vec(), others.to_vec());
        }
        Method::WebDownload => {
            record.status = Status::Queued;
            record.littered |= in_store && !tolerant;
            leave(record, failure, stores, Vec::new());
        }
        Method::CopyImage => leave(record, failure, stores, Vec::new()),
    }
    // Glance forgets to let go of the image then, and refuses another import for an hour; here it is for ever.
    if !(method == Method::WebDownload && tolerant && in_store) {
        record.properties.remove(TASK);
    }
}

fn leave(record: &mut Record, failure: &Failure, failed: Vec<String>, to_fill: Vec<String>) {
    record.properties.insert(TO_FILL.to_owned(), joined(to_fill));
    let before = record.properties.get(NOT_FILLED).cloned().unwrap_or_default();
    let blamed = if matches!(failure, Failure::Quota(_)) { Vec::new() } else { failed };
    let failed = joined(before.split(',').map(str::to_owned).chain(blamed));
    record.properties.insert(NOT_FILLED.to_owned(), failed);
}

/// Fetches into the image's part. Its deletion is noticed with the next bytes.
async fn download(service: &Arc<Service>, id: &str, source: Url) -> Result<(PathBuf, Received), Failure> {
    let behaviour = service.behaviour();
    let download = fetch::get(source, &behaviour.web_download, behaviour.sender_patience).await?;
    let limits = Limits { promised: download.length(), cap: behaviour.size_cap };
    let (chunks, incoming) = mpsc::channel(WAITING);
    let (store, place) = (Arc::clone(&service.store), id.to_owned());
    let part = store.disk().part(id);
    let to = part.clone();
    let writer = tokio::task::spawn_blocking(move || receive(&store, &place, &to, limits, incoming));
    let fetched = fetch::hand_over(download, &chunks, || service.store.get(id).is_some()).await;
    drop(chunks);
    let received = writer.await.map_err(std::io::Error::other)?;
    match (fetched, received) {
        (Ok(()), Ok(received)) => Ok((part, received)),
        // Too many bytes end the fetching too, and are the reason then.
        (_, Err(outcome)) if !matches!(outcome, Outcome::Cut) => Err(Failure::Received(outcome)),
        (Err(error), _) => Err(error.into()),
        (Ok(()), Err(outcome)) => Err(Failure::Received(outcome)),
    }
}

/// Makes the image active with what was downloaded, staged, or held already.
async fn keep(service: &Arc<Service>, id: &str, downloaded: Option<(PathBuf, Received)>) -> Result<(), Failure> {
    let store = Arc::clone(&service.store);
    change(service, id, move |record| {
        let Some(task) = record.open_task() else { return Err(Failure::Gone) };
        let (method, stores) = (task.method, task.stores.clone());
        let size = match (method, downloaded) {
            (Method::CopyImage, _) => copy(record, &stores),
            (_, Some((part, received))) => put(&store, record, &part, received, &stores)?,
            (_, None) => {
                let staged = record.staged.take().ok_or(Failure::NothingStaged)?;
                let from = store.disk().staged(&record.id);
                put(&store, record, &from, staged, &stores)?
            }
        };
        let message = (size > 0).then(|| format!("Copied {} MiB", size >> 20));
        if let Some(task) = record.open_task() {
            task.advance(Progress::Success, message);
        }
        record.properties.insert(TO_FILL.to_owned(), String::new());
        record.properties.remove(TASK);
        Ok(())
    })
    .await
}

fn put(store: &Store, record: &mut Record, from: &Path, bytes: Received, to: &[String]) -> Result<u64, Failure> {
    if to.is_empty() {
        return Err(Failure::NoStore);
    }
    if record.littered {
        return Err(Failure::Littered);
    }
    if !bytes.fits(record) {
        return Err(Failure::OtherFormat(bytes.format));
    }
    store.disk().keep(&record.id, from, &store.disk().data(&record.id))?;
    let size = bytes.size;
    record.data = Some(bytes.into_data(record, to.join(",")));
    record.status = Status::Active;
    Ok(size)
}

/// All stores are one folder: a copy is a name more.
fn copy(record: &mut Record, to: &[String]) -> u64 {
    let Some(data) = &mut record.data else { return 0 };
    for name in to {
        data.store.push(',');
        data.store.push_str(name);
    }
    data.size
}

/// Changes the image, unless it is gone.
async fn change(
    service: &Service,
    id: &str,
    change: impl FnOnce(&mut Record) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let (store, id) = (Arc::clone(&service.store), id.to_owned());
    match on_disk(move || store.change(&id, change)).await {
        Ok(Ok(outcome)) => outcome.map(drop),
        Ok(Err(_)) | Err(_) => Err(Failure::Gone),
    }
}
