//! `PUT /v2/images/{id}/stage`: data that an import turns into an image later.

use super::errors::{ApiError, Refusal};
use super::quota;
use super::receive::{Limits, Outcome, Purpose, Upload};
use super::record::Status;
use super::routes::no_content;
use super::sender::Sender;
use super::service::{Caller, Service, disk_failed};
use super::upload::{check_media_type, content_length, declared_size};
use axum::body::Body;
use axum::http::{Request, Response};
use std::io;
use std::sync::Arc;

/// Takes data for an image whose formats may be unset still.
pub(crate) async fn stage(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    check_media_type(&parts.headers)?;
    let promised = declared_size(&parts.headers)?;
    let length = content_length(&parts.headers);
    quota::may_stage(&service, &caller, promised.or(length))?;
    let record = service.visible(&caller, &id)?;
    caller.must_manage(&record, "modify_image")?;
    begin(&service, &caller, &id)?;
    let limits = Limits { promised, cap: service.behaviour().size_cap };
    let upload = Upload { store: Arc::clone(&service.store), record, purpose: Purpose::Stage, limits };
    let outcome = Sender::new(Arc::clone(&service), body, None, length).deliver(upload).await?;
    answer(&id, outcome)
}

/// Takes hold of a queued image, unless the project has too much under way.
fn begin(service: &Service, caller: &Caller, id: &str) -> Result<(), Refusal> {
    service.store.change_status(id, Status::Queued, Status::Uploading).map_err(|now| match now {
        Some(status) => {
            let status = status.as_str();
            let why = format!("Image status transition from {status} to uploading is not allowed");
            Refusal::from(ApiError::conflict(why))
        }
        None => ApiError::no_image(id).into(),
    })?;
    // Glance counts this one among those under way before it looks at the limit.
    quota::may_begin(service, caller, 0).inspect_err(|_| {
        // Deleted meanwhile, there is nothing to undo.
        let _ = service.store.change_status(id, Status::Uploading, Status::Queued);
    })
}

fn answer(id: &str, outcome: Outcome) -> Result<Response<Body>, Refusal> {
    let error = match outcome {
        // Only uploads into a store are compared with the formats.
        Outcome::Stored | Outcome::OtherFormat { .. } => return Ok(no_content()),
        Outcome::Cut => return Err(Refusal::Drop),
        Outcome::Gone => ApiError::no_image(id),
        Outcome::TooLarge => ApiError::too_large("The incoming image is too large"),
        Outcome::Longer { expected, got } => {
            ApiError::bad_request(format!("Size exceeds: expected {expected} bytes, got {got} bytes"))
        }
        Outcome::Shorter { expected, got } => {
            ApiError::bad_request(format!("Size mismatch: expected {expected} bytes, got {got} bytes"))
        }
        Outcome::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
            ApiError::too_large(format!("Image storage media is full: {error}"))
        }
        Outcome::Disk(error) => return Err(disk_failed(&error)),
    };
    Err(error.into())
}
