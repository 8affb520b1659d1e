//! From which version of an image a document was made, and what becomes of what others changed.

use bytes::Bytes;

use super::editing::{EDITOR, Scene};
use super::*;

/// Somebody else sets a property, in the second in which the image was last changed.
fn set_elsewhere(scene: &Scene, key: &str, value: &str) {
    scene.service.change(|world| world.images[0].properties.insert(key.into(), value.into()));
}

/// The document without the lines of these keys.
fn without(document: &str, keys: &[&str]) -> String {
    let mut lines: serde_json::Map<_, _> = serde_json::from_str(document).unwrap();
    lines.retain(|key, _| !keys.contains(&key.as_str()));
    serde_json::to_string(&lines).unwrap()
}

/// `writer` writes a document beside, and `mover` puts it in its place.
async fn moved(scene: &Scene, text: &str, writer: u32, mover: u32) -> Result<()> {
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    let handle = scene.fs.create(folder, OsStr::new("t"), Writing::of(Process(writer))).await.unwrap().1.handle;
    scene.fs.write(handle, 0, Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    scene.fs.release(handle);
    let by = Asker { thread: mover, look: Process };
    scene.fs.rename((folder, OsStr::new("t")), (folder, OsStr::new("metadata.json")), by).await
}

#[tokio::test]
async fn a_program_that_has_others_put_its_documents_in_place_can_take_its_change_back() {
    let scene = Scene::new().await;
    let read = scene.document().await;
    moved(&scene, &read.replace("\"debian\"", "\"arch\""), EDITOR.0, 50).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "arch");
    moved(&scene, &read, EDITOR.0, 51).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "debian");
}

#[tokio::test]
async fn what_came_to_an_image_in_the_second_in_which_it_was_read_is_not_removed() {
    let scene = Scene::new().await;
    let read = scene.document().await;
    set_elsewhere(&scene, "elsewhere", "kept");
    tokio::time::pause();
    tokio::time::advance(TTL).await;
    tokio::time::resume();
    let again = scene.document().await;
    assert!(again.contains("elsewhere"));
    // An editor looks again before it saves, and does not take that into what it saves.
    let refused = scene.save(&read.replace("\"debian\"", "\"arch\"")).await.unwrap_err();
    assert!(refused.errno() == libc::EINVAL && refused.to_string().contains("read it again"), "{refused}");
    assert_eq!(scene.changes(), 0);
    // What it edits of the later one is no doubt its own.
    set_elsewhere(&scene, "elsewhere", "kept still");
    scene.save(&again.replace("\"debian\"", "\"arch\"")).await.unwrap();
    let image = scene.image();
    assert_eq!(
        (image.properties.get("os_distro").unwrap().as_str(), image.properties.get("elsewhere").unwrap().as_str()),
        ("arch", "kept still")
    );
}

#[tokio::test]
async fn a_document_that_nobody_is_known_to_have_read_removes_nothing_and_says_so() {
    let read = Scene::new().await.document().await;
    // As after a remount.
    let scene = Scene::new().await;
    set_elsewhere(&scene, "elsewhere", "kept");
    assert_eq!(errno(scene.save(&read).await), libc::EINVAL, "a line is missing, and who took it out is not known");
    assert_eq!(errno(scene.save(&without(&read, &["updated_at"])).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("read it again"));
    assert_eq!(scene.changes(), 0);
    let scene = Scene::new().await;
    scene.save(&read.replace("\"debian\"", "\"arch\"")).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "arch");
}

#[tokio::test]
async fn a_document_without_a_time_is_compared_with_what_its_writer_read_or_refused() {
    let scene = Scene::new().await;
    let read = scene.document().await;
    let text = without(&read, &["updated_at", "os_distro"]);
    assert_eq!(errno(moved(&scene, &text, 60, 61).await), libc::EINVAL, "they have read nothing");
    assert_eq!(scene.changes(), 0);
    scene.save(&text).await.unwrap();
    assert!(scene.image().properties.is_empty());
}

#[tokio::test]
async fn a_key_that_somebody_else_changed_too_is_refused_by_its_name() {
    let scene = Scene::new().await;
    let read = scene.document().await;
    set_elsewhere(&scene, "os_distro", "fedora");
    for mine in [read.replace("\"debian\"", "\"arch\""), without(&read, &["os_distro"])] {
        let refused = scene.save(&mine).await.unwrap_err();
        assert!(refused.errno() == libc::EINVAL && refused.to_string().contains("'os_distro'"), "{refused}");
    }
    assert_eq!((scene.changes(), scene.image().properties.get("os_distro").unwrap().as_str()), (0, "fedora"));
    scene.save(&read.replace("\"min_ram\": 0", "\"min_ram\": 64")).await.unwrap();
    assert_eq!((scene.image().min_ram, scene.image().properties.get("os_distro").unwrap().as_str()), (64, "fedora"));
}

#[tokio::test]
async fn a_change_of_ours_that_is_answered_with_nothing_makes_no_document_old() {
    let scene = Scene::new().await;
    scene.document().await;
    for (second, path, text) in [(1, "tags/two", &[][..]), (2, "status", &["deactivated\n"])] {
        // The service answers 204, and has another time of the last change from then on.
        scene.put(&format!("by-name/disk/{path}"), text).await.unwrap();
        let time = format!("2027-01-01T00:00:0{second}Z").parse().unwrap();
        scene.service.change(|world| world.images[0].updated_at = time);
        let asked = scene.service.calls("show");
        let read = scene.document().await;
        assert_eq!(scene.document().await, read);
        assert_eq!(scene.service.calls("show"), asked + 1, "{path}");
        assert!(read.contains("\"two\"") && read.contains(&time.to_string()), "{path}: {read}");
        // Who writes it is another program than who read it.
        let (from, to) = if second == 1 { ("\"debian\"", "\"arch\"") } else { ("\"two\"", "\"one\"") };
        moved(&scene, &read.replace(from, to), 50, 51).await.unwrap();
    }
    assert_eq!(scene.image().tags, ["one"]);
}
