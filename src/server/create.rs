//! `POST /v2/images`.

use super::errors::{ApiError, Refusal};
use super::quota;
use super::record::{Record, STORES, Shown, Status, Visibility};
use super::routes::json;
use super::service::{Caller, Service, on_disk};
use super::store::{Unwritten, now};
use super::task::Method;
use super::validate;
use super::versions::host_url;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// More than any body that the limits on properties and tags let through.
const LONGEST_BODY: usize = 16 << 20;
/// Glance's defaults.
pub(crate) const MOST_PROPERTIES: usize = 128;
pub(crate) const MOST_TAGS: usize = 128;
/// The attributes that a body may set; every other key is a property.
const SETTABLE: [&str; 13] = [
    "id",
    "name",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "container_format",
    "disk_format",
    "tags",
    "min_ram",
    "min_disk",
    "os_hash_algo",
    "os_hash_value",
];

/// Registers an image without data.
pub(crate) async fn create(
    service: Arc<Service>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let Value::Object(body) = read_json(body).await? else {
        // Glance fails over a list instead of refusing it.
        return Err(ApiError::internal().into());
    };
    validate::against_schema(&body)?;
    validate::against_rules(&body)?;
    let record = new_record(&caller, &body)?;
    quota::may_create(&service, &caller)?;
    let (store, id) = (Arc::clone(&service.store), record.id.clone());
    match on_disk(move || store.create(record)).await? {
        Ok(record) => Ok(created(&service, &parts.headers, &record)),
        Err(Unwritten::Taken) => Err(ApiError::conflict(format!("Image ID {id} already exists!")).into()),
        Err(other) => Err(other.into()),
    }
}

/// The object or list in a request's body.
pub(crate) async fn read_json(body: Body) -> Result<Value, Refusal> {
    let bytes = axum::body::to_bytes(body, LONGEST_BODY)
        .await
        .map_err(|_| ApiError::bad_request("Malformed JSON in request body."))?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("Body expected in request.").into());
    }
    match serde_json::from_slice(&bytes) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => Ok(document),
        Ok(_) => Err(ApiError::bad_request("Unexpected body type. Expected list/dict.").into()),
        Err(_) => Err(ApiError::bad_request("Malformed JSON in request body.").into()),
    }
}

fn created(service: &Service, headers: &HeaderMap, record: &Record) -> Response<Body> {
    let mut response = json(StatusCode::CREATED, &Shown(record));
    let location = format!("{}/v2/images/{}", host_url(service, headers), record.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Ok(methods) = HeaderValue::from_str(&Method::WORDS.join(",")) {
        response.headers_mut().insert("openstack-image-import-methods", methods);
    }
    if let Ok(stores) = HeaderValue::from_str(&STORES.join(",")) {
        response.headers_mut().insert("openstack-image-store-ids", stores);
    }
    response
}

fn new_record(caller: &Caller, body: &Map<String, Value>) -> Result<Record, Refusal> {
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let visibility = word("visibility").and_then(|word| Visibility::parse(&word)).unwrap_or(Visibility::Shared);
    let properties: BTreeMap<String, String> = body
        .iter()
        .filter(|(name, _)| !SETTABLE.contains(&name.as_str()))
        .filter_map(|(name, value)| value.as_str().map(|value| (name.clone(), value.to_owned())))
        .collect();
    let tags: BTreeSet<String> = body
        .get("tags")
        .and_then(Value::as_array)
        .map(|tags| tags.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let owner = owner(caller, body.get("owner"))?;
    may_add(caller, visibility)?;
    within_limit("properties", properties.len(), MOST_PROPERTIES)?;
    within_limit("tags", tags.len(), MOST_TAGS)?;
    let now = now();
    Ok(Record {
        id: word("id").unwrap_or_else(|| Uuid::new_v4().to_string()),
        name: word("name"),
        status: Status::Queued,
        visibility,
        owner,
        disk_format: word("disk_format"),
        container_format: word("container_format"),
        min_disk: number(body.get("min_disk")),
        min_ram: number(body.get("min_ram")),
        protected: flag("protected"),
        os_hidden: flag("os_hidden"),
        data: None,
        staged: None,
        littered: false,
        tasks: Vec::new(),
        tags,
        properties,
        members: BTreeMap::new(),
        created_at: now,
        updated_at: now,
    })
}

/// A whole number that may be written as `1.0`; its range has been checked.
pub(crate) fn number(given: Option<&Value>) -> u32 {
    let text = given.map_or_else(String::new, ToString::to_string);
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}

/// Only an administrator makes images for others.
fn owner(caller: &Caller, given: Option<&Value>) -> Result<Option<String>, Refusal> {
    let Some(given) = given else {
        return Ok(caller.project.clone());
    };
    let wanted = given.as_str().map(str::to_owned);
    if caller.admin || wanted == caller.project {
        return Ok(wanted);
    }
    let shown = wanted.as_deref().unwrap_or("None");
    Err(ApiError::access_denied(format!("You are not permitted to create images owned by '{shown}'")).into())
}

fn may_add(caller: &Caller, visibility: Visibility) -> Result<(), Refusal> {
    if !caller.admin && !caller.member {
        return Err(ApiError::policy("add_image").into());
    }
    if visibility == Visibility::Public && !caller.admin {
        return Err(ApiError::policy("publicize_image").into());
    }
    Ok(())
}

/// 413 where there are more than the limit.
pub(crate) fn within_limit(what: &str, attempted: usize, maximum: usize) -> Result<(), Refusal> {
    if attempted <= maximum { Ok(()) } else { Err(ApiError::too_large(limit_words(what, attempted, maximum)).into()) }
}

/// What Glance says of too many.
pub(crate) fn limit_words(what: &str, attempted: usize, maximum: usize) -> String {
    format!(
        "The limit has been exceeded on the number of allowed image {what}. Attempted: {attempted}, Maximum: {maximum}"
    )
}
