//! `GET /v2/images/{id}`.

use super::errors::Refusal;
use super::record::Shown;
use super::routes::json;
use super::service::{Caller, Service};
use axum::body::Body;
use axum::http::{Response, StatusCode};

/// Shows an image that the caller may see.
pub(crate) fn show(service: &Service, caller: &Caller, id: &str) -> Result<Response<Body>, Refusal> {
    let record = service.visible(caller, id)?;
    Ok(json(StatusCode::OK, &Shown(&record)))
}
