//! What the service answers without a version: the list of versions, and whether it is well.

use super::routes::json;
use super::service::Service;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json as value;

/// Glance's own order: by text, more or less, with the current one in the middle; some minor versions never were.
const VERSIONS: [&str; 16] = [
    "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", "v2.17", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3",
    "v2.2", "v2.1", "v2.0",
];

const CURRENT: &str = "v2.17";

/// The list of versions; 300 where the caller has yet to choose one.
pub(crate) fn list(service: &Service, headers: &HeaderMap, chosen: bool) -> Response<Body> {
    let href = format!("{}/v2/", host_url(service, headers));
    let versions: Vec<_> = VERSIONS
        .iter()
        .map(|id| {
            let status = if *id == CURRENT { "CURRENT" } else { "SUPPORTED" };
            value!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
        })
        .collect();
    let status = if chosen { StatusCode::OK } else { StatusCode::MULTIPLE_CHOICES };
    json(status, &value!({"versions": versions}))
}

/// The service as the caller addressed it, so that links work through a forwarded port.
pub(crate) fn host_url(service: &Service, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.map_or_else(|| service.url.clone(), |host| format!("http://{host}"))
}

/// `/healthcheck`.
pub(crate) fn health() -> Response<Body> {
    let mut response = Response::new(Body::from("OK"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

/// `/v2` leads to `/v2/`, where there is nothing.
pub(crate) fn redirect(service: &Service, headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(to) = HeaderValue::from_str(&format!("{}/v2/", host_url(service, headers))) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
