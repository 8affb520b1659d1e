//! `query/`: folders that are questions.

use super::*;
use crate::image::Image;

const FILTERED: &str = "updated_at=gte:2026-03-01T00:00:00Z";

/// Three images, of which the first two changed in March, and share a name.
fn world() -> Fake {
    let late = |n, name: &str| Image { updated_at: "2026-03-04T00:00:00Z".parse().unwrap(), ..image(n, name) };
    Fake::with([late(2, "x"), late(1, "x"), image(3, "old")])
}

#[tokio::test]
async fn an_answer_is_links_to_images_in_the_order_of_the_service() {
    let fs = mounted(&world());
    assert_eq!(fs.ls(&format!("query/{FILTERED}")).await, ["x~00000002", "x~00000001"]);
    let link = fs.walk(&format!("query/{FILTERED}/x~00000002")).await.unwrap();
    assert_eq!(link.attr.kind, FileKind::Link);
    let target = fs.readlink(link.attr.ino).unwrap();
    assert_eq!(target.to_str().unwrap(), format!("../../by-id/{}", id(2)));
    assert_eq!(link.attr.size, u64::try_from(target.as_os_str().len()).unwrap());
}

#[tokio::test]
async fn the_folder_of_queries_lists_nothing_and_is_listed() {
    let fs = mounted(&world());
    assert!(fs.ls("query").await.is_empty());
    assert!(fs.ls("").await.contains(&"query".to_owned()));
    let parent = fs.walk("query").await.unwrap().attr.ino;
    assert_eq!(errno(fs.mkdir(parent, OsStr::new("status=active")).await), libc::EPERM);

    let (answer, link) = (fs.walk("query/limit=1").await.unwrap().attr.ino, OsStr::new("x"));
    assert!(fs.walk("query/limit=1/x").await.is_ok());
    for refused in [
        errno(fs.unlink(answer, link).await),
        errno(fs.rename((answer, link), (answer, OsStr::new("y")), Asker::UNKNOWN).await),
        errno(fs.mknod(answer, OsStr::new("new")).await),
        errno(fs.mkdir(answer, OsStr::new("new")).await),
    ] {
        assert_eq!(refused, libc::EPERM);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_is_asked_once_a_ttl() {
    let service = world();
    let fs = mounted(&service);
    for _ in 0..3 {
        assert_eq!(fs.ls("query/limit=1").await, ["x"]);
    }
    assert_eq!(service.calls("list"), 1);
    tokio::time::advance(TTL).await;
    fs.ls("query/limit=1").await;
    assert_eq!(service.calls("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_service_is_away_a_question_has_the_answer_that_it_had() {
    let service = world();
    let fs = mounted(&service);
    assert_eq!(fs.ls("query/limit=1").await, ["x"]);
    service.change(|world| {
        world.failing = Some(Kind::Unreachable);
        world.images.drain(..2);
    });
    tokio::time::advance(TTL).await;
    let answered = service.calls("list");
    for _ in 0..3 {
        assert_eq!(fs.ls("query/limit=1").await, ["x"]);
        assert!(fs.walk("query/limit=1/x").await.is_ok());
    }
    assert_eq!(service.calls("list"), answered + 1, "it is not waited for again and again");
    assert_eq!(errno(fs.walk("query/limit=2").await), libc::EHOSTUNREACH, "which nobody has asked before");
    service.change(|world| world.failing = None);
    tokio::time::advance(TTL).await;
    assert_eq!(fs.ls("query/limit=1").await, ["old"]);
}

#[tokio::test]
async fn an_image_that_is_called_as_the_id_of_a_nameless_one_has_a_link_of_its_own() {
    let nameless = Image { name: None, ..image(1, "") };
    let fs = mounted(&Fake::with([nameless, image(2, id(1).as_str())]));
    let (own, longer) = (id(1).as_str().to_owned(), format!("{}~00000002", id(1)));
    assert_eq!(fs.ls("query/limit=2").await, [own.as_str(), &longer]);
    for (name, image) in [(own, id(1)), (longer, id(2))] {
        let link = fs.walk(&format!("query/limit=2/{name}")).await.unwrap();
        assert!(fs.readlink(link.attr.ino).unwrap().ends_with(image.as_str()));
    }
}

#[tokio::test]
async fn a_folder_that_is_listed_behind_a_change_of_ours_is_asked_again_and_a_way_through_it_is_not() {
    let service = world();
    let fs = mounted(&service);
    assert_eq!(fs.ls("query/limit=1").await, ["x"]);
    let answered = service.calls("list");
    for name in ["one", "two"] {
        fs.mkdir(fs.walk("by-name").await.unwrap().attr.ino, OsStr::new(name)).await.unwrap();
        fs.walk("query/limit=1/x").await.unwrap();
    }
    let asked = service.calls("list");
    assert!(asked <= answered + 1, "the folder of names alone is listed: {asked}");
    for _ in 0..3 {
        assert_eq!(fs.ls("query/limit=1").await, ["x"]);
    }
    assert_eq!(service.calls("list"), asked + 1);
    service.change(|world| world.images.retain(|image| image.id == id(3)));
    fs.mkdir(fs.walk("by-name").await.unwrap().attr.ino, OsStr::new("three")).await.unwrap();
    assert!(fs.walk("query/limit=1/old").await.is_ok(), "a name that was not in the answer before");
}

#[tokio::test]
async fn an_answer_begins_behind_its_marker_and_ends_at_its_limit() {
    let service = world();
    let fs = mounted(&service);
    assert_eq!(fs.ls(&format!("query/marker={}&limit=1", id(2))).await, ["x"]);
    assert_eq!(fs.ls(&format!("query/marker={}", id(2))).await, ["x", "old"]);
    let before = service.calls("list");
    assert_eq!(errno(fs.walk(&format!("query/marker={}", id(9))).await), libc::ENOENT);
    assert_eq!(service.calls("list"), before + 1);
}

#[tokio::test]
async fn what_is_no_query_does_not_exist_and_says_why() {
    let service = world();
    let fs = mounted(&service);
    for (text, sentence) in [
        ("statsu", "'statsu' is no query: write key=value"),
        ("status=bogus", "status=bogus: it must be a status, such as active"),
    ] {
        let error = fs.walk(&format!("query/{text}")).await.unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT);
        assert!(error.to_string().starts_with(sentence), "{error}");
    }
    assert_eq!(service.calls("list"), 0);
    service.change(|world| world.refusing.insert("list", (Kind::Invalid, "Invalid time")));
    let error = fs.walk("query/created_at=2026-13-01").await.unwrap_err();
    assert_eq!(error.errno(), libc::ENOENT);
    assert!(error.to_string().contains("Invalid time"), "{error}");
    assert!(fs.cat(".glancefs/errors").await.unwrap().contains("Invalid time"));
}

#[tokio::test]
async fn a_property_that_no_image_has_is_no_filter() {
    let service = world();
    service.change(|world| world.images.clear());
    let fs = mounted(&service);
    let error = fs.walk("query/statsu=active").await.unwrap_err();
    assert_eq!(error.to_string(), "no image here has a property 'statsu', and no filter is called so");
    let mut image = image(4, "y");
    image.properties.insert("os_distro".into(), "debian".into());
    service.change(|world| world.images.push(image));
    assert!(fs.walk("query/os_distro=other").await.is_ok());
}
