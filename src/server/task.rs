//! Imports as tasks: what is remembered of each, and how they are shown.
//!
//! They lie in the record of their image and go with it, where Glance keeps them for two days in a table of their own.

use super::errors::{ApiError, Refusal};
use super::list::{Query, limit};
use super::record::{Record, shown_time};
use super::routes::json;
use super::service::{Caller, Service};
use super::store::now;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json as value};

/// How long Glance keeps a task that has ended.
const KEPT: SignedDuration = SignedDuration::from_hours(48);
/// What Glance says of every failure inside of an import.
pub(crate) const FAILED: &str = "Task failed due to Internal Error";

/// Where an import takes the data from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// From what was staged.
    GlanceDirect,
    /// From a web server.
    WebDownload,
    /// From another store, for an image that is active.
    CopyImage,
}

impl Method {
    /// All of them, in Glance's order.
    pub(crate) const WORDS: [&str; 3] = ["glance-direct", "web-download", "copy-image"];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "glance-direct" => Some(Self::GlanceDirect),
            "web-download" => Some(Self::WebDownload),
            "copy-image" => Some(Self::CopyImage),
            _ => None,
        }
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    Pending,
    Processing,
    Success,
    Failure,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) progress: Progress,
    /// The project whose import it is.
    pub(crate) owner: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) request: String,
    /// The body of the request.
    pub(crate) body: Value,
    /// The stores that it is for.
    pub(crate) stores: Vec<String>,
    pub(crate) message: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// When Glance would forget it, once it has ended.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Task {
    /// Writes down how far it is; a message stays until there is another.
    pub(crate) fn advance(&mut self, progress: Progress, message: Option<String>) {
        self.progress = progress;
        self.message = message.unwrap_or_else(|| std::mem::take(&mut self.message));
        self.updated_at = now();
        let over = matches!(progress, Progress::Success | Progress::Failure);
        self.expires_at = if over { self.updated_at.checked_add(KEPT).ok() } else { None };
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Pending | Progress::Processing)
    }

    /// Whether it may leave some of its stores unfilled.
    pub(crate) fn is_tolerant(&self) -> bool {
        self.body.get("all_stores_must_succeed") == Some(&Value::Bool(false))
    }

    fn input(&self, image: &str) -> Value {
        value!({"image_id": image, "import_req": self.body, "backend": self.stores})
    }

    fn result(&self, image: &str) -> Value {
        if self.progress == Progress::Success { value!({"image_id": image}) } else { Value::Null }
    }

    /// As the tasks of an image are shown: the row of a table.
    fn row(&self, image: &str) -> Value {
        let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        value!({
            "id": self.id, "type": "api_image_import", "status": self.progress, "owner": self.owner,
            "expires_at": self.expires_at.map(time), "created_at": time(self.created_at),
            "updated_at": time(self.updated_at), "deleted_at": null, "deleted": false, "image_id": image,
            "request_id": self.request, "user_id": self.user, "input": self.input(image),
            "result": self.result(image), "message": self.message,
        })
    }

    /// As a list of all tasks shows it.
    fn brief(&self) -> Map<String, Value> {
        let entries = [
            ("id", value!(self.id)),
            ("type", value!("api_image_import")),
            ("status", value!(self.progress)),
            ("owner", value!(self.owner)),
            ("created_at", value!(shown_time(self.created_at))),
            ("updated_at", value!(shown_time(self.updated_at))),
            ("self", value!(format!("/v2/tasks/{}", self.id))),
            ("schema", value!("/v2/schemas/task")),
        ];
        let until = self.expires_at.map(|time| ("expires_at", value!(shown_time(time))));
        entries.into_iter().chain(until).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Record {
    /// The import that works on the image.
    pub(crate) fn open_task(&mut self) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.is_open())
    }
}

/// Shows the imports of an image that the caller's own project began; an administrator sees all of them.
pub(crate) fn of_image(service: &Service, caller: &Caller, id: &str) -> Result<Response<Body>, Refusal> {
    let record = service.visible(caller, id).map_err(|_| ApiError::no_resource())?;
    let own = |task: &&Task| caller.admin || task.owner == caller.project;
    let tasks: Vec<Value> = record.tasks.iter().filter(own).map(|task| task.row(id)).collect();
    Ok(json(StatusCode::OK, &value!({"tasks": tasks})))
}

/// Lists the tasks of all images, newest first, for an administrator.
pub(crate) fn list(service: &Service, query: &str) -> Result<Response<Body>, Refusal> {
    let query = Query::parse(query)?;
    let limit = limit(query.last("limit"))?;
    let records: Vec<_> = service.store.index().by_age(None).cloned().collect();
    let mut tasks: Vec<&Task> = records.iter().flat_map(|record| &record.tasks).collect();
    tasks.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    if let Some(marker) = query.last("marker") {
        let at = tasks.iter().position(|task| task.id == marker);
        let at = at.ok_or_else(|| ApiError::bad_request("Invalid marker format"))?;
        tasks.drain(..=at);
    }
    if let Some(status) = query.last("status") {
        tasks.retain(|task| value!(task.progress) == status);
    }
    tasks.truncate(limit);
    let next = tasks.last().filter(|_| tasks.len() == limit).map(|last| query.page("/v2/tasks", Some(&last.id)));
    let shown: Vec<_> = tasks.into_iter().map(Task::brief).collect();
    let mut page = value!({"tasks": shown, "first": query.page("/v2/tasks", None), "schema": "/v2/schemas/tasks"});
    if let (Some(next), Some(page)) = (next, page.as_object_mut()) {
        page.insert("next".into(), next.into());
    }
    Ok(json(StatusCode::OK, &page))
}

/// Shows one task, for an administrator.
pub(crate) fn show(service: &Service, id: &str) -> Result<Response<Body>, Refusal> {
    let index = service.store.index();
    let found = index.by_age(None).find_map(|record| {
        let task = record.tasks.iter().find(|task| task.id == id)?;
        let mut shown = task.brief();
        shown.insert("input".into(), task.input(&record.id));
        shown.insert("result".into(), task.result(&record.id));
        for (name, value) in [("message", value!(task.message)), ("image_id", value!(record.id))] {
            shown.insert(name.into(), value);
        }
        for (name, value) in [("request_id", value!(task.request)), ("user_id", value!(task.user))] {
            shown.insert(name.into(), value);
        }
        Some(shown)
    });
    match found {
        Some(shown) => Ok(json(StatusCode::OK, &shown)),
        None => Err(ApiError::not_found(format!("Could not find task {id}")).into()),
    }
}
