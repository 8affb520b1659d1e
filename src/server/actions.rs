//! `POST /v2/images/{id}/actions/…`.

use super::errors::{ApiError, Refusal};
use super::path::Action;
use super::record::Status;
use super::routes::{no_content, without_body};
use super::service::{Caller, Service, on_disk};
use super::store::Unwritten;
use axum::body::Body;
use axum::http::{Request, Response};
use std::sync::Arc;

/// Deactivates or reactivates an image; doing so again changes nothing and succeeds.
pub(crate) async fn act(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    action: Action,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    without_body(&request)?;
    let record = service.visible(&caller, &id)?;
    let (name, target) = match action {
        Action::Deactivate => ("deactivate", Status::Deactivated),
        Action::Reactivate => ("reactivate", Status::Active),
    };
    caller.must_manage(&record, name)?;
    let store = Arc::clone(&service.store);
    let changed = id.clone();
    let outcome = on_disk(move || {
        store.change(&changed, |record| match record.status {
            Status::Active | Status::Deactivated => {
                record.status = target;
                Ok(())
            }
            other @ (Status::Queued | Status::Saving | Status::Uploading | Status::Importing) => Err(other),
        })
    });
    match outcome.await? {
        Ok(Ok(_)) => Ok(no_content()),
        Ok(Err(status)) => {
            let status = status.as_str();
            Err(ApiError::forbidden(format!("Not allowed to {name} image in status '{status}'")).into())
        }
        Err(Unwritten::Missing) => Err(ApiError::no_image(&id).into()),
        Err(other) => Err(other.into()),
    }
}
