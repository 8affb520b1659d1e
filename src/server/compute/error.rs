//! Refusals in Nova's form: one key that names the kind, and under it the status and the sentence.

use crate::server::errors::{ApiError, Refusal};
use crate::server::routes::json;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::json as value;

/// An answer with an error status.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    message: String,
}

impl Fault {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn no_image() -> Self {
        Self::not_found("Image not found.")
    }

    /// What lies beyond the microversions of a resource, or has no words of its own.
    pub(super) fn no_resource() -> Self {
        Self::not_found("The resource could not be found.")
    }

    /// 500, with the class of the exception that Nova, a Python program, did not expect.
    pub(super) fn unexpected(class: &str) -> Self {
        let message = format!("Unexpected API Error. Please contact the administrator\n<class '{class}'>");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// What becomes of Glance's refusal of a listing: its sentence is passed on, with entities and all.
    pub(super) fn of_listing(refusal: Refusal) -> Self {
        let Refusal::Answer(error) = refusal else {
            return Self::unexpected("glanceclient.exc.CommunicationError");
        };
        match error.status() {
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Self::new(error.status(), error.as_client_shows())
            }
            other => Self::unexpected(client_class(other)),
        }
    }

    /// What becomes of Glance's refusal to change an image.
    pub(super) fn of_change(refusal: Refusal, id: &str) -> Self {
        let Refusal::Answer(error) = refusal else {
            return Self::unexpected("glanceclient.exc.CommunicationError");
        };
        match error.status() {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                Self::forbidden(format!("Not authorized for image {id}."))
            }
            StatusCode::NOT_FOUND => Self::no_image(),
            StatusCode::BAD_REQUEST => Self::unexpected("nova.exception.ImageBadRequest"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::unexpected("nova.exception.ImageQuotaExceeded"),
            other => Self::unexpected(client_class(other)),
        }
    }

    pub(super) fn render(&self) -> Response<Body> {
        let kind = match self.status {
            StatusCode::BAD_REQUEST => "badRequest",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "itemNotFound",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "badMediaType",
            _ => "computeFault",
        };
        let mut response = json(self.status, &value!({kind: {"code": self.status.as_u16(), "message": self.message}}));
        let media_type = HeaderValue::from_static("application/json; charset=UTF-8");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

/// The exception of the library through which Nova asks Glance.
fn client_class(status: StatusCode) -> &'static str {
    match status {
        StatusCode::CONFLICT => "glanceclient.exc.HTTPConflict",
        _ => "glanceclient.exc.HTTPInternalServerError",
    }
}

/// 401, as the middleware before Nova answers it.
pub(super) fn unauthorized(keystone: &str) -> Response<Body> {
    let body = value!({"error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }});
    let mut response = json(StatusCode::UNAUTHORIZED, &body);
    if let Ok(challenge) = HeaderValue::from_str(&format!("Keystone uri=\"{keystone}\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A path or a method that leads nowhere, which the router answers in Glance's form.
pub(super) fn unrouted(request: &axum::http::HeaderMap) -> Response<Body> {
    ApiError::no_resource().render(request)
}
