//! Glance's JSON as our words. What is missing or odd is survived: a listing must not fail for one strange image.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::address::{reticent, without_secrets};
use super::fields::Fields;
use crate::image::{Image, Member, Task, Usage};

/// A listing of which nothing is looked at.
#[derive(Deserialize)]
pub(super) struct AnyListing {
    #[serde(rename = "images")]
    _images: IgnoredAny,
}

/// One image; `None` where its id is no UUID, which no path could name.
pub(super) fn image(fields: Map<String, Value>) -> Option<Image> {
    serde_json::from_value::<Fields>(Value::Object(fields)).ok()?.into_image(None)
}

fn text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// `GET /v2/images/{id}/members`.
#[derive(Deserialize)]
pub(super) struct Members {
    members: Vec<MemberFields>,
}

/// One member: `GET /v2/images/{id}/members/{project}`, and what is answered to a change of one.
#[derive(Deserialize)]
pub(super) struct MemberFields {
    // A number where it was given as one.
    member_id: Value,
    status: String,
    updated_at: Option<String>,
}

impl From<MemberFields> for Member {
    fn from(fields: MemberFields) -> Self {
        Self {
            project: fields.member_id.as_str().map_or_else(|| fields.member_id.to_string(), ToOwned::to_owned),
            status: fields.status.as_str().into(),
            updated_at: fields.updated_at.and_then(|time| time.parse().ok()),
        }
    }
}

impl From<Members> for Vec<Member> {
    fn from(answer: Members) -> Self {
        answer.members.into_iter().map(Member::from).collect()
    }
}

/// `GET /v2/images/{id}/tasks`.
#[derive(Deserialize)]
pub(super) struct Tasks {
    #[serde(default)]
    tasks: Vec<Map<String, Value>>,
}

impl Tasks {
    /// The tasks, the newest last.
    pub(super) fn into_tasks(self) -> Vec<Task> {
        let mut tasks: Vec<Task> = self.tasks.into_iter().map(task).collect();
        tasks.sort_by_key(|task| task.created_at);
        tasks
    }
}

fn task(mut fields: Map<String, Value>) -> Task {
    let method = fields.get("input").and_then(|input| input.get("import_req")?.get("method"));
    let told = |key: &str| Some(method?.get(key)?.as_str()?.to_owned());
    let (method, uri) = (told("name"), told("uri"));
    Task {
        id: text(&mut fields, "id").unwrap_or_default(),
        kind: text(&mut fields, "type").unwrap_or_default(),
        status: text(&mut fields, "status").as_deref().unwrap_or_default().into(),
        message: reticent(text(&mut fields, "message").unwrap_or_default(), uri.as_deref().unwrap_or_default()),
        method,
        uri: uri.as_deref().map(without_secrets),
        created_at: text(&mut fields, "created_at").as_deref().and_then(time_of_task),
        request_id: text(&mut fields, "request_id"),
    }
}

/// The time of a task, which Glance gives to the microsecond and without the zone, which is UTC.
fn time_of_task(time: &str) -> Option<Timestamp> {
    time.parse().ok().or_else(|| format!("{time}Z").parse().ok())
}

/// `GET /v2/info/import`.
#[derive(Deserialize)]
pub(super) struct ImportInfo {
    #[serde(rename = "import-methods")]
    methods: ImportMethods,
}

#[derive(Deserialize)]
struct ImportMethods {
    value: Vec<String>,
}

impl ImportInfo {
    /// Whether images are imported in this way.
    pub(super) fn offers(&self, method: &str) -> bool {
        self.methods.value.iter().any(|offered| offered == method)
    }
}

/// `GET /v2/info/usage`. Sizes are in MiB; a limit of -1 is none.
#[derive(Deserialize)]
pub(super) struct UsageAnswer {
    usage: BTreeMap<String, Quota>,
}

#[derive(Clone, Copy, Deserialize)]
struct Quota {
    usage: u64,
    limit: i64,
}

impl UsageAnswer {
    /// `None` where the service counts nothing.
    pub(super) fn into_usage(self) -> Option<Usage> {
        let size = self.usage.get("image_size_total")?;
        let count = self.usage.get("image_count_total");
        let limit = |quota: &Quota| u64::try_from(quota.limit).ok();
        Some(Usage {
            used: size.usage.saturating_mul(1 << 20),
            limit: limit(size).map(|mib| mib.saturating_mul(1 << 20)),
            images: count.map_or(0, |count| count.usage),
            image_limit: count.and_then(limit),
        })
    }
}

/// `GET /` or `GET /versions`.
#[derive(Deserialize)]
pub(super) struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    id: String,
    #[serde(default)]
    status: String,
}

impl Versions {
    /// The best version of the API's second generation: the current one, or the highest; `None` where it has none.
    pub(super) fn best(&self) -> Option<&str> {
        let minor = |id: &str| id.strip_prefix("v2.").and_then(|minor| minor.parse::<u32>().ok());
        let second = self.versions.iter().filter(|version| version.id == "v2" || minor(&version.id).is_some());
        let best = second.max_by_key(|version| (version.status.eq_ignore_ascii_case("CURRENT"), minor(&version.id)));
        best.map(|version| version.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::TaskStatus;

    #[test]
    fn tasks_come_in_the_order_of_their_making_and_odd_ones_are_survived() {
        let input = json!({"import_req": {"method": {"name": "web-download", "uri": "http://u:p@h/x?sig=1"}}});
        let late = json!({"id": "b", "type": "api_image_import", "status": "failure", "message": "no http://u:p@h/x?sig=1", "input": input,
            "created_at": "2026-11-21T15:23:27.566332", "request_id": "req-1"});
        let early = json!({"id": "a", "status": "success", "message": null, "created_at": "2026-11-21T15:23:26Z"});
        let odd = json!({"id": 5, "status": "new", "input": "import_req", "created_at": "then"});
        let answer: Tasks = serde_json::from_value(json!({"tasks": [late, early, odd]})).unwrap();
        let tasks = answer.into_tasks();
        assert_eq!(tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["", "a", "b"]);
        assert_eq!((tasks[0].status.as_str(), &tasks[0].method), ("new", &None));
        assert_eq!(tasks[2].created_at, Some("2026-11-21T15:23:27.566332Z".parse().unwrap()));
        assert_eq!((tasks[2].method.as_deref(), tasks[2].uri.as_deref()), (Some("web-download"), Some("http://h/x")));
        assert_eq!((&tasks[2].status, tasks[2].message.as_str()), (&TaskStatus::Failure, "no http://h/x"));
        assert_eq!(tasks[2].request_id.as_deref(), Some("req-1"));
        assert!(serde_json::from_value::<Tasks>(json!({})).unwrap().into_tasks().is_empty());
    }

    #[test]
    fn a_quota_is_in_mebibytes_and_minus_one_is_none() {
        let usage = |limit: i64| {
            let text = json!({"usage": {"image_size_total": {"usage": 3, "limit": limit}}});
            serde_json::from_value::<UsageAnswer>(text).unwrap().into_usage().unwrap()
        };
        assert_eq!((usage(20).used, usage(20).limit), (3 << 20, Some(20 << 20)));
        assert_eq!(usage(-1).limit, None);
        let none: UsageAnswer = serde_json::from_value(json!({"usage": {}})).unwrap();
        assert_eq!(none.into_usage(), None);
    }

    #[test]
    fn the_current_version_is_taken_in_whatever_order_they_come() {
        let versions = |list: &[(&str, &str)]| Versions {
            versions: list.iter().map(|(id, status)| Version { id: (*id).into(), status: (*status).into() }).collect(),
        };
        let real =
            versions(&[("v2.15", "SUPPORTED"), ("v2.8", "SUPPORTED"), ("v2.17", "CURRENT"), ("v2.7", "SUPPORTED")]);
        assert_eq!(real.best(), Some("v2.17"));
        assert_eq!(versions(&[("v2.9", ""), ("v2.10", "")]).best(), Some("v2.10"));
        assert_eq!(versions(&[("v1.1", "CURRENT"), ("v3", "CURRENT")]).best(), None);
    }
}
