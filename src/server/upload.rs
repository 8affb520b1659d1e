//! `PUT /v2/images/{id}/file`.

use super::errors::{ApiError, Refusal};
use super::quota;
use super::receive::{Limits, Outcome, Purpose, Upload};
use super::record::{DEFAULT_STORE, Record, STORES, Status};
use super::routes::no_content;
use super::sender::Sender;
use super::service::{Caller, Service, disk_failed, on_disk};
use super::store::Unwritten;
use super::upload_fault::{UploadFault, late};
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use std::io;
use std::sync::Arc;

const MEDIA_TYPE: &str = "application/octet-stream";

/// Takes an image's data. A sender who stops leaves the image queued, as it was.
pub(crate) async fn upload(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    check_media_type(&parts.headers)?;
    let declared = declared_size(&parts.headers)?;
    let store = wanted_store(&parts.headers)?;
    let record = service.visible(&caller, &id)?;
    if let Err(refusal) = caller.must_manage(&record, "upload_image") {
        forget_staged(&service, &caller, &record).await?;
        return Err(refusal);
    }
    quota::may_upload(&service, &caller, declared.or_else(|| content_length(&parts.headers)))?;
    check_record(&record)?;
    service.store.change_status(&id, Status::Queued, Status::Saving).map_err(|now| match now {
        Some(status) => not_from(status),
        None => Refusal::from(ApiError::no_image(&id)),
    })?;
    let limits = Limits { promised: declared, cap: service.behaviour().size_cap };
    let upload = Upload { store: Arc::clone(&service.store), record, purpose: Purpose::Data(store), limits };
    let fault = parts.extensions.get::<UploadFault>().copied();
    let length = content_length(&parts.headers);
    let outcome = Sender::new(Arc::clone(&service), body, fault, length).deliver(upload).await?;
    match (fault, &outcome) {
        (Some(UploadFault::Unanswered), Outcome::Stored) => Err(Refusal::Drop),
        (Some(UploadFault::Late), Outcome::Stored) => Ok(late()),
        (Some(UploadFault::Broken), Outcome::Cut) => Err(ApiError::internal().into()),
        (Some(UploadFault::Stuck), Outcome::Cut) => {
            // The upload has been undone; all that a killed worker leaves is the word. Deleted meanwhile, it leaves none.
            let _ = service.store.change_status(&id, Status::Queued, Status::Saving);
            Err(Refusal::Drop)
        }
        _ => answer(&id, outcome),
    }
}

/// Glance tidies up after an upload that it refused: where a reader of the owner's project tried, an image that was
/// staged, or whose import failed, is queued again without its data. Others may not write to the image at all.
async fn forget_staged(service: &Service, caller: &Caller, record: &Record) -> Result<(), Refusal> {
    let is_staged = |record: &Record| matches!(record.status, Status::Uploading | Status::Importing);
    if !caller.owns(record) || !is_staged(record) {
        return Ok(());
    }
    let (store, id) = (Arc::clone(&service.store), record.id.clone());
    let changed = on_disk(move || {
        store.change(&id, |record| {
            // An import under way holds on to the image, and so does whoever is staging.
            if is_staged(record) && record.staged.take().is_some() && record.open_task().is_none() {
                record.status = Status::Queued;
                return Ok(());
            }
            Err(())
        })
    });
    match changed.await? {
        Ok(_) | Err(Unwritten::Missing) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn answer(id: &str, outcome: Outcome) -> Result<Response<Body>, Refusal> {
    let error = match outcome {
        Outcome::Stored => return Ok(no_content()),
        Outcome::Cut => return Err(Refusal::Drop),
        Outcome::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
            ApiError::too_large(format!("Image storage media is full: {error}"))
        }
        Outcome::Disk(error) => return Err(disk_failed(&error)),
        Outcome::TooLarge => ApiError::too_large("The incoming image is too large"),
        Outcome::Longer { expected, got } => {
            ApiError::bad_request(format!("Size exceeds: expected {expected} bytes, got {got} bytes"))
        }
        Outcome::Shorter { expected, got } => {
            ApiError::bad_request(format!("Size mismatch: expected {expected} bytes, got {got} bytes"))
        }
        Outcome::OtherFormat { declared, found } => ApiError::media_type(Some(MEDIA_TYPE))
            .with_detail(format!("Image disk_format {declared} does not match stream data {found}")),
        Outcome::Gone => ApiError::new(
            StatusCode::GONE,
            format!(
                "Image {id} could not be found after upload. The image may have been deleted during the upload, \
                 cleaning up the chunks uploaded."
            ),
        ),
    };
    Err(error.into())
}

pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.map(|given| given.split(';').next().unwrap_or("").trim());
    if kind == Some(MEDIA_TYPE) { Ok(()) } else { Err(ApiError::media_type(given).into()) }
}

/// The size that the sender promises; 0 counts as no promise.
pub(crate) fn declared_size(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("x-openstack-image-size") else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(size) => Ok(Some(size).filter(|size| *size > 0)),
        None => Err(ApiError::bad_request("Invalid or missing image size in request headers.").into()),
    }
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn wanted_store(headers: &HeaderMap) -> Result<&'static str, Refusal> {
    let Some(wanted) = headers.get("x-image-meta-store").and_then(|value| value.to_str().ok()) else {
        return Ok(DEFAULT_STORE);
    };
    let found = STORES.into_iter().find(|name| *name == wanted);
    found.ok_or_else(|| ApiError::bad_request(format!("Store for identifier {wanted} not found")).into())
}

fn check_record(record: &Record) -> Result<(), Refusal> {
    if record.status != Status::Queued {
        return Err(not_from(record.status));
    }
    if record.is_poisoned() || record.littered {
        return Err(ApiError::internal().into());
    }
    let unset: Vec<&str> = [("disk_format", &record.disk_format), ("container_format", &record.container_format)]
        .into_iter()
        .filter_map(|(name, value)| value.is_none().then_some(name))
        .collect();
    if unset.is_empty() {
        return Ok(());
    }
    let unset = unset.join(", ");
    Err(ApiError::bad_request(format!("Properties {unset} must be set prior to saving data.")).into())
}

fn not_from(status: Status) -> Refusal {
    ApiError::conflict(format!("Image status transition from {} to saving is not allowed", status.as_str())).into()
}
