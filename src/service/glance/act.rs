//! Deactivating and reactivating an image.

use super::{Glance, edit};
use crate::image::ImageId;
use crate::service::http::Call;
use crate::service::{Action, ImageService, Kind, Result, ServiceError};

/// Does it. The service writes back the whole image, so this waits for its turn among the changes.
pub(super) async fn act(glance: &Glance, image: ImageId, action: Action) -> Result<()> {
    let words = format!("{} image {image}", action.as_str());
    let _turn = edit::turn(glance, image, &words).await?;
    let url = glance.url(&["images", image.as_str(), "actions", action.as_str()])?;
    match glance.http.document(&Call::order(words, url)).await {
        Err(error) if error.kind == Kind::Forbidden => Err(explained(glance, image, error).await),
        outcome => outcome.map(drop),
    }
}

/// Glance answers 403 for an image without bytes too. What a policy forbids is something else, and is told before that.
async fn explained(glance: &Glance, image: ImageId, error: ServiceError) -> ServiceError {
    let by_policy = error.words.as_deref().is_some_and(|words| words.contains("not authorized"));
    match glance.show(image).await {
        Ok(image) if !by_policy && !image.status.has_data() => ServiceError { kind: Kind::Conflict, ..error },
        _ => error,
    }
}
