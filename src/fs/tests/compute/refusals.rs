//! What the Compute API cannot do, and what is told of it.

use super::super::editing::EDITOR;
use super::*;
use crate::fs::tree::Unmakeable;

const OPTION: &str = "--allow-visibility-change";

/// The last failure under a name of a folder.
async fn told(scene: &Scene, folder: &str, name: &str) -> String {
    let ino = scene.fs.walk(folder).await.unwrap().attr.ino;
    let attribute = format!("user.glancefs.failure.{name}");
    let failed = scene.fs.getxattr(ino, OsStr::new(&attribute), 0).await.unwrap();
    let failed: Value = serde_json::from_slice(&failed).unwrap();
    failed["sentence"].as_str().unwrap().to_owned()
}

async fn mode(scene: &Scene, path: &str) -> u16 {
    scene.fs.walk(path).await.unwrap().attr.perm
}

#[tokio::test]
async fn modes_tell_what_can_be_written() {
    let scene = everything().await;
    for (path, expected) in [
        ("by-name", 0o755),
        ("by-name/disk", 0o755),
        ("by-name/disk/properties", 0o755),
        ("by-name/disk/properties/os_distro", 0o644),
        ("by-name/disk/metadata.json", 0o644),
        ("by-name/disk/status", 0o444),
        ("by-name/disk/progress", 0o444),
        ("by-name/disk/server", 0o444),
        ("by-name/disk/data", 0o444),
    ] {
        assert_eq!(mode(&scene, path).await, expected, "{path}");
    }
    let scene = offering(Offers::compute(true, false)).await;
    for path in ["by-name/disk/properties/os_distro", "by-name/disk/metadata.json"] {
        assert_eq!(mode(&scene, path).await, 0o444, "{path}");
    }
}

#[tokio::test]
async fn no_image_is_made_or_renamed_and_the_sentence_says_where() {
    let scene = everything().await;
    for view in ["by-name", "by-id"] {
        let ino = scene.fs.walk(view).await.unwrap().attr.ino;
        let name = if view == "by-id" { id(7).to_string() } else { "new".to_owned() };
        assert_eq!(errno(scene.fs.mkdir(ino, OsStr::new(&name)).await), libc::EPERM);
        let sentence = told(&scene, view, &name).await;
        assert!(sentence.contains("no image can be made") && sentence.contains("--service image"), "{sentence}");
    }
    let by_name = scene.fs.walk("by-name").await.unwrap().attr.ino;
    let renamed = scene.fs.rename((by_name, OsStr::new("disk")), (by_name, OsStr::new("b")), Asker::UNKNOWN).await;
    assert_eq!(errno(renamed), libc::EPERM);
    assert!(scene.sentence("by-name").await.contains("no image can be renamed"));
    assert_eq!((scene.service.calls("create"), scene.changes()), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_made_or_renamed_says_so_in_words_that_hold_here() {
    let scene = everything().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    assert_eq!(errno(scene.fs.mkdir(folder, OsStr::new("files")).await), libc::EPERM);
    let sentence = told(&scene, "by-name/disk", "files").await;
    assert!(sentence.contains("no image can be made") && sentence.contains("--service image"), "{sentence}");
    let by_id = scene.fs.walk("by-id").await.unwrap().attr.ino;
    let names = [id(1), id(7)].map(|id| id.to_string());
    let [from, to] = names.each_ref().map(|name| (by_id, OsStr::new(name.as_str())));
    assert_eq!(errno(scene.fs.rename(from, to, Asker::UNKNOWN).await), libc::EPERM);
    let moved = [("properties", "other"), ("data", "other")];
    for (from, to) in moved {
        let renamed = scene.fs.rename((folder, OsStr::new(from)), (folder, OsStr::new(to)), Asker::UNKNOWN).await;
        assert_eq!(errno(renamed), libc::EPERM, "{from}");
        let sentence = scene.sentence("by-name/disk").await;
        assert!(!sentence.contains("only images") && !sentence.contains("tags"), "{from}: {sentence}");
    }
}

#[tokio::test]
async fn what_is_told_of_whose_an_image_is_and_who_sees_it_shows_in_the_modes_and_in_what_limits_say() {
    let limits = async |scene: &Scene, path: &str| {
        let ino = scene.fs.walk(path).await.unwrap().attr.ino;
        let limits = scene.fs.getxattr(ino, OsStr::new("user.glancefs.limits"), 0).await.unwrap();
        String::from_utf8(limits).unwrap()
    };
    let property = "by-name/disk/properties/os_distro";
    let scene = everything().await;
    let untold = limits(&scene, property).await;
    assert!(untold.contains("shows when it is tried") && untold.lines().count() == 1, "{untold}");
    assert_eq!(mode(&scene, property).await, 0o644, "where it is not known it is allowed");
    // By its id, because no listing has a community image.
    let folder = format!("by-id/{}", id(1));
    for visibility in [Visibility::Shared, Visibility::Community] {
        let scene = everything().await;
        scene.tell(Some("own"), visibility);
        let seen = limits(&scene, &format!("{folder}/properties/os_distro")).await;
        assert!(seen.contains(OPTION) && seen.lines().count() == 1, "{seen}");
        for path in ["properties/os_distro", "metadata.json"] {
            assert_eq!(mode(&scene, &format!("{folder}/{path}")).await, 0o444, "{path}");
        }
        assert_eq!(mode(&scene, &format!("{folder}/properties")).await, 0o755);
    }
    let scene = everything().await;
    scene.tell(Some("theirs"), Visibility::Shared);
    let anothers = limits(&scene, property).await;
    assert!(anothers.contains("belongs to project theirs") && !anothers.contains(OPTION), "{anothers}");
    assert_eq!(anothers.lines().count(), 1, "{anothers}");
    assert_eq!((mode(&scene, property).await, mode(&scene, "by-name/disk").await), (0o444, 0o555));
}

#[tokio::test]
async fn a_change_that_was_refused_shows_in_the_modes() {
    let scene = everything().await;
    let property = "by-name/disk/properties/os_distro";
    assert_eq!(mode(&scene, property).await, 0o644);
    scene.service.change(|world| {
        world.refusing.insert("update", (Kind::Forbidden, "no"));
        world.images[0].owner = Some("theirs".into());
    });
    assert_eq!(errno(scene.put(property, &["x\n"]).await), libc::EPERM);
    assert_eq!(mode(&scene, property).await, 0o444);
}

#[tokio::test(start_paused = true)]
async fn data_and_status_take_nothing() {
    let scene = everything().await;
    for (part, words) in
        [("data", "takes no data"), ("status", "no status can be set"), ("progress", "nobody can set it")]
    {
        let path = format!("by-name/disk/{part}");
        assert_eq!(errno(scene.put(&path, &["x\n"]).await), libc::EPERM, "{part}");
        let sentence = scene.sentence(&path).await;
        assert!(sentence.contains(words), "{sentence}");
        let cut = scene.fs.setattr(scene.fs.walk(&path).await.unwrap().attr.ino, None, Some(0), None, Asker::UNKNOWN);
        assert_eq!(errno(cut.await), libc::EPERM, "{part}");
    }
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    // One that has no data yet would take them in a mount of the Image service.
    scene.service.change(|world| world.images[0].status = Status::Saving);
    tokio::time::advance(TTL).await;
    assert_eq!(errno(scene.put("by-name/disk/data", &["x\n"]).await), libc::EPERM);
    scene.put("by-name/disk/.data.tmp", &["bytes"]).await.unwrap();
    for part in ["data", "status", "checksums"] {
        let moved = scene.fs.rename((folder, OsStr::new(".data.tmp")), (folder, OsStr::new(part)), Asker::UNKNOWN);
        assert_eq!(errno(moved.await), libc::EPERM, "{part}");
    }
    assert!(scene.sentence("by-name/disk/data").await.contains("takes no data"));
    assert_eq!(scene.fs.cat("by-name/disk/.data.tmp").await.unwrap(), "bytes", "which stays for another try");
    assert_eq!((scene.service.calls("upload"), scene.changes()), (0, 0));
}

#[tokio::test]
async fn what_is_not_there_says_why_and_cannot_be_made() {
    let scene = offering(Offers::compute(false, true)).await;
    for (part, words) in [
        ("tags", "has no tags"),
        ("members", "tells of no members"),
        ("checksums", "tells no checksums"),
        ("import", "nothing can be imported"),
        ("data", "gives out no data"),
    ] {
        assert_eq!(errno(scene.fs.walk(&format!("by-name/disk/{part}")).await), libc::ENOENT, "{part}");
        let sentence = told(&scene, "by-name/disk", part).await;
        assert!(sentence.contains(words), "{part}: {sentence}");
        let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
        assert_eq!(errno(scene.fs.mkdir(folder, OsStr::new(part)).await), libc::EPERM, "{part}");
        assert_eq!(errno(scene.fs.mknod(folder, OsStr::new(part)).await), libc::EPERM, "{part}");
        assert!(told(&scene, "by-name/disk", part).await.contains(words), "{part}");
        assert_eq!(scene.fs.refuse(folder, Unmakeable::Link).errno(), libc::EPERM);
    }
    assert_eq!(errno(scene.fs.walk("files").await), libc::ENOENT);
    assert!(told(&scene, "", "files").await.contains("by-name and by-id"));
}

#[tokio::test]
async fn without_the_option_no_property_is_changed_where_nobody_knows_what_becomes_of_the_visibility() {
    let scene = offering(Offers::compute(false, false)).await;
    let properties = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    let set = scene.put("by-name/disk/properties/os_distro", &["x\n"]).await;
    // Already when it is made, and not only when it is written.
    let made =
        scene.fs.create(properties, OsStr::new("new"), Writing { process: EDITOR, truncate: true }).await.map(drop);
    let removed = scene.fs.unlink(properties, OsStr::new("os_distro")).await;
    let saved = scene.put("by-name/disk/metadata.json", &[r#"{"metadata": {"p": "1"}}"#]).await;
    let names = (OsStr::new("os_distro"), OsStr::new("new"));
    let renamed = scene.fs.rename((properties, names.0), (properties, names.1), Asker::UNKNOWN).await;
    for (at, outcome) in [set, made, removed, saved, renamed].into_iter().enumerate() {
        assert_eq!(errno(outcome), libc::EPERM, "{at}");
    }
    for path in ["properties/os_distro", "properties", "metadata.json"] {
        let sentence = scene.sentence(&format!("by-name/disk/{path}")).await;
        assert!(sentence.contains(OPTION), "{path}: {sentence}");
    }
    let text = scene.document().await;
    scene.save(&text).await.unwrap();
    assert_eq!(scene.changes(), 0, "a document in which nothing differs changes nothing");
    assert_eq!(scene.fs.ls("by-name/disk/properties").await, ["os_distro"], "nothing was begun");
    let by_name = scene.fs.walk("by-name").await.unwrap().attr.ino;
    scene.fs.rmdir(by_name, OsStr::new("disk")).await.unwrap();
    assert_eq!(scene.service.calls("delete"), 1, "which it does all the same");
}

#[tokio::test]
async fn who_asks_what_keeps_him_from_changing_a_file_is_told() {
    let scene = offering(Offers::compute(true, false)).await;
    for (part, words) in [
        ("data", "takes no data"),
        ("status", "no status can be set"),
        ("server", "nobody can set it"),
        ("properties", OPTION),
        ("properties/os_distro", OPTION),
        ("metadata.json", OPTION),
    ] {
        let ino = scene.fs.walk(&format!("by-name/disk/{part}")).await.unwrap().attr.ino;
        let limits = scene.fs.getxattr(ino, OsStr::new("user.glancefs.limits"), 1).await.unwrap();
        let limits = String::from_utf8(limits).unwrap();
        assert!(limits.contains(words) && limits.lines().count() == 1, "{part}: {limits}");
    }
}
