//! The limits of a project, checked before an image is made and before data is taken.

use super::errors::{ApiError, Refusal};
use super::service::{Caller, Service};

/// 413 where the project has as many images as it may.
pub(crate) fn may_create(service: &Service, caller: &Caller) -> Result<(), Refusal> {
    let Some(quota) = caller.quota else { return Ok(()) };
    let used = service.store.index().usage(caller.project.as_ref());
    check(caller, "image_count_total", used.images, 1, quota.image_count_total)
}

/// 413 where the project's images are too large already, or would be with a size that is known beforehand, or where
/// too many uploads are under way. Sizes count in whole MiB, cut.
pub(crate) fn may_upload(service: &Service, caller: &Caller, known_size: Option<u64>) -> Result<(), Refusal> {
    may_hold(service, caller, known_size)?;
    may_begin(service, caller, 1)
}

/// 413 where the project's images are too large already, or would be with so many bytes more.
pub(crate) fn may_hold(service: &Service, caller: &Caller, coming: Option<u64>) -> Result<(), Refusal> {
    let Some(quota) = caller.quota else { return Ok(()) };
    let used = service.store.index().usage(caller.project.as_ref()).bytes >> 20;
    check(caller, "image_size_total", used, coming.unwrap_or(0) >> 20, quota.image_size_total)
}

/// 413 where the project has staged too much already, or would have with so many bytes more.
pub(crate) fn may_stage(service: &Service, caller: &Caller, coming: Option<u64>) -> Result<(), Refusal> {
    let Some(quota) = caller.quota else { return Ok(()) };
    let used = service.store.index().usage(caller.project.as_ref()).staged >> 20;
    check(caller, "image_stage_total", used, coming.unwrap_or(0) >> 20, quota.image_stage_total)
}

/// 413 where too many uploads and imports are under way with `more` that do not count yet.
pub(crate) fn may_begin(service: &Service, caller: &Caller, more: u64) -> Result<(), Refusal> {
    let Some(quota) = caller.quota else { return Ok(()) };
    let under_way = service.store.index().usage(caller.project.as_ref()).uploading + more;
    check(caller, "image_count_uploading", under_way, 0, quota.image_count_uploading)
}

fn check(caller: &Caller, resource: &str, used: u64, delta: u64, limit: i64) -> Result<(), Refusal> {
    // A negative limit is none.
    let Ok(most) = u64::try_from(limit) else { return Ok(()) };
    if used.saturating_add(delta) <= most {
        return Ok(());
    }
    let project = caller.project.as_deref().unwrap_or("None");
    Err(ApiError::too_large(format!(
        "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota \
         threshold was breached.\n\nThe response body:\nProject {project} is over a limit for [Resource {resource} is \
         over limit of {limit} due to current usage {used} and delta {delta}]"
    ))
    .into())
}
