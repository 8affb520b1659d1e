//! `POST /v2/images/{id}/import`: data that comes otherwise than in an upload. What it leads to comes behind the answer.

use super::create::read_json;
use super::errors::{ApiError, Refusal};
use super::importing;
use super::quota;
use super::record::{DEFAULT_STORE, Record, STORES, Status};
use super::routes::RequestId;
use super::service::{Caller, Service, on_disk};
use super::store::{Unwritten, now};
use super::task::{Method, Progress, Task};
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

/// Begins an import.
pub(crate) async fn import(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let body = read_json(body).await?;
    let wanted = Wanted::parse(&body, &parts.headers)?;
    quota::may_hold(&service, &caller, None)?;
    let record = service.visible(&caller, &id)?;
    wanted.may_begin(&caller, &record)?;
    let stores = wanted.stores(&record)?;
    if wanted.method == Method::CopyImage && stores.is_empty() {
        return Ok(accepted());
    }
    let source = match wanted.method {
        Method::WebDownload => Some(source(&service, body.pointer("/method/uri")).await?),
        Method::GlanceDirect | Method::CopyImage => None,
    };
    let now = now();
    let task = Task {
        id: Uuid::new_v4().to_string(),
        method: wanted.method,
        progress: Progress::Pending,
        owner: caller.project.clone(),
        user: caller.user.clone(),
        request: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        body: body.clone(),
        stores,
        message: String::new(),
        created_at: now,
        updated_at: now,
        expires_at: None,
    };
    let (store, changed, asker) = (Arc::clone(&service.store), id.clone(), caller.clone());
    let begun = on_disk(move || {
        store.change(&changed, |record| {
            // Another import may have begun since the look.
            wanted.may_begin(&asker, record)?;
            importing::lock(record, task);
            Ok::<(), Refusal>(())
        })
    });
    match begun.await? {
        Ok(Ok(_)) => {}
        Ok(Err(refusal)) => return Err(refusal),
        Err(Unwritten::Missing) => return Err(ApiError::no_image(&id).into()),
        Err(other) => return Err(other.into()),
    }
    importing::spawn(service, caller, id, source);
    Ok(accepted())
}

fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// What a request asks for.
struct Wanted {
    method: Method,
    stores: Stores,
    /// `all_stores`
    everywhere: bool,
}

/// Where the data is to go, as the request puts it.
enum Stores {
    All,
    Listed(Vec<Value>),
    /// Named by a header, or the default.
    One(String),
    /// Named twice.
    Contradictory(&'static str),
}

impl Wanted {
    fn parse(body: &Value, headers: &HeaderMap) -> Result<Self, Refusal> {
        let bad = |why: String| Refusal::from(ApiError::bad_request(why));
        // Glance fails over bodies and methods that are no objects.
        let body = body.as_object().ok_or_else(ApiError::internal)?;
        let method = body.get("method").ok_or_else(|| bad("Import request requires a 'method' field.".into()))?;
        let method = method.as_object().ok_or_else(ApiError::internal)?;
        let name = method.get("name").ok_or_else(|| bad("Import request requires a 'name' field.".into()))?;
        let method = name.as_str().and_then(Method::parse).ok_or_else(|| {
            let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            bad(format!("Unknown import method name '{shown}'."))
        })?;
        let flag = |key: &str| match body.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(bad(format!("'{key}' must be boolean value only"))),
        };
        flag("all_stores_must_succeed")?;
        let everywhere = flag("all_stores")?.unwrap_or(false);
        let stores = Stores::parse(everywhere, body.get("stores"), headers)?;
        Ok(Self { method, stores, everywhere })
    }

    /// Refuses an import for which the image is not ready, or which is not the caller's to begin.
    fn may_begin(&self, caller: &Caller, record: &Record) -> Result<(), Refusal> {
        let unready = match (self.method, record.status) {
            (Method::GlanceDirect | Method::WebDownload, Status::Active) => {
                Some("Image with status active cannot be target for import")
            }
            (Method::CopyImage, status) if status != Status::Active => {
                Some("Only images with status active can be targeted for copying")
            }
            (Method::WebDownload, status) if status != Status::Queued => {
                Some("Image needs to be in 'queued' state to use 'web-download' method")
            }
            (Method::GlanceDirect, status) if status != Status::Uploading => {
                Some("Image needs to be staged before 'glance-direct' method can be used")
            }
            _ if record.container_format.is_none() => Some("'container_format' needs to be set before import"),
            _ if record.disk_format.is_none() => Some("'disk_format' needs to be set before import"),
            _ => None,
        };
        if let Some(why) = unready {
            return Err(ApiError::conflict(why).into());
        }
        match self.method {
            Method::CopyImage if !caller.admin => return Err(ApiError::policy("copy_image").into()),
            Method::CopyImage => {}
            Method::GlanceDirect | Method::WebDownload => caller.must_manage(record, "modify_image")?,
        }
        if importing::is_locked(record) { Err(ApiError::conflict("Image has active task").into()) } else { Ok(()) }
    }

    /// The stores that the data goes to.
    fn stores(&self, record: &Record) -> Result<Vec<String>, Refusal> {
        let names: Vec<String> = match &self.stores {
            Stores::All => STORES.map(str::to_owned).to_vec(),
            Stores::Listed(names) => names.iter().map(word).collect(),
            Stores::One(name) => vec![name.clone()],
            Stores::Contradictory(why) => return Err(ApiError::bad_request(*why).into()),
        };
        if let Some(unknown) = names.iter().find(|name| !STORES.contains(&name.as_str())) {
            return Err(ApiError::conflict(format!("Store for identifier {unknown} not found")).into());
        }
        if self.method != Method::CopyImage {
            return Ok(names);
        }
        let held = |name: &String| importing::stores(record).any(|held| held == name.as_str());
        match names.iter().find(|name| !self.everywhere && held(name)) {
            Some(name) => Err(ApiError::bad_request(format!("Image is already present at store '{name}'")).into()),
            None => Ok(names.into_iter().filter(|name| !held(name)).collect()),
        }
    }
}

impl Stores {
    fn parse(everywhere: bool, listed: Option<&Value>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let header = headers.get("x-image-meta-store").and_then(|value| value.to_str().ok());
        Ok(match (everywhere, listed, header) {
            (true, None, None) => Self::All,
            (true, ..) => Self::Contradictory(
                "All_stores parameter can't be used with x-image-meta-store header or stores parameter",
            ),
            (false, Some(_), Some(_)) => {
                Self::Contradictory("Stores parameter and x-image-meta-store header can't be both specified")
            }
            (false, Some(Value::Array(names)), None) => Self::Listed(names.clone()),
            // A word is a list of letters to Python.
            (false, Some(Value::String(word)), None) => {
                Self::Listed(word.chars().map(|letter| letter.to_string().into()).collect())
            }
            (false, Some(_), None) => return Err(ApiError::internal().into()),
            (false, None, header) => Self::One(header.unwrap_or(DEFAULT_STORE).to_owned()),
        })
    }
}

fn word(name: &Value) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}

/// The address to fetch from, if the service may.
async fn source(service: &Service, given: Option<&Value>) -> Result<Url, Refusal> {
    let given = match given {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.as_str()),
        // Glance fails over it.
        Some(_) => return Err(ApiError::internal().into()),
    };
    let access = service.behaviour().web_download;
    let url = given.and_then(|text| Url::parse(text).ok());
    if let Some(url) = url
        && access.addresses(&url).await.is_ok()
    {
        return Ok(url);
    }
    let shown = given.unwrap_or("None");
    Err(ApiError::bad_request(format!("URI for web-download does not pass filtering: {shown}")).into())
}
