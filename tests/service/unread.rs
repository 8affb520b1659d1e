//! Images of which the service tells something that cannot be read: the rest of them is there, whoever asks for it, and what
//! would be lost by writing it back is not touched.

use glancefs::service::{Change, ImageService, Kind, NewImage};
use serde_json::json;

use crate::compute;
use crate::edits::{count, is};
use crate::peer::{Answer, Request};
use crate::{ID, connected, id, peer};

/// Values that cannot be read: half of a character, and more brackets than anybody counts.
fn unreadable() -> [String; 3] {
    [r#""sur\ud800x""#.to_owned(), "1e999".to_owned(), "[".repeat(200) + &"]".repeat(200)]
}

/// An image with fields that are written out as they are.
fn shown(fields: &str) -> Answer {
    let body = format!(r#"{{"id": "{ID}", "status": "active", "min_ram": 5, "odd": "plain", {fields}}}"#);
    Answer::Full(200, "Content-Type: application/json\r\n".to_owned(), body.into_bytes())
}

fn is_image(request: &Request) -> bool {
    request.path().ends_with(ID)
}

#[tokio::test]
async fn an_image_is_shown_without_what_cannot_be_read_of_it() {
    for value in unreadable() {
        for key in ["name", "size", "os_distro"] {
            let field = format!(r#""{key}": {value}"#);
            let peer = peer(move |request, _| is_image(request).then(|| shown(&field))).await;
            let image = connected(&peer).await.show(id()).await.unwrap();
            assert_eq!((image.id, image.min_ram, image.name, image.size), (id(), 5, None, None), "{key}: {value:.20}");
            assert_eq!(image.properties.keys().collect::<Vec<_>>(), ["odd"]);
        }
    }
}

#[tokio::test]
async fn a_byte_that_is_no_text_takes_no_image_away() {
    let body = [b"{\"name\": \"a\xffb\", \"id\": \"", ID.as_bytes(), b"\"}"].concat();
    let peer = peer(move |request, _| is_image(request).then(|| Answer::Full(200, String::new(), body.clone()))).await;
    assert_eq!(connected(&peer).await.show(id()).await.unwrap().name.as_deref(), Some("a\u{fffd}b"));
}

#[tokio::test]
async fn a_document_that_ends_in_the_middle_is_asked_for_once_more_also_behind_what_cannot_be_read() {
    let peer = peer(|request, before| {
        let whole = || shown(r#""name": "\ud800", "os_distro": "x""#);
        let Answer::Full(status, headers, mut body) = whole() else { unreachable!() };
        body.truncate(body.len() - 5);
        is_image(request).then(|| if before == 0 { Answer::Full(status, headers, body) } else { whole() })
    })
    .await;
    let image = connected(&peer).await.show(id()).await.unwrap();
    assert_eq!(image.properties.keys().collect::<Vec<_>>(), ["odd", "os_distro"]);
}

#[tokio::test]
async fn an_image_is_made_and_changed_although_the_answer_cannot_be_read_as_a_whole() {
    let peer = peer(|request, _| match request.method() {
        "POST" => Some(shown(r#""name": "new", "os_distro": "\ud800""#)),
        "PATCH" => Some(shown(r#""name": "new", "p": "v", "os_distro": "\ud800""#)),
        _ => None,
    })
    .await;
    let glance = connected(&peer).await;
    let made = glance.create(&NewImage { name: Some("new".to_owned()), ..NewImage::new(id()) }).await.unwrap();
    assert_eq!((made.name.as_deref(), made.min_ram), (Some("new"), 5));
    let changed = glance.update(id(), &[Change::set("p", "v")]).await.unwrap();
    assert_eq!(changed.properties.keys().collect::<Vec<_>>(), ["odd", "p"]);
    assert_eq!((count(&peer, "POST"), count(&peer, "PATCH")), (1, 1));
    let error = glance.update(id(), &[Change::remove("os_distro")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "what cannot be read is there all the same: {error}");
}

#[tokio::test]
async fn tags_of_which_one_cannot_be_read_are_not_written_back_without_it() {
    let peer = peer(|request, _| match request.method() {
        "GET" if is_image(request) => Some(shown(r#""tags": ["kept", "\ud800"]"#)),
        "PATCH" => Some(shown(r#""tags": ["a/b"]"#)),
        _ => None,
    })
    .await;
    // No path carries this one, so that all tags are written at once.
    let error = connected(&peer).await.add_tag(id(), "a/b").await.unwrap_err();
    assert_eq!((error.kind.clone(), count(&peer, "PATCH")), (Kind::Malformed, 0));
    assert!(error.to_string().contains("the image has tags, which cannot be read: "), "{error}");
}

#[tokio::test]
async fn an_image_of_the_compute_service_is_shown_without_what_cannot_be_read_of_it_and_its_metadata_are_left_alone() {
    let peer = compute::peer(|request, _| {
        let image = format!(r#"{{"image": {{"id": "{ID}", "name": "n", "metadata": {{"a": "\ud800", "b": "1"}}}}}}"#);
        (is_image(request) && is(request, "GET"))
            .then(|| Answer::Full(200, String::new(), image.into_bytes()))
            .or_else(|| request.path().contains("/metadata").then(|| Answer::json(200, &json!({}))))
    })
    .await;
    let compute = compute::connected(&peer).await;
    let image = compute.show(id()).await.unwrap();
    assert_eq!((image.name.as_deref(), image.properties.len()), (Some("n"), 0));
    // It would be one request that writes all that stays.
    let error = compute.update(id(), &[Change::set("c", "2"), Change::remove("b")]).await.unwrap_err();
    assert!(error.to_string().contains("the image has metadata, which cannot be read: "), "{error}");
    assert_eq!([count(&peer, "PUT"), count(&peer, "POST"), count(&peer, "DELETE")], [0, 0, 0]);
}

#[tokio::test]
async fn an_image_whose_visibility_cannot_be_read_is_not_taken_for_a_private_one() {
    let peer = compute::peer(|request, _| match request.path() {
        "/versions" => Some(crate::versions()),
        "/v2/images" => Some(crate::listing(&[], None)),
        path if path.starts_with("/v2/images/") => Some(shown(r#""visibility": "\ud800""#)),
        path => path.contains("/metadata").then(|| Answer::json(200, &json!({}))),
    })
    .await;
    let (endpoint, images) = (format!("{}/v2.1", peer.url), peer.url.clone());
    let compute = compute::beside(&endpoint, &images).await;
    let error = compute.update(id(), &[Change::set("c", "2")]).await.unwrap_err();
    assert!(error.to_string().contains("the image has visibility, which cannot be read: "), "{error}");
    assert_eq!(count(&peer, "PUT"), 0);
}
