//! `PUT` and `DELETE /v2/images/{id}/tags/{tag}`: one tag at a time.

use super::create::{MOST_TAGS, limit_words};
use super::errors::{ApiError, Refusal};
use super::record::Record;
use super::routes::{no_content, without_body};
use super::service::{Caller, Service, on_disk};
use super::store::Unwritten;
use super::validate;
use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::{Map, json};
use std::sync::Arc;

/// Adds a tag; one that is there already counts as a change all the same.
pub(crate) async fn add(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    tag: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    validate::against_schema(&Map::from_iter([("tags".to_owned(), json!([tag]))]))?;
    without_body(&request)?;
    change(service, caller, id, move |record| {
        record.tags.insert(tag);
        if record.tags.len() <= MOST_TAGS {
            return Ok(());
        }
        let (id, why) = (&record.id, limit_words("tags", record.tags.len(), MOST_TAGS));
        Err(ApiError::too_large(format!("Image tag limit exceeded for image {id}: {why}:")).into())
    })
    .await
}

/// Removes a tag that is there.
pub(crate) async fn remove(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    tag: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    without_body(&request)?;
    change(
        service,
        caller,
        id,
        move |record| {
            if record.tags.remove(&tag) { Ok(()) } else { Err(ApiError::no_resource().into()) }
        },
    )
    .await
}

async fn change(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    change: impl FnOnce(&mut Record) -> Result<(), Refusal> + Send + 'static,
) -> Result<Response<Body>, Refusal> {
    let missing = || Refusal::from(ApiError::not_found(format!("Image {id} not found.")));
    let record = service.visible(&caller, &id).map_err(|_| missing())?;
    caller.must_manage(&record, "modify_image")?;
    let (store, changed) = (Arc::clone(&service.store), id.clone());
    match on_disk(move || store.change(&changed, change)).await? {
        Ok(outcome) => outcome.map(|_| no_content()),
        Err(Unwritten::Missing) => Err(missing()),
        Err(other) => Err(other.into()),
    }
}
