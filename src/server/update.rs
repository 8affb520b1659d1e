//! `PATCH /v2/images/{id}`.

use super::create::{MOST_PROPERTIES, MOST_TAGS, number, read_json, within_limit};
use super::errors::{ApiError, Refusal};
use super::patch::{Dialect, Operation, parse};
use super::record::{Record, Shown, Status, Visibility};
use super::routes::json;
use super::service::{Caller, Service, on_disk};
use super::store::Unwritten;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;

/// Makes all changes or none. An empty list changes nothing, not even the time of the last change.
pub(crate) async fn update(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let dialect = Dialect::of(media_type)?;
    let operations = parse(dialect, read_json(body).await?)?;
    let record = service.visible(&caller, &id)?;
    if operations.is_empty() {
        return Ok(json(StatusCode::OK, &Shown(&record)));
    }
    let (store, changed) = (Arc::clone(&service.store), id.clone());
    let outcome = on_disk(move || store.change(&changed, |record| apply_all(&caller, record, operations)));
    match outcome.await? {
        Ok(Ok(record)) => Ok(json(StatusCode::OK, &Shown(&record))),
        Ok(Err(refusal)) => Err(refusal),
        Err(Unwritten::Missing) => Err(ApiError::no_image(&id).into()),
        Err(other) => Err(other.into()),
    }
}

/// Makes changes, of which the first that is refused ends all.
pub(crate) fn apply_all(caller: &Caller, record: &mut Record, operations: Vec<Operation>) -> Result<(), Refusal> {
    for operation in operations {
        apply(caller, record, operation)?;
    }
    within_limit("properties", record.properties.len(), MOST_PROPERTIES)?;
    within_limit("tags", record.tags.len(), MOST_TAGS)
}

fn apply(caller: &Caller, record: &mut Record, operation: Operation) -> Result<(), Refusal> {
    match operation {
        Operation::Locations(what) => {
            let why = format!("It's not allowed to {what} locations if locations are invisible.");
            Err(ApiError::forbidden(why).into())
        }
        Operation::Remove { key } => {
            caller.must_manage(record, "modify_image")?;
            if is_attribute(&key) {
                return Err(ApiError::access_denied(format!("Property {key} may not be removed.")).into());
            }
            record.properties.remove(&key).map(drop).ok_or_else(|| absent(&key))
        }
        Operation::Add { key, value, must_be_new } => {
            may_write(caller, record, &key, &value)?;
            if must_be_new && (is_attribute(&key) || record.properties.contains_key(&key)) {
                return Err(conflict(format!("Property {key} already present.")));
            }
            write(record, key, &value)
        }
        Operation::Replace { key, value } => {
            may_write(caller, record, &key, &value)?;
            if !is_attribute(&key) && !record.properties.contains_key(&key) {
                return Err(absent(&key));
            }
            write(record, key, &value)
        }
    }
}

/// The attributes that an image always has, as far as they can be written.
fn is_attribute(key: &str) -> bool {
    matches!(
        key,
        "name"
            | "visibility"
            | "protected"
            | "os_hidden"
            | "owner"
            | "container_format"
            | "disk_format"
            | "tags"
            | "min_ram"
            | "min_disk"
    )
}

fn absent(key: &str) -> Refusal {
    conflict(format!("Property {key} does not exist."))
}

fn conflict(detail: String) -> Refusal {
    ApiError::conflict("There was a conflict when trying to complete your request.").with_detail(detail).into()
}

fn may_write(caller: &Caller, record: &Record, key: &str, value: &Value) -> Result<(), Refusal> {
    if key == "owner" && !caller.admin {
        return Err(ApiError::access_denied("Owner can't be updated by non admin.").into());
    }
    if key == "visibility" && value == Visibility::Public.as_str() && !caller.admin {
        return Err(ApiError::policy("publicize_image").into());
    }
    // Glance shows the stores and has no such property.
    if key == "stores" {
        return Err(absent(key));
    }
    caller.must_manage(record, "modify_image")
}

fn write(record: &mut Record, key: String, value: &Value) -> Result<(), Refusal> {
    let text = || value.as_str().map(str::to_owned);
    let flag = || value.as_bool().unwrap_or(false);
    match key.as_str() {
        "name" => record.name = text(),
        "visibility" => {
            record.visibility = value.as_str().and_then(Visibility::parse).unwrap_or(record.visibility);
        }
        "protected" => record.protected = flag(),
        "os_hidden" => record.os_hidden = flag(),
        "owner" => record.owner = text(),
        "container_format" | "disk_format" if record.status != Status::Queued => {
            let why = format!("Attribute {key} can be only replaced for a queued image.");
            return Err(ApiError::forbidden(why).into());
        }
        "container_format" => record.container_format = text(),
        "disk_format" => record.disk_format = text(),
        "tags" => {
            let tags = value.as_array().map(Vec::as_slice).unwrap_or_default();
            record.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        "min_ram" => record.min_ram = number(Some(value)),
        "min_disk" => record.min_disk = number(Some(value)),
        _ => drop(record.properties.insert(key, text().unwrap_or_default())),
    }
    Ok(())
}
