//! Images whose bytes the service fetches itself, and how far it is with that.

use serde_json::{Value, json};

use super::address::{reticent, without_secrets};
use super::{Glance, edit, wire};
use crate::image::{Image, ImageId, Status, Task};
use crate::service::http::{Answered, Call};
use crate::service::{ImageService, Kind, Result, ServiceError};

/// The way of importing by which the service fetches an address.
const METHOD: &str = "web-download";

/// What an image shows while an import of it is under way, also while it is still queued.
const TASK: &str = "os_glance_import_task";

/// Asks for an import.
pub(super) async fn begin(glance: &Glance, image: ImageId, url: &str) -> Result<()> {
    let action = format!("import {} into image {image}", without_secrets(url));
    let _turn = edit::turn(glance, image, &action).await?;
    let document = json!({"method": {"name": METHOD, "uri": url}});
    let call = Call::post(&action, glance.url(&["images", image.as_str(), "import"])?, &document);
    let Answered { outcome, unsure } = glance.http.change(&call).await;
    match outcome.map_err(|error| told_without_secrets(error, url)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == Kind::Conflict && unsure && is_under_way(glance, image, url).await => Ok(()),
        Err(error) if error.kind == Kind::Conflict => Err(conflict(glance, image, error).await),
        Err(error) if error.kind == Kind::Invalid => Err(refused(glance, error).await),
        Err(error) => Err(error),
    }
}

/// Glance repeats the address in its words.
fn told_without_secrets(error: ServiceError, url: &str) -> ServiceError {
    ServiceError { words: error.words.map(|words| reticent(words, url)), ..error }
}

/// Whether an import that may have been asked for was: the last one that the service tells of is from this address.
/// Where it tells of none, the image shows whether one is under way.
async fn is_under_way(glance: &Glance, image: ImageId, url: &str) -> bool {
    match tasks(glance, image).await.ok().and_then(|mut tasks| tasks.pop()) {
        Some(last) => last.uri.as_deref() == Some(without_secrets(url).as_str()),
        None => glance.show(image).await.is_ok_and(|image| is_importing(&image)),
    }
}

fn is_importing(image: &Image) -> bool {
    let task = image.other.get(TASK).and_then(Value::as_str).is_some_and(|task| !task.is_empty());
    task || image.status == Status::Importing
}

/// Formats that are not set are a conflict to Glance here, and a malformed request when it takes bytes.
async fn conflict(glance: &Glance, image: ImageId, error: ServiceError) -> ServiceError {
    match glance.show(image).await {
        Ok(image) if lacks_formats(&image) => ServiceError { kind: Kind::Invalid, ..error },
        _ => error,
    }
}

fn lacks_formats(image: &Image) -> bool {
    image.status == Status::Queued && (image.disk_format.is_none() || image.container_format.is_none())
}

/// A request that is malformed in the eyes of a service that imports nothing in this way is one that it does not offer.
async fn refused(glance: &Glance, error: ServiceError) -> ServiceError {
    let Ok(url) = glance.url(&["info", "import"]) else { return error };
    match glance.get::<wire::ImportInfo>("ask how images are imported", url).await {
        Ok(info) if !info.offers(METHOD) => {
            let words = format!("the service does not offer to fetch images ({METHOD})");
            ServiceError { kind: Kind::NotOffered, ..error }.with_words(words)
        }
        _ => told_who_allows(error),
    }
}

/// Glance names neither the hosts and ports that it fetches from nor who chose them.
fn told_who_allows(error: ServiceError) -> ServiceError {
    match error.words.clone().filter(|words| words.contains("does not pass filtering")) {
        Some(words) => error.with_words(format!("{words}; its operator says from which hosts and ports it fetches")),
        None => error,
    }
}

/// What the service does and did with an image, the newest last.
pub(super) async fn tasks(glance: &Glance, image: ImageId) -> Result<Vec<Task>> {
    let url = glance.url(&["images", image.as_str(), "tasks"])?;
    match glance.get::<wire::Tasks>(format!("ask for the tasks of image {image}"), url).await {
        Ok(answer) => Ok(answer.into_tasks()),
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotOffered | Kind::Forbidden) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
