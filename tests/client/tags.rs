//! Tags through the trait `ImageService`.

use futures_util::StreamExt;
use futures_util::future::join_all;
use glancefs::image::{ImageId, Status};
use glancefs::service::{Change, ImageService, Kind, NewImage, Outgoing};
use serde_json::json;

use crate::edit::{empty, new, noise, until};
use crate::target::Target;

crate::contracts!(Both:
    tags_of_every_kind_are_added_and_removed_as_they_are,
    a_tag_is_added_twice_and_removed_once,
    tags_and_properties_that_come_at_once_are_all_kept,
    a_tag_that_is_too_long_is_invalid,
    tags_over_the_limit_are_over_quota,
    properties_over_the_limit_are_over_quota,
    only_its_own_project_tags_an_image,
    an_image_that_is_gone_has_no_tags,
    a_tag_is_refused_while_bytes_are_under_way,
);

async fn image(target: &Target, tags: &[&str]) -> ImageId {
    let tags = tags.iter().map(|tag| (*tag).into()).collect();
    let glance = target.glance("demo").await;
    new(target, &glance, NewImage { tags, ..NewImage::new(ImageId::random()) }).await.id
}

async fn tags_of_every_kind_are_added_and_removed_as_they_are(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &["kept"]).await;
    let long = "x".repeat(255);
    let tags = [
        "a",
        "A",
        "a b",
        "a/b",
        "/",
        "a%2Fb",
        "%",
        "%25",
        "a+b",
        "a?b#c",
        "a;b=c&d",
        "a,b",
        "\"<>`{}|^\\",
        ".",
        "..",
        "...",
        "\u{e9}",
        "\u{4e2d}",
        "-",
        "tab\there",
        &long,
    ];
    for tag in tags {
        glance.add_tag(id, tag).await.unwrap();
        let mut expected = [tag, "kept"];
        expected.sort_unstable();
        assert_eq!(glance.show(id).await.unwrap().tags, expected);
        glance.remove_tag(id, tag).await.unwrap();
        assert_eq!(glance.show(id).await.unwrap().tags, ["kept"], "{tag:?}");
    }
}

async fn a_tag_is_added_twice_and_removed_once(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &[]).await;
    for tag in ["a", "\u{e9}"] {
        glance.add_tag(id, tag).await.unwrap();
        glance.add_tag(id, tag).await.unwrap();
        assert_eq!(glance.show(id).await.unwrap().tags, [tag]);
        glance.remove_tag(id, tag).await.unwrap();
        let error = glance.remove_tag(id, tag).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.to_string().contains("it has no such tag"), "{error}");
    }
}

async fn tags_and_properties_that_come_at_once_are_all_kept(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &["old"]).await;
    let texts: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    let (plain, odd) = (texts.iter().map(|n| format!("t{n}")), texts.iter().map(|n| format!("/{n}")));
    let tags: Vec<String> = plain.chain(odd).collect();
    let changes: Vec<_> = texts.iter().map(|n| [Change::set(format!("p{n}"), "v")]).collect();
    let (tag_outcomes, outcomes) = tokio::join!(
        join_all(tags.iter().map(|tag| glance.add_tag(id, tag))),
        join_all(changes.iter().map(|change| glance.update(id, change))),
    );
    assert!(
        tag_outcomes.iter().all(Result::is_ok) && outcomes.iter().all(Result::is_ok),
        "{tag_outcomes:?} {outcomes:?}"
    );
    let image = glance.show(id).await.unwrap();
    assert_eq!((image.tags.len(), image.properties.len()), (11, 5));
}

async fn a_tag_that_is_too_long_is_invalid(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &[]).await;
    for tag in ["x".repeat(256), "\u{e9}".repeat(256)] {
        assert_eq!(glance.add_tag(id, &tag).await.unwrap_err().kind, Kind::Invalid);
    }
    assert!(glance.show(id).await.unwrap().tags.is_empty());
}

async fn tags_over_the_limit_are_over_quota(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &[]).await;
    let tags: Vec<_> = (0..128).map(|n| n.to_string()).collect();
    glance.update(id, &[Change::set("tags", json!(tags))]).await.unwrap();
    for tag in ["a", "\u{e9}"] {
        let error = glance.add_tag(id, tag).await.unwrap_err();
        assert_eq!(error.kind, Kind::OverQuota, "{error}");
        assert!(error.to_string().contains("128"), "{error}");
    }
    glance.add_tag(id, "5").await.unwrap();
}

async fn properties_over_the_limit_are_over_quota(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &[]).await;
    let changes: Vec<_> = (0..129).map(|n| Change::set(format!("p{n}"), "v")).collect();
    let error = glance.update(id, &changes).await.unwrap_err();
    assert_eq!(error.kind, Kind::OverQuota, "{error}");
    assert!(glance.show(id).await.unwrap().properties.is_empty(), "all or none");
    glance.update(id, &changes[..128]).await.unwrap();
    assert_eq!(glance.update(id, &changes[128..]).await.unwrap_err().kind, Kind::OverQuota);
}

async fn only_its_own_project_tags_an_image(target: &Target) {
    let id = image(target, &["a", "\u{e9}"]).await;
    let owner = target.glance("demo").await;
    let member = target.glance("alt").await;
    for tag in ["a", "b", "\u{e9}", "\u{e8}"] {
        assert_eq!(member.add_tag(id, tag).await.unwrap_err().kind, Kind::NotFound, "a stranger: {tag}");
    }
    owner.add_member(id, member.project().unwrap()).await.unwrap();
    for glance in [member, target.glance("reader").await] {
        for tag in ["b", "\u{e8}"] {
            assert_eq!(glance.add_tag(id, tag).await.unwrap_err().kind, Kind::Forbidden, "{tag}");
        }
        for tag in ["a", "\u{e9}"] {
            assert_eq!(glance.remove_tag(id, tag).await.unwrap_err().kind, Kind::Forbidden, "{tag}");
        }
    }
    assert_eq!(owner.show(id).await.unwrap().tags, ["a", "\u{e9}"]);
}

async fn an_image_that_is_gone_has_no_tags(target: &Target) {
    let glance = target.glance("demo").await;
    for tag in ["a", "\u{e9}"] {
        let error = glance.add_tag(ImageId::random(), tag).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        let error = glance.remove_tag(ImageId::random(), tag).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        assert!(!error.to_string().contains("no such tag"), "{error}");
    }
}

async fn a_tag_is_refused_while_bytes_are_under_way(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    let (begin, signal) = tokio::sync::oneshot::channel::<()>();
    let rest = futures_util::stream::once(async move {
        signal.await.unwrap();
        Ok(noise(300_000))
    });
    let body = futures_util::stream::iter([Ok(noise(300_000))]).chain(rest).boxed();
    let sent = glance.upload(Outgoing { image: id, size: 600_000, body });
    let meanwhile = async {
        until(&glance, id, Status::Saving).await;
        for tag in ["a", "\u{e9}"] {
            assert_eq!(glance.add_tag(id, tag).await.unwrap_err().kind, Kind::Conflict);
        }
        begin.send(()).unwrap();
    };
    let (outcome, ()) = tokio::join!(sent, meanwhile);
    outcome.unwrap();
    glance.add_tag(id, "a").await.unwrap();
    assert_eq!(glance.show(id).await.unwrap().tags, ["a"]);
}
