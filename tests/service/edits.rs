//! Making, changing and deleting images at a service that loses its answers.

use glancefs::image::{ImageId, Text};
use glancefs::service::{Change, ImageService, Kind, NewImage};
use serde_json::{Value, json};

use crate::peer::{Answer, Peer, Request};
use crate::{ID, connected, id, peer};

const IMAGES: &str = "/v2/images";

fn new(name: &str) -> NewImage {
    NewImage { name: Some(name.to_owned()), ..NewImage::new(id()) }
}

fn taken() -> Answer {
    Answer::json(409, &json!({"message": format!("Image ID {ID} already exists!<br /><br />")}))
}

pub(crate) fn shown(more: &Value) -> Answer {
    let mut image = json!({"id": ID, "name": "n", "status": "queued", "tags": []});
    image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Answer::json(200, &image)
}

pub(crate) fn is(request: &Request, method: &str) -> bool {
    request.method() == method
}

/// How many requests of this method came.
pub(crate) fn count(peer: &Peer, method: &str) -> usize {
    peer.requests().iter().filter(|request| is(request, method)).count()
}

/// A service that keeps the first answer to a creation to itself, refuses the second, and shows this.
async fn forgetful(image: Value) -> Peer {
    let posts = std::sync::atomic::AtomicUsize::new(0);
    peer(move |request, _| match (request.method(), request.path()) {
        ("POST", IMAGES) if posts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => Some(Answer::Nothing),
        ("POST", IMAGES) => Some(taken()),
        ("GET", path) if path.ends_with(ID) => Some(shown(&image)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_makes_one_image() {
    let peer = forgetful(json!({})).await;
    let made = connected(&peer).await.create(&new("n")).await.unwrap();
    assert_eq!((made.id, made.name.as_deref()), (id(), Some("n")));
    assert_eq!(count(&peer, "POST"), 2);
    let posts: Vec<_> = peer.requests().into_iter().filter(|request| is(request, "POST")).collect();
    assert_eq!(posts[0].json(), json!({"id": ID, "name": "n"}));
    assert_eq!(posts[0].body, posts[1].body);
}

#[tokio::test]
async fn an_image_that_is_not_the_one_that_was_asked_for_is_a_conflict() {
    for other in [json!({"name": "other"}), json!({"status": "active"})] {
        let peer = forgetful(other).await;
        assert_eq!(connected(&peer).await.create(&new("n")).await.unwrap_err().kind, Kind::Conflict);
    }
    // Nobody lost an answer: the image was there before, whatever it looks like.
    let peer = peer(|request, _| match request.method() {
        "POST" => Some(taken()),
        _ if request.path().ends_with(ID) => Some(shown(&json!({}))),
        _ => None,
    })
    .await;
    assert_eq!(connected(&peer).await.create(&new("n")).await.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_has_succeeded() {
    for lost in [Answer::Nothing, Answer::json(503, &json!({}))] {
        let peer = peer(move |request, before| {
            let missing = Answer::json(404, &json!({"message": "Failed to find image to delete"}));
            is(request, "DELETE").then(|| if before == 0 { lost.clone() } else { missing })
        })
        .await;
        connected(&peer).await.delete(id()).await.unwrap();
        assert_eq!(count(&peer, "DELETE"), 2);
    }
    let peer = peer(|_, _| None).await;
    assert_eq!(connected(&peer).await.delete(id()).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn changes_go_in_the_services_own_dialect() {
    let peer = peer(|request, _| is(request, "PATCH").then(|| shown(&json!({"p": "v"})))).await;
    let changes = [Change::set("p", "v"), Change::remove("a/b")];
    let image = connected(&peer).await.update(id(), &changes).await.unwrap();
    assert_eq!(image.properties.get("p").map(Text::as_str), Some("v"));
    let request = peer.requests().pop().unwrap();
    assert_eq!(request.header("content-type"), Some("application/openstack-images-v2.1-json-patch"));
    let expected = json!([{"op": "add", "path": "/p", "value": "v"}, {"op": "remove", "path": "/a~1b"}]);
    assert_eq!((request.target.as_str(), request.json()), (format!("/v2/images/{ID}").as_str(), expected));
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_has_succeeded() {
    let peer = peer(|request, before| match (request.method(), before) {
        ("PATCH", 0) => Some(Answer::Nothing),
        ("PATCH", _) => Some(Answer::json(409, &json!({"message": "Property p does not exist."}))),
        ("GET", _) if request.path().ends_with(ID) => Some(shown(&json!({"name": "new"}))),
        _ => None,
    })
    .await;
    let changes = [Change::remove("p"), Change::set("name", "new")];
    assert_eq!(connected(&peer).await.update(id(), &changes).await.unwrap().name.as_deref(), Some("new"));
}

#[tokio::test]
async fn after_a_conflict_only_what_is_still_to_do_is_sent() {
    let peer = peer(|request, before| match (request.method(), before) {
        ("PATCH", 0) => Some(Answer::json(409, &json!({"message": "Property p does not exist."}))),
        ("PATCH", _) => Some(shown(&json!({"q": "v"}))),
        ("GET", _) if request.path().ends_with(ID) => Some(shown(&json!({}))),
        _ => None,
    })
    .await;
    connected(&peer).await.update(id(), &[Change::remove("p"), Change::set("q", "v")]).await.unwrap();
    assert_eq!(peer.requests().pop().unwrap().json(), json!([{"op": "add", "path": "/q", "value": "v"}]));
}

#[tokio::test]
async fn what_a_success_does_not_show_is_sent_again() {
    let peer = peer(|request, before| match (request.method(), before) {
        ("PATCH", 0) => Some(shown(&json!({"p": "v", "q": "old"}))),
        ("PATCH", _) => Some(shown(&json!({"p": "v", "q": "v"}))),
        _ => None,
    })
    .await;
    let changes = [Change::set("p", "v"), Change::set("q", "v"), Change::remove("r")];
    let image = connected(&peer).await.update(id(), &changes).await.unwrap();
    assert_eq!(image.properties.get("q").map(Text::as_str), Some("v"));
    assert_eq!(peer.requests().pop().unwrap().json(), json!([{"op": "add", "path": "/q", "value": "v"}]));
    assert_eq!(count(&peer, "PATCH"), 2);
}

#[tokio::test]
async fn what_successes_never_show_is_a_conflict_in_the_end() {
    let peer = peer(|request, _| is(request, "PATCH").then(|| shown(&json!({"p": "v", "r": "still"})))).await;
    let changes = [Change::set("p", "v"), Change::set("q", "v"), Change::remove("r")];
    let error = connected(&peer).await.update(id(), &changes).await.unwrap_err();
    assert_eq!((error.kind.clone(), count(&peer, "PATCH")), (Kind::Conflict, 4));
    let sentence = error.to_string();
    assert!(sentence.contains("'q', 'r'") && !sentence.contains("'p'"), "{sentence}");
}

#[tokio::test]
async fn of_two_changes_of_a_key_the_last_is_sent() {
    let peer = peer(|request, _| is(request, "PATCH").then(|| shown(&json!({"p": "2"})))).await;
    connected(&peer).await.update(id(), &[Change::set("p", "1"), Change::set("p", "2")]).await.unwrap();
    assert_eq!(peer.requests().pop().unwrap().json(), json!([{"op": "add", "path": "/p", "value": "2"}]));
    assert_eq!(count(&peer, "PATCH"), 1);
}

#[tokio::test]
async fn a_conflict_that_stays_is_told() {
    let peer = peer(|request, _| match request.method() {
        "PATCH" => Some(Answer::json(409, &json!({"message": "somebody else"}))),
        _ if request.path().ends_with(ID) => Some(shown(&json!({}))),
        _ => None,
    })
    .await;
    let error = connected(&peer).await.update(id(), &[Change::set("q", "v")]).await.unwrap_err();
    assert_eq!((error.kind, error.words.as_deref()), (Kind::Conflict, Some("somebody else")));
    assert_eq!(count(&peer, "PATCH"), 4);
}

#[tokio::test]
async fn refusals_of_changes_are_not_repeated() {
    for (status, kind) in [(400, Kind::Invalid), (403, Kind::Forbidden), (404, Kind::NotFound), (413, Kind::OverQuota)]
    {
        let peer =
            peer(move |request, _| (!is(request, "GET")).then(|| Answer::json(status, &json!({"message": "so"}))))
                .await;
        let glance = connected(&peer).await;
        assert_eq!(glance.create(&new("n")).await.unwrap_err().kind, kind);
        assert_eq!(glance.update(id(), &[Change::set("p", "v")]).await.unwrap_err().kind, kind);
        assert_eq!(glance.delete(id()).await.unwrap_err().kind, kind);
        assert_eq!([count(&peer, "POST"), count(&peer, "PATCH"), count(&peer, "DELETE")], [1, 1, 1]);
    }
}

#[tokio::test]
async fn an_answer_about_another_image_is_malformed() {
    let peer =
        peer(|request, _| (!is(request, "GET")).then(|| shown(&json!({"id": ImageId::random().as_str()})))).await;
    let glance = connected(&peer).await;
    assert_eq!(glance.create(&new("n")).await.unwrap_err().kind, Kind::Malformed);
    assert_eq!(glance.update(id(), &[Change::set("p", "v")]).await.unwrap_err().kind, Kind::Malformed);
}
