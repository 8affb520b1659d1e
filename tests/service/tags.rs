//! Tags and actions at a service that loses its answers, and at one that cannot carry every tag in a path.

use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use glancefs::service::{Action, ImageService, Kind, Outgoing};
use serde_json::{Value, json};

use crate::edits::{count, is, shown};
use crate::peer::{Answer, Peer, Request};
use crate::{ID, connected, id, peer, remedy};

fn done() -> Answer {
    Answer::Full(204, String::new(), Vec::new())
}

fn missing() -> Answer {
    Answer::json(404, &json!({"message": "The resource could not be found.<br /><br />"}))
}

fn is_image(request: &Request) -> bool {
    request.path().ends_with(ID)
}

/// A service with one image that has these tags; it takes all tags at once, and no single ones.
async fn tagged(tags: &[&str]) -> Peer {
    let tags = Mutex::new(json!(tags));
    peer(move |request, _| match request.method() {
        "GET" if is_image(request) => Some(shown(&json!({"tags": *tags.lock().unwrap()}))),
        "PATCH" => {
            let changes = request.json();
            assert_eq!((changes.as_array().unwrap().len(), &changes[0]["path"]), (1, &json!("/tags")));
            *tags.lock().unwrap() = changes[0]["value"].clone();
            Some(shown(&json!({"tags": *tags.lock().unwrap()})))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_tag_is_one_call_with_the_tag_in_its_path() {
    let peer = peer(|request, _| matches!(request.method(), "PUT" | "DELETE").then(done)).await;
    let glance = connected(&peer).await;
    for (tag, path) in [("a", "a"), ("a b?c#d", "a%20b%3Fc%23d"), ("a+b;c=d&e", "a+b;c=d&e"), ("...", "...")] {
        for method in ["PUT", "DELETE"] {
            match method {
                "PUT" => glance.add_tag(id(), tag).await.unwrap(),
                _ => glance.remove_tag(id(), tag).await.unwrap(),
            }
            let request = peer.requests().pop().unwrap();
            assert_eq!((request.method(), request.target.as_str()), (method, &*format!("/v2/images/{ID}/tags/{path}")));
            assert!(request.body.is_empty(), "Glance refuses any");
        }
    }
    assert_eq!([count(&peer, "PUT"), count(&peer, "DELETE"), count(&peer, "PATCH")], [4, 4, 0]);
}

#[tokio::test]
async fn a_tag_that_no_path_carries_is_written_with_all_the_others() {
    for tag in ["\u{e9}", "a/b", "a%2Fb", ".", "..", "", "a\tb", "a\\b"] {
        let peer = tagged(&["old"]).await;
        let glance = connected(&peer).await;
        glance.add_tag(id(), tag).await.unwrap();
        assert_eq!(peer.requests().pop().unwrap().json()[0]["value"], json!(["old", tag]), "{tag:?}");
        glance.add_tag(id(), tag).await.unwrap();
        assert_eq!(count(&peer, "PATCH"), 1, "it has it already");
        glance.remove_tag(id(), tag).await.unwrap();
        assert_eq!(peer.requests().pop().unwrap().json()[0]["value"], json!(["old"]), "{tag:?}");
        let error = glance.remove_tag(id(), tag).await.unwrap_err();
        assert_eq!((error.kind, count(&peer, "PATCH")), (Kind::NotFound, 2));
        assert_eq!([count(&peer, "PUT"), count(&peer, "DELETE")], [0, 0]);
    }
}

#[tokio::test]
async fn tags_that_no_path_carries_and_come_at_once_are_all_kept() {
    let peer = tagged(&[]).await;
    let glance = connected(&peer).await;
    let tags: Vec<String> = (0..8).map(|n| format!("/{n}")).collect();
    let outcomes = futures_util::future::join_all(tags.iter().map(|tag| glance.add_tag(id(), tag))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(glance.show(id()).await.unwrap().tags, tags);
}

#[tokio::test]
async fn a_tag_whose_removal_was_not_answered_is_removed() {
    for lost in [Answer::Nothing, Answer::json(503, &json!({}))] {
        let peer = peer(move |request, before| {
            is(request, "DELETE").then(|| if before == 0 { lost.clone() } else { missing() })
        })
        .await;
        connected(&peer).await.remove_tag(id(), "a").await.unwrap();
        assert_eq!(count(&peer, "DELETE"), 2);
    }
}

#[tokio::test]
async fn a_tag_that_is_not_there_and_an_image_that_is_not_are_told_apart() {
    let there = peer(|request, _| match request.method() {
        "DELETE" => Some(missing()),
        "GET" if is_image(request) => Some(shown(&json!({}))),
        _ => None,
    })
    .await;
    let error = connected(&there).await.remove_tag(id(), "a").await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert_eq!(error.to_string(), format!("could not remove the tag 'a' from image {ID}: it has no such tag"));
    let gone =
        peer(|request, _| is_image(request).then(|| Answer::json(404, &json!({"message": "No image found with ID"}))))
            .await;
    let error = connected(&gone).await.remove_tag(id(), "a").await.unwrap_err();
    assert_eq!((error.kind, error.words.as_deref()), (Kind::NotFound, Some("No image found with ID")));
}

#[tokio::test]
async fn refusals_of_tags_keep_their_meaning() {
    for (status, kind) in [(400, Kind::Invalid), (403, Kind::Forbidden), (404, Kind::NotFound), (413, Kind::OverQuota)]
    {
        let peer = peer(move |request, _| match request.method() {
            "GET" if is_image(request) => Some(shown(&json!({}))),
            "GET" => None,
            _ => Some(Answer::json(status, &json!({"message": "so"}))),
        })
        .await;
        let glance = connected(&peer).await;
        for tag in ["a", "\u{e9}"] {
            let error = glance.add_tag(id(), tag).await.unwrap_err();
            let sentence = format!("could not add the tag '{tag}' to image {ID}: so{}", remedy(&kind));
            assert_eq!((error.kind.clone(), error.to_string()), (kind.clone(), sentence));
        }
        assert_eq!([count(&peer, "PUT"), count(&peer, "PATCH")], [1, 1]);
    }
}

#[tokio::test]
async fn an_image_is_not_tagged_while_its_bytes_are_under_way() {
    let peer = peer(|request, _| (!is(request, "GET")).then(done)).await;
    let glance = connected(&peer).await;
    let (begin, signal) = tokio::sync::oneshot::channel::<()>();
    let (end, held) = tokio::sync::oneshot::channel::<()>();
    let body = futures_util::stream::once(async move {
        begin.send(()).unwrap();
        held.await.unwrap();
        Ok(Bytes::from_static(b"x"))
    });
    let meanwhile = async {
        signal.await.unwrap();
        for outcome in [glance.add_tag(id(), "a").await, glance.remove_tag(id(), "/").await] {
            let error = outcome.unwrap_err();
            assert!(error.kind == Kind::Conflict && error.to_string().contains("is being uploaded"), "{error}");
        }
        end.send(()).unwrap();
    };
    let (_, ()) = tokio::join!(glance.upload(Outgoing { image: id(), size: 1, body: body.boxed() }), meanwhile);
    assert_eq!([count(&peer, "PATCH"), count(&peer, "DELETE")], [0, 0]);
    glance.add_tag(id(), "a").await.unwrap();
}

#[tokio::test]
async fn an_action_is_asked_for_without_a_body() {
    let peer = peer(|request, _| is(request, "POST").then(done)).await;
    let glance = connected(&peer).await;
    for (action, word) in [(Action::Deactivate, "deactivate"), (Action::Reactivate, "reactivate")] {
        glance.act(id(), action).await.unwrap();
        let request = peer.requests().pop().unwrap();
        assert_eq!(request.target, format!("/v2/images/{ID}/actions/{word}"));
        assert_eq!((request.header("content-length"), request.header("content-type")), (Some("0"), None));
    }
}

#[tokio::test]
async fn an_action_that_the_status_forbids_is_a_conflict_and_one_that_a_policy_forbids_is_not() {
    let (by_status, by_policy) =
        ("Not allowed to deactivate image in status 'x'", "You are not authorized to complete");
    for (status, words, kind) in [
        ("queued", by_status, Kind::Conflict),
        ("saving", by_status, Kind::Conflict),
        ("importing", by_status, Kind::Conflict),
        ("queued", by_policy, Kind::Forbidden),
        ("active", by_policy, Kind::Forbidden),
        ("deactivated", "so", Kind::Forbidden),
    ] {
        let peer = peer(move |request, _| match request.method() {
            "POST" => Some(Answer::json(403, &json!({"message": words}))),
            "GET" if is_image(request) => Some(shown(&json!({"status": status}))),
            _ => None,
        })
        .await;
        let error = connected(&peer).await.act(id(), Action::Deactivate).await.unwrap_err();
        assert_eq!((error.kind.clone(), count(&peer, "POST")), (kind.clone(), 1), "{status}");
        assert_eq!(error.to_string(), format!("could not deactivate image {ID}: {words}{}", remedy(&kind)));
    }
}

#[tokio::test]
async fn the_schema_is_asked_for_once_and_builtin_where_there_is_none() {
    let described = json!({"name": "image", "properties": {"site": {"type": "string", "readOnly": true}}});
    let peer = peer(move |request, before| match (request.path(), before) {
        ("/v2/schemas/image", 0) => Some(Answer::json(503, &json!({}))),
        ("/v2/schemas/image", _) => Some(Answer::json(200, &described)),
        _ => None,
    })
    .await;
    let glance = connected(&peer).await;
    for _ in 0..2 {
        let schema = glance.schema().await.unwrap();
        assert!(schema.is_read_only("site"), "as this service describes it");
    }
    assert_eq!(peer.requests().iter().filter(|request| request.path() == "/v2/schemas/image").count(), 2);
    for (status, body) in [(404, json!({})), (405, json!({})), (200, json!({"schema": Value::Null}))] {
        let peer =
            crate::peer(move |request, _| (request.path() == "/v2/schemas/image").then(|| Answer::json(status, &body)))
                .await;
        let schema = connected(&peer).await.schema().await.unwrap();
        assert!(schema.is_attribute("checksum") && !schema.is_attribute("site"), "{status}");
    }
    let away =
        crate::peer(|request, _| (request.path() == "/v2/schemas/image").then(|| Answer::json(503, &json!({})))).await;
    assert_eq!(connected(&away).await.schema().await.unwrap_err().kind, Kind::Unavailable);
}
