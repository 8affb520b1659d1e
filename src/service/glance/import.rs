//! Images whose bytes the service fetches itself, and how far it is with that.

use reqwest::Url;
use serde_json::{Value, json};

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
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if error.kind == Kind::Conflict => after_conflict(glance, image, error, unsure).await,
        Err(error) if error.kind == Kind::Invalid => Err(refused(glance, error).await),
        Err(error) => Err(error),
    }
}

/// A conflict may be with our own first try, or with formats that are not set.
async fn after_conflict(glance: &Glance, image: ImageId, error: ServiceError, unsure: bool) -> Result<()> {
    match glance.show(image).await {
        Ok(image) if unsure && is_importing(&image) => Ok(()),
        Ok(image) if lacks_formats(&image) => Err(ServiceError { kind: Kind::Invalid, ..error }),
        _ => Err(error),
    }
}

fn is_importing(image: &Image) -> bool {
    let task = image.other.get(TASK).and_then(Value::as_str).is_some_and(|task| !task.is_empty());
    task || matches!(image.status, Status::Importing | Status::Active)
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
        _ => error,
    }
}

/// An address as it may be told: without a password, and without a query, which is where signatures are.
fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) if url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        _ => "an address".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_its_secrets() {
        let told = without_secrets("https://user:password@images.example:8443/a/b.img?signature=s#f");
        assert_eq!(told, "https://images.example:8443/a/b.img");
        assert_eq!(without_secrets("user:password@host"), "an address");
        assert_eq!(without_secrets("no address"), "an address");
    }
}
