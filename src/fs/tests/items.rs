//! Tags, properties and members as files.

use bytes::Bytes;

use super::editing::{EDITOR, Scene};
use super::*;
use crate::image::{Image, MemberStatus};

/// What is in a folder once what a release has left to be done is done.
async fn settled(scene: &Scene, folder: &str) -> Vec<String> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    scene.fs.ls(folder).await
}

#[tokio::test]
async fn a_property_is_set_by_one_request_and_removed_by_one() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/properties/os_distro", &["alpine\n"]).await.unwrap();
    scene.put("by-name/disk/properties/new", &["two\nlines\n"]).await.unwrap();
    assert_eq!((scene.service.calls("update"), scene.service.calls("show")), (2, 0));
    let image = scene.image();
    assert_eq!(
        (image.properties.get("os_distro").unwrap().as_str(), image.properties.get("new").unwrap().as_str()),
        ("alpine", "two\nlines")
    );
    let folder = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    scene.fs.unlink(folder, OsStr::new("new")).await.unwrap();
    assert!(!scene.image().properties.contains_key("new"));
    assert_eq!(errno(scene.put("by-name/disk/properties/min_disk", &["1\n"]).await), libc::EINVAL);
    for (name, why) in [("min_disk", "an attribute of every image"), ("os_glance_x", "for the service alone to write")]
    {
        let refused = scene.put(&format!("by-name/disk/properties/{name}"), &["1\n"]).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let (from, to) = ((folder, OsStr::new("os_distro")), (folder, OsStr::new("distro")));
    scene.fs.rename(from, to, Asker::UNKNOWN).await.unwrap();
    assert_eq!(scene.image().properties.into_iter().collect::<Vec<_>>(), [("distro".into(), "alpine".into())]);
}

#[tokio::test]
async fn a_property_that_is_only_touched_is_empty() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    let (entry, opened) = scene.fs.create(folder, OsStr::new("flag"), Writing::of(EDITOR)).await.unwrap();
    scene.fs.setattr(entry.attr.ino, None, None, Some(Modified::Now), Asker::UNKNOWN).await.unwrap();
    scene.close(opened.handle).await.unwrap();
    scene.fs.release(opened.handle);
    assert_eq!((scene.image().properties.get("flag").unwrap().as_str(), scene.service.calls("update")), ("", 1));
    assert_eq!(scene.fs.cat("by-name/disk/properties/flag").await.unwrap(), "\n");
}

#[tokio::test]
async fn tags_are_touched_and_removed() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/tags/a%2Fb", &[]).await.unwrap();
    assert_eq!(scene.image().tags, ["a/b", "one"]);
    assert_eq!(scene.fs.ls("by-name/disk/tags").await, ["a%2Fb", "one"]);
    let folder = scene.fs.walk("by-name/disk/tags").await.unwrap().attr.ino;
    scene.fs.unlink(folder, OsStr::new("one")).await.unwrap();
    assert_eq!(scene.fs.ls("by-name/disk/tags").await, ["a%2Fb"]);
    assert_eq!(errno(scene.put("by-name/disk/tags/a%2Fb", &["text\n"]).await), libc::EINVAL);
    scene.fs.rename((folder, OsStr::new("a%2Fb")), (folder, OsStr::new("c")), Asker::UNKNOWN).await.unwrap();
    assert_eq!(scene.image().tags, ["c"]);
}

#[tokio::test]
async fn members_are_touched_written_and_removed() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/members/them", &[]).await.unwrap();
    assert_eq!(scene.fs.cat("by-name/disk/members/them").await.unwrap(), "pending\n");
    scene.put("by-name/disk/members/them", &["pending\n"]).await.unwrap();
    scene.put("by-name/disk/members/them", &["accepted\n"]).await.unwrap();
    assert_eq!(scene.fs.cat("by-name/disk/members/them").await.unwrap(), "pending\n", "theirs to say");
    scene.service.change(|world| world.refusing.insert("add_member", (Kind::Forbidden, "no")));
    let denied = errno(scene.put("by-name/disk/members/them", &["accepted\n"]).await);
    assert_eq!(denied, libc::EPERM, "by who may not share it");
    scene.service.change(|world| world.refusing.clear());
    assert_eq!(errno(scene.put("by-name/disk/members/them", &["perhaps\n"]).await), libc::EINVAL);
    let folder = scene.fs.walk("by-name/disk/members").await.unwrap().attr.ino;
    scene.fs.unlink(folder, OsStr::new("them")).await.unwrap();
    assert!(scene.fs.ls("by-name/disk/members").await.is_empty());
}

#[tokio::test]
async fn a_member_says_what_it_thinks_of_another_projects_image() {
    let scene = Scene::with(Image { owner: Some("them".into()), ..image(1, "disk") }).await;
    let pending = Member { project: "own".to_owned(), status: MemberStatus::Pending, updated_at: None };
    scene.service.change(|world| world.members.push(pending));
    let mode = async |path: &str| scene.fs.walk(path).await.unwrap().attr.perm;
    assert_eq!((mode("by-name/disk/members/own").await, mode("by-name/disk/status").await), (0o644, 0o444));
    scene.put("by-name/disk/members/own", &["accepted\n"]).await.unwrap();
    assert_eq!(scene.service.change(|world| world.members[0].status.clone()), MemberStatus::Accepted);
    assert_eq!(scene.fs.cat("by-name/disk/members/own").await.unwrap(), "accepted\n");
}

#[tokio::test]
async fn an_image_that_is_not_shared_has_no_members_and_says_so() {
    let scene = Scene::with(Image { visibility: Visibility::Private, ..image(1, "disk") }).await;
    assert_eq!(errno(scene.put("by-name/disk/members/them", &[]).await), libc::EPERM);
    assert!(scene.sentence("by-name/disk/members").await.contains("\"visibility\": \"shared\""));
    scene.service.change(|world| world.images[0].visibility = Visibility::Shared);
    scene.put("by-name/disk/members/them", &[]).await.unwrap();
    assert_eq!(
        scene.service.calls("add_member"),
        1,
        "it is shared meanwhile, and what is known is no reason to refuse"
    );
}

#[tokio::test]
async fn what_is_made_with_a_text_that_is_refused_was_never_there() {
    let scene = Scene::new().await;
    for (folder, text, word) in [("members", "bogus\n", "no status"), ("tags", "text\n", "its name alone")] {
        let path = format!("by-name/disk/{folder}");
        let before = scene.fs.ls(&path).await;
        for text in [text, text.trim()] {
            assert_eq!(errno(scene.put(&format!("{path}/new"), &[text]).await), libc::EINVAL, "{path}: {text}");
            assert!(scene.sentence(&path).await.contains(word), "{path}");
            assert_eq!((settled(&scene, &path).await, scene.changes()), (before.clone(), 0), "{path}: {text}");
            assert!(scene.fs.walk(&format!("{path}/new")).await.is_err(), "{path}: {text}");
        }
    }
    for (n, path) in ["by-name/disk/members/new", "by-name/disk/tags/new"].into_iter().enumerate() {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let folder = scene.fs.walk(folder).await.unwrap().attr.ino;
        let (entry, opened) = scene.fs.create(folder, OsStr::new(name), Writing::of(EDITOR)).await.unwrap();
        assert_eq!(scene.changes(), n, "{path}");
        scene.fs.setattr(entry.attr.ino, None, None, Some(Modified::Now), Asker::UNKNOWN).await.unwrap();
        scene.close(opened.handle).await.unwrap();
        scene.fs.release(opened.handle);
        assert!(scene.fs.walk(path).await.is_ok() && scene.changes() == n + 1, "{path}");
    }
}

#[tokio::test]
async fn of_what_was_opened_for_somebody_who_was_killed_meanwhile_nothing_is_made() {
    let scene = Scene::new().await;
    for folder in ["members", "tags", "properties"] {
        let path = format!("by-name/disk/{folder}");
        let (before, ino) = (scene.fs.ls(&path).await, scene.fs.walk(&path).await.unwrap().attr.ino);
        let (entry, opened) = scene.fs.create(ino, OsStr::new("new"), Writing::of(EDITOR)).await.unwrap();
        scene.fs.abandon(opened.handle);
        scene.fs.forget(entry.attr.ino, 1);
        assert_eq!((settled(&scene, &path).await, scene.changes()), (before, 0), "{path}");
    }
    let queued = Image { status: Status::Queued, size: None, checksums: Checksums::default(), ..image(1, "disk") };
    let scene = Scene::with(queued).await;
    let data = scene.fs.walk("by-name/disk/data").await.unwrap().attr.ino;
    for opened in [Scene::asked(true), Scene::asked(false), Asked::default()] {
        scene.fs.abandon(scene.fs.open(data, opened).await.unwrap().handle);
    }
    assert_eq!(scene.fs.open_handles(), 0);
    scene.fs.open(data, Scene::asked(false)).await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_removed_is_there_again_once_it_is_touched() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/members/them", &[]).await.unwrap();
    let remove = |path: &str| {
        scene.service.change(|world| match path.split('/').nth(2).unwrap() {
            "members" => world.members.clear(),
            "tags" => world.images[0].tags.clear(),
            _ => world.images[0].properties.clear(),
        });
    };
    let touch = async |path: &str, modified: Modified| {
        let ino = scene.fs.walk(path).await.unwrap().attr.ino;
        scene.fs.setattr(ino, None, None, Some(modified), Asker::UNKNOWN).await
    };
    for path in ["members/them", "tags/one", "properties/os_distro"] {
        let path = format!("by-name/disk/{path}");
        let before = scene.changes();
        touch(&path, Modified::Now).await.unwrap();
        assert_eq!(scene.changes(), before, "{path} is there");
        remove(&path);
        touch(&path, Modified::At(UNIX_EPOCH)).await.unwrap();
        assert_eq!(scene.changes(), before, "{path}: so does who copies each of many");
        touch(&path, Modified::Now).await.unwrap();
        assert_eq!(scene.changes(), before + 1, "{path} is made again");
    }
    for path in ["by-name/disk/members/them", "by-name/disk/tags/one"] {
        remove(path);
        let before = scene.changes();
        scene.put(path, &[]).await.unwrap();
        assert_eq!(scene.changes(), before + 1, "{path} is opened as who makes it does");
        scene.put(path, &[]).await.unwrap();
        assert_eq!(scene.changes(), before + 1, "{path} is there");
    }
    remove("by-name/disk/tags/one");
    scene.service.change(|world| world.refusing.insert("add_tag", (Kind::Forbidden, "no")));
    assert_eq!(errno(touch("by-name/disk/tags/one", Modified::Now).await), libc::EPERM);
}

#[tokio::test]
async fn temporary_files_of_rsync_become_tags_properties_and_members() {
    let scene = Scene::new().await;
    for (folder, text) in [("tags", ""), ("properties", "value\n"), ("members", "pending\n")] {
        let path = format!("by-name/disk/{folder}");
        scene.put(&format!("{path}/.new.x1y2"), &[text]).await.unwrap();
        let ino = scene.fs.walk(&path).await.unwrap().attr.ino;
        scene.fs.rename((ino, OsStr::new(".new.x1y2")), (ino, OsStr::new("new")), Asker::UNKNOWN).await.unwrap();
        assert_eq!(scene.fs.cat(&format!("{path}/new")).await.unwrap(), text);
    }
    assert_eq!(scene.changes(), 3);
}

#[tokio::test]
async fn a_property_that_was_begun_by_who_was_killed_or_refused_is_none() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    for (name, text, is_killed) in
        [("killed", &b"deb"[..], true), ("silent", &b""[..], true), ("bytes", &b"\xff\n"[..], false)]
    {
        let opened = scene.fs.create(folder, OsStr::new(name), Writing::of(EDITOR)).await.unwrap().1;
        if !text.is_empty() {
            let _ = scene.fs.write(opened.handle, 0, Bytes::from_static(text)).await;
        }
        let _ = scene.fs.flush(opened.handle, || EDITOR, async { closing(is_killed) }).await;
        scene.fs.release(opened.handle);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.fs.ls("by-name/disk/properties").await, ["os_distro"], "{name}");
    }
    assert_eq!(scene.changes(), 0);
}

/// Makes a file, writes `text` to it without a newline, and waits for it with fsync.
async fn synced(scene: &Scene, path: &str, text: &'static str) -> (HandleId, Result<()>) {
    let (folder, name) = path.rsplit_once('/').unwrap();
    let folder = scene.fs.walk(folder).await.unwrap().attr.ino;
    let opened = scene.fs.create(folder, OsStr::new(name), Writing::of(EDITOR)).await.unwrap().1;
    if !text.is_empty() {
        scene.fs.write(opened.handle, 0, Bytes::from_static(text.as_bytes())).await.unwrap();
    }
    (opened.handle, scene.fs.fsync(opened.handle).await)
}

#[tokio::test]
async fn fsync_returns_when_what_was_made_is_in_the_image() {
    let scene = Scene::new().await;
    for (path, text) in [
        ("properties/without", ""),
        ("properties/with", "value"),
        ("tags/tag", ""),
        ("members/new", ""),
        ("members/asked", "pending"),
    ] {
        let before = scene.changes();
        let (handle, outcome) = synced(&scene, &format!("by-name/disk/{path}"), text).await;
        outcome.unwrap();
        assert_eq!(scene.changes(), before + 1, "{path}");
        scene.fs.fsync(handle).await.unwrap();
        scene.close(handle).await.unwrap();
        scene.fs.release(handle);
        settled(&scene, "by-name/disk").await;
        assert_eq!(scene.changes(), before + 1, "{path}: once is enough");
    }
    let image = scene.image();
    assert_eq!(
        (image.properties.get("without").unwrap().as_str(), image.properties.get("with").unwrap().as_str()),
        ("", "value")
    );
    assert_eq!(image.tags, ["one", "tag"]);
    let members = scene.service.change(|world| world.members.clone());
    assert_eq!(members.iter().map(|member| member.project.as_str()).collect::<Vec<_>>(), ["new", "asked"]);
}

#[tokio::test]
async fn a_value_that_is_written_behind_an_fsync_is_the_propertys() {
    let scene = Scene::new().await;
    let (handle, outcome) = synced(&scene, "by-name/disk/properties/slow", "").await;
    outcome.unwrap();
    scene.fs.write(handle, 0, Bytes::from_static(b"value")).await.unwrap();
    scene.fs.fsync(handle).await.unwrap();
    assert_eq!(scene.image().properties.get("slow").unwrap(), "value");
}

#[tokio::test]
async fn fsync_of_what_cannot_be_fails_and_so_does_the_close_behind_it() {
    let scene = Scene::new().await;
    scene.service.change(|world| {
        world.refusing.insert("update", (Kind::Forbidden, "no"));
    });
    for (path, text, why, place) in [
        ("properties/without", "", libc::EPERM, "properties"),
        ("properties/with", "value", libc::EPERM, "properties"),
        ("tags/tag", "text", libc::EINVAL, "tags"),
        ("members/new", "acc", libc::EINVAL, "members"),
    ] {
        let (handle, outcome) = synced(&scene, &format!("by-name/disk/{path}"), text).await;
        assert_eq!(errno(outcome), why, "{path}");
        assert!(!scene.sentence(&format!("by-name/disk/{place}")).await.is_empty());
        assert_eq!(errno(scene.close(handle).await), why, "{path}");
        scene.fs.release(handle);
    }
    assert_eq!(settled(&scene, "by-name/disk/properties").await, ["os_distro"]);
}

#[tokio::test]
async fn a_property_that_nobody_opens_is_made_at_once() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    scene.fs.mknod(folder, OsStr::new("made")).await.unwrap();
    assert_eq!(scene.image().properties.get("made").unwrap(), "");
    scene.service.change(|world| {
        world.refusing.insert("update", (Kind::Forbidden, "no"));
    });
    assert_eq!(errno(scene.fs.mknod(folder, OsStr::new("refused")).await), libc::EPERM);
    assert_eq!(scene.fs.ls("by-name/disk/properties").await, ["made", "os_distro"]);
}
