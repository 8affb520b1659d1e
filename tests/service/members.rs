//! Members at a service that loses its answers, and refuses members of an image that is not shared.

use glancefs::image::MemberStatus;
use glancefs::service::{ImageService, Kind};
use serde_json::json;

use crate::edits::{count, is, shown};
use crate::peer::{Answer, Peer, Request};
use crate::{ID, connected, id, peer, remedy};

fn member(project: &str, status: &str) -> Answer {
    Answer::json(
        200,
        &json!({"member_id": project, "image_id": ID, "status": status, "updated_at": "2026-11-21T15:23:20Z"}),
    )
}

fn told(status: u16, words: &str) -> Answer {
    Answer::json(status, &json!({"message": format!("{words}<br /><br />\n")}))
}

fn is_image(request: &Request) -> bool {
    request.path().ends_with(ID)
}

#[tokio::test]
async fn a_member_is_added_by_its_projects_id_and_answered_as_it_is() {
    let peer = peer(|request, _| is(request, "POST").then(|| member("p", "pending"))).await;
    let added = connected(&peer).await.add_member(id(), "p").await.unwrap();
    assert_eq!((added.project.as_str(), &added.status), ("p", &MemberStatus::Pending));
    assert_eq!(added.updated_at, Some("2026-11-21T15:23:20Z".parse().unwrap()));
    let request = peer.requests().pop().unwrap();
    assert_eq!(
        (request.target.as_str(), request.json()),
        (&*format!("/v2/images/{ID}/members"), json!({"member": "p"}))
    );
}

#[tokio::test]
async fn a_project_that_is_a_member_already_stays_as_it_is() {
    for lost in [Some(Answer::Nothing), None] {
        let peer = peer(move |request, before| match (request.method(), before) {
            ("POST", 0) if lost.is_some() => lost.clone(),
            ("POST", _) => Some(told(409, "Member p is duplicated for image")),
            ("GET", _) if request.path().ends_with("/members/p") => Some(member("p", "accepted")),
            _ => None,
        })
        .await;
        let added = connected(&peer).await.add_member(id(), "p").await.unwrap();
        assert_eq!(added.status, MemberStatus::Accepted);
    }
}

#[tokio::test]
async fn a_member_whose_removal_was_not_answered_is_removed() {
    let lost = peer(|request, before| {
        is(request, "DELETE").then(|| if before == 0 { Answer::Nothing } else { told(404, "p not found") })
    })
    .await;
    connected(&lost).await.remove_member(id(), "p").await.unwrap();
    let never = peer(|request, _| match request.method() {
        "DELETE" => Some(told(404, "p not found in the member list")),
        "GET" if is_image(request) => Some(shown(&json!({"visibility": "shared"}))),
        _ => None,
    })
    .await;
    let error = connected(&never).await.remove_member(id(), "p").await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let sentence = format!("could not take image {ID} away from project p: p not found in the member list");
    assert_eq!((error.to_string(), count(&never, "DELETE")), (sentence, 1));
}

#[tokio::test]
async fn a_members_status_is_a_word_of_the_service() {
    let peer = peer(|request, _| is(request, "PUT").then(|| member("p", "rejected"))).await;
    let set = connected(&peer).await.set_member(id(), "p", &MemberStatus::Rejected).await.unwrap();
    assert_eq!(set.status, MemberStatus::Rejected);
    let request = peer.requests().pop().unwrap();
    assert_eq!(request.target, format!("/v2/images/{ID}/members/p"));
    assert_eq!(request.json(), json!({"status": "rejected"}));
}

/// A service that refuses everything about members so, of an image with this visibility.
async fn refusing(status: u16, visibility: &'static str) -> Peer {
    peer(move |request, _| match request.method() {
        "GET" if is_image(request) => Some(shown(&json!({"visibility": visibility}))),
        "GET" => None,
        _ => Some(told(status, "so")),
    })
    .await
}

#[tokio::test]
async fn members_of_an_image_that_is_not_shared_are_forbidden_and_the_words_say_why() {
    for status in [403, 404] {
        let peer = refusing(status, "private").await;
        let glance = connected(&peer).await;
        let errors = [
            glance.add_member(id(), "p").await.unwrap_err(),
            glance.remove_member(id(), "p").await.unwrap_err(),
            glance.set_member(id(), "p", &MemberStatus::Accepted).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, Kind::Forbidden, "{status}");
            let sentence = error.to_string();
            assert!(sentence.contains("its visibility is 'private'") && sentence.contains("'shared'"), "{sentence}");
        }
    }
}

#[tokio::test]
async fn refusals_about_members_keep_their_meaning() {
    for (status, kind) in [(400, Kind::Invalid), (403, Kind::Forbidden), (404, Kind::NotFound), (413, Kind::OverQuota)]
    {
        let peer = refusing(status, "shared").await;
        let glance = connected(&peer).await;
        let error = glance.add_member(id(), "p").await.unwrap_err();
        assert_eq!(error.to_string(), format!("could not share image {ID} with project p: so{}", remedy(&kind)));
        assert_eq!(error.kind, kind);
        let error = glance.set_member(id(), "p", &"maybe".into()).await.unwrap_err();
        let whose = if status == 403 { "; only the member project itself sets its status" } else { "" };
        let sentence =
            format!("could not set the status of member p of image {ID} to 'maybe': so{whose}{}", remedy(&kind));
        assert_eq!((error.kind.clone(), error.to_string()), (kind.clone(), sentence));
        assert_eq!(glance.remove_member(id(), "p").await.unwrap_err().kind, kind);
        assert_eq!([count(&peer, "POST"), count(&peer, "PUT"), count(&peer, "DELETE")], [1, 1, 1]);
    }
}

#[tokio::test]
async fn a_project_that_no_path_names_is_never_asked_about() {
    let peer = peer(|_, _| None).await;
    let glance = connected(&peer).await;
    let before = peer.requests().len();
    for project in ["", "..", "a/b", "\u{e9}"] {
        assert_eq!(glance.add_member(id(), project).await.unwrap_err().kind, Kind::Invalid, "{project}");
        assert_eq!(glance.remove_member(id(), project).await.unwrap_err().kind, Kind::Invalid, "{project}");
        let outcome = glance.set_member(id(), project, &MemberStatus::Pending).await;
        assert_eq!(outcome.unwrap_err().kind, Kind::Invalid, "{project}");
    }
    assert_eq!(peer.requests().len(), before);
}
