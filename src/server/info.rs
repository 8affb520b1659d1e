//! `GET /v2/info/…`: what the service offers, and what the project uses of it.

use super::errors::{ApiError, Refusal};
use super::record::{DEFAULT_STORE, STORES};
use super::routes::json;
use super::service::{Caller, Service};
use super::task::Method;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value, json as value};

/// The import methods.
pub(crate) fn import_methods() -> Response<Body> {
    let methods = value!({"description": "Import methods available.", "type": "array", "value": Method::WORDS});
    json(StatusCode::OK, &value!({"import-methods": methods}))
}

/// The stores.
pub(crate) fn stores() -> Response<Body> {
    json(StatusCode::OK, &value!({"stores": STORES.map(described)}))
}

fn described(name: &str) -> Map<String, Value> {
    let mut store =
        Map::from_iter([("id".to_owned(), name.into()), ("description".to_owned(), "a folder of this machine".into())]);
    if name == DEFAULT_STORE {
        store.insert("default".into(), "true".into());
    }
    store
}

/// The stores with what only an administrator may know.
pub(crate) fn stores_detail(caller: &Caller) -> Result<Response<Body>, Refusal> {
    if !caller.admin {
        return Err(ApiError::policy("stores_info_detail").into());
    }
    let detailed = STORES.map(|name| {
        let mut store = described(name);
        store.insert("type".into(), "file".into());
        store.insert("weight".into(), 0.into());
        store.insert("properties".into(), value!({}));
        store
    });
    Ok(json(StatusCode::OK, &value!({"stores": detailed})))
}

/// The project's usage and limits; sizes in MiB. Without logins there are no limits to show.
pub(crate) fn usage(service: &Service, caller: &Caller) -> Response<Body> {
    let Some(quota) = caller.quota else {
        return json(StatusCode::OK, &value!({"usage": {}}));
    };
    let used = service.store.index().usage(caller.project.as_ref());
    let usage = value!({
        "image_size_total": {"usage": used.bytes >> 20, "limit": quota.image_size_total},
        "image_stage_total": {"usage": used.staged >> 20, "limit": quota.image_stage_total},
        "image_count_total": {"usage": used.images, "limit": quota.image_count_total},
        "image_count_uploading": {"usage": used.uploading, "limit": quota.image_count_uploading},
    });
    json(StatusCode::OK, &value!({"usage": usage}))
}
