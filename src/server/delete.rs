//! `DELETE /v2/images/{id}`.

use super::errors::{ApiError, Refusal};
use super::routes::no_content;
use super::service::{Caller, Service, on_disk};
use super::store::Unwritten;
use axum::body::Body;
use axum::http::Response;
use std::sync::Arc;

/// Deletes an image, whatever its status, unless it is protected; downloads under way go on.
pub(crate) async fn delete(service: Arc<Service>, caller: Caller, id: String) -> Result<Response<Body>, Refusal> {
    let missing = || Refusal::from(ApiError::not_found(format!("Failed to find image {id} to delete")));
    let Ok(record) = service.visible(&caller, &id) else {
        return Err(missing());
    };
    caller.must_manage(&record, "delete_image")?;
    let store = Arc::clone(&service.store);
    let doomed = id.clone();
    let outcome = on_disk(move || store.delete(&doomed, |record| if record.protected { Err(()) } else { Ok(()) }));
    match outcome.await? {
        Ok(Ok(())) => Ok(no_content()),
        Ok(Err(())) => Err(ApiError::forbidden(format!("Image {id} is protected and cannot be deleted.")).into()),
        Err(Unwritten::Missing) => Err(missing()),
        Err(other) => Err(other.into()),
    }
}
