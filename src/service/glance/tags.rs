//! An image's tags. Adding and removing one is a call of its own, which takes the tag in its path; one that no path can
//! carry is written with all the others.
//!
//! Both forms write back the whole image, as any change does: of 10 tags and 10 properties that come at once Glance 33
//! keeps 5 and none, and answers 20 successes. So they wait for their turn. And a tag that is added while the image's
//! bytes are under way is gone when they have arrived, so it is refused then.

use serde_json::json;

use super::address::carries;
use super::edit::{settle, turn};
use super::{Glance, edit};
use crate::image::{ImageId, Text};
use crate::service::http::{Answered, Call};
use crate::service::{Change, Kind, Result, ServiceError};

/// Adds a tag.
pub(super) async fn add(glance: &Glance, image: ImageId, tag: &str) -> Result<()> {
    let action = format!("add the tag '{tag}' to image {image}");
    let _turn = turn(glance, image, &action).await?;
    if carries(tag) {
        let call = Call::put(&action, item(glance, image, tag)?, None);
        return glance.http.document(&call).await.map(drop);
    }
    let mut tags = present(glance, image, &action).await?;
    if !tags.iter().any(|present| present == tag) {
        tags.push(tag.into());
        settle(glance, image, &action, &[Change::set("tags", json!(tags))]).await?;
    }
    Ok(())
}

/// Removes a tag. One that is gone after a try that may have succeeded was removed by that.
pub(super) async fn remove(glance: &Glance, image: ImageId, tag: &str) -> Result<()> {
    let action = format!("remove the tag '{tag}' from image {image}");
    let _turn = turn(glance, image, &action).await?;
    if !carries(tag) {
        let mut tags = present(glance, image, &action).await?;
        let before = tags.len();
        tags.retain(|present| present != tag);
        if tags.len() == before {
            return Err(missing(ServiceError::new(Kind::NotFound, action)));
        }
        return settle(glance, image, &action, &[Change::set("tags", json!(tags))]).await.map(drop);
    }
    let Answered { outcome, unsure } = glance.http.change(&Call::delete(&action, item(glance, image, tag)?)).await;
    match outcome {
        Err(error) if error.kind == Kind::NotFound && unsure => Ok(()),
        // The service gives no reason. Where it is the image that is missing, that is the answer.
        Err(error) if error.kind == Kind::NotFound => {
            present(glance, image, &action).await?;
            Err(missing(error))
        }
        outcome => outcome.map(drop),
    }
}

fn item(glance: &Glance, image: ImageId, tag: &str) -> Result<reqwest::Url> {
    glance.url(&["images", image.as_str(), "tags", tag])
}

/// The tags that the image has now. What somebody else changes between this look and the writing of all tags is lost,
/// since the service knows no versions.
async fn present(glance: &Glance, image: ImageId, action: &str) -> Result<Vec<Text>> {
    let told = edit::look(glance, image, action).await?;
    // They are written back as a whole, and those that cannot be read would be lost.
    told.unread.refuse(&["tags"], action)?;
    edit::shown(glance, &told, image, action).map(|image| image.tags)
}

fn missing(error: ServiceError) -> ServiceError {
    error.with_words("it has no such tag")
}
