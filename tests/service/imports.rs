//! Imports at a service that loses its answers, offers none, or repeats what it should not.

use glancefs::image::TaskStatus;
use glancefs::service::{ImageService, Kind};
use serde_json::{Value, json};

use crate::edits::{count, is, shown};
use crate::peer::{Answer, Peer};
use crate::{ID, connected, id, peer};

const URL: &str = "http://user:pass@images.example/a.img?sig=secret";

fn told(status: u16, words: &str) -> Answer {
    Answer::json(status, &json!({ "message": words }))
}

fn accepted() -> Answer {
    Answer::Full(202, String::new(), Vec::new())
}

fn task(url: &str, status: &str) -> Value {
    json!({"id": "t", "type": "api_image_import", "status": status, "message": "",
        "input": {"import_req": {"method": {"name": "web-download", "uri": url}}}, "created_at": "2026-11-21T15:23:27.5"})
}

/// A service that keeps the answer to the first request to itself and refuses the second, and shows these tasks, or none
/// of any image, and this image.
async fn forgetful(tasks: Option<Value>, image: Value) -> Peer {
    peer(move |request, before| match (request.method(), before) {
        ("POST", 0) => Some(Answer::Nothing),
        ("POST", _) => Some(told(409, "Image needs to be in 'queued' state to use 'web-download' method")),
        ("GET", _) if request.path().ends_with("/tasks") => {
            tasks.as_ref().map(|tasks| Answer::json(200, &json!({ "tasks": tasks })))
        }
        ("GET", _) if request.path().ends_with(ID) => Some(shown(&image)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn an_import_names_its_method_and_its_address() {
    let peer = peer(|request, _| is(request, "POST").then(accepted)).await;
    connected(&peer).await.import(id(), URL).await.unwrap();
    let request = peer.requests().pop().unwrap();
    assert_eq!(request.target, format!("/v2/images/{ID}/import"));
    assert_eq!(request.json(), json!({"method": {"name": "web-download", "uri": URL}}));
}

#[tokio::test]
async fn an_import_whose_answer_was_lost_is_under_way() {
    let ours = Some(json!([task(URL, "processing")]));
    let importing = json!({"status": "importing"});
    let begun = json!({"status": "queued", "os_glance_import_task": "t"});
    for (tasks, image) in [(ours, json!({})), (None, importing), (None, begun)] {
        let peer = forgetful(tasks, image).await;
        connected(&peer).await.import(id(), URL).await.unwrap();
        assert_eq!(count(&peer, "POST"), 2);
    }
    let formats = json!({"status": "active", "disk_format": "raw", "container_format": "bare"});
    for tasks in [Some(json!([task(URL, "failure"), task("http://elsewhere/", "processing")])), None] {
        let peer = forgetful(tasks, formats.clone()).await;
        assert_eq!(connected(&peer).await.import(id(), URL).await.unwrap_err().kind, Kind::Conflict);
    }
}

#[tokio::test]
async fn an_import_into_an_image_that_is_not_queued_is_a_conflict() {
    let importing = json!({"status": "importing", "disk_format": "raw", "container_format": "bare"});
    let peer = peer(move |request, _| match request.method() {
        "POST" => Some(told(409, "Image needs to be in 'queued' state to use 'web-download' method")),
        "GET" if request.path().ends_with(ID) => Some(shown(&importing)),
        "GET" if request.path().ends_with("/tasks") => {
            Some(Answer::json(200, &json!({"tasks": [task(URL, "processing")]})))
        }
        _ => None,
    })
    .await;
    let error = connected(&peer).await.import(id(), URL).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "nobody lost an answer: somebody else asked for the same");
    let sentence = error.to_string();
    assert!(
        sentence.starts_with(&format!("could not import http://images.example/a.img into image {ID}")),
        "{sentence}"
    );
}

#[tokio::test]
async fn an_import_without_formats_is_invalid() {
    let peer = peer(|request, _| match request.method() {
        "POST" => Some(told(409, "'container_format' needs to be set before import")),
        "GET" if request.path().ends_with(ID) => Some(shown(&json!({"disk_format": "raw"}))),
        _ => None,
    })
    .await;
    assert_eq!(connected(&peer).await.import(id(), URL).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn an_address_that_the_service_does_not_fetch_from_is_invalid_and_told_without_its_secrets() {
    for methods in [json!(["glance-direct", "web-download"]), Value::Null] {
        let info = json!({"import-methods": {"type": "array", "value": methods}});
        let peer = peer(move |request, _| match request.path() {
            "/v2/info/import" => Some(Answer::json(200, &info)),
            _ if is(request, "POST") => {
                Some(told(400, &format!("URI for web-download does not pass filtering: {URL}<br /><br />")))
            }
            _ => None,
        })
        .await;
        let error = connected(&peer).await.import(id(), URL).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        let words = "URI for web-download does not pass filtering: http://images.example/a.img; its operator says from \
                     which hosts and ports it fetches";
        assert_eq!(error.words.as_deref(), Some(words));
        assert!(!format!("{error} {error:?}").contains("pass@") && !format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_service_that_fetches_nothing_does_not_offer_it() {
    let peer = peer(|request, _| match request.path() {
        "/v2/info/import" => {
            Some(Answer::json(200, &json!({"import-methods": {"type": "array", "value": ["glance-direct"]}})))
        }
        _ if is(request, "POST") => Some(told(400, "Unknown import method name 'web-download'.")),
        _ => None,
    })
    .await;
    let error = connected(&peer).await.import(id(), URL).await.unwrap_err();
    assert!(error.kind == Kind::NotOffered && error.to_string().contains("web-download"), "{error}");
}

#[tokio::test]
async fn tasks_are_none_where_the_service_tells_none() {
    let shown = peer(|request, _| {
        request.path().ends_with("/tasks").then(|| Answer::json(200, &json!({"tasks": [task(URL, "failure")]})))
    })
    .await;
    let tasks = connected(&shown).await.tasks(id()).await.unwrap();
    assert_eq!((tasks.len(), &tasks[0].status), (1, &TaskStatus::Failure));
    assert_eq!(tasks[0].uri.as_deref(), Some("http://images.example/a.img"));
    for status in [403, 404, 405] {
        let peer = peer(move |request, _| request.path().ends_with("/tasks").then(|| told(status, "so"))).await;
        assert_eq!(connected(&peer).await.tasks(id()).await.unwrap(), [], "{status}");
    }
    let away = peer(|request, _| request.path().ends_with("/tasks").then(|| told(503, "so"))).await;
    assert_eq!(connected(&away).await.tasks(id()).await.unwrap_err().kind, Kind::Unavailable);
}
