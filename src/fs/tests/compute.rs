//! The tree of a service that shows its images by the Compute API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::editing::Scene;
use super::*;
use crate::image::Image;
use crate::service::Offers;

mod refusals;

/// An active image as the Compute API shows it.
pub(super) fn shown(n: u32, name: &str) -> Image {
    let other = json!({
        "status": "ACTIVE",
        "progress": 100,
        "created": "2026-01-02T03:04:05Z",
        "updated": "2026-02-03T04:05:06Z",
        "minRam": 0,
        "minDisk": 0,
        "OS-EXT-IMG-SIZE:size": 5,
        "links": [{"rel": "self", "href": "http://h/v2.1/images/x"}],
    });
    let other: BTreeMap<String, Value> = serde_json::from_value(other).unwrap();
    Image {
        visibility: Visibility::Other("".into()),
        owner: None,
        disk_format: None,
        container_format: None,
        checksums: Checksums::default(),
        properties: [("os_distro".into(), "debian".into())].into_iter().collect(),
        other: other.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        ..image(n, name)
    }
}

/// The same of a server.
pub(super) fn snapshot(n: u32, name: &str) -> Image {
    let mut image = shown(n, name);
    image.other.insert("server".into(), json!({"id": "server-7", "links": []}));
    image
}

/// A filesystem over a service that offers this and has one image, of a server, called `disk`.
pub(super) async fn offering(offers: Offers) -> Scene {
    Scene::offering(offers, snapshot(1, "disk")).await
}

async fn everything() -> Scene {
    offering(Offers::compute(true, true)).await
}

impl Scene {
    /// What the service tells of the image to who asks whose it is.
    fn tell(&self, owner: Option<&str>, visibility: Visibility) {
        self.service.change(|world| world.rights.insert(id(1), (owner.map(Into::into), visibility)));
    }
}

/// Saves a document as the editor does who has read it.
async fn edit(scene: &Scene, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut document: Value = serde_json::from_str(&scene.document().await).unwrap();
    change(&mut document);
    scene.save(&document.to_string()).await
}

#[tokio::test]
async fn an_image_has_what_the_compute_api_shows_and_nothing_else() {
    let scene = everything().await;
    scene.service.change(|world| world.images.push(shown(2, "base")));
    assert_eq!(scene.fs.ls("").await, ["by-id", "by-name", "query"]);
    let parts = ["data", "metadata.json", "status", "progress", "properties", "server"];
    assert_eq!(scene.fs.ls("by-name/disk").await, parts);
    assert_eq!(scene.fs.ls(&format!("by-id/{}", id(2))).await, parts[..5]);
    assert_eq!(errno(scene.fs.walk("by-name/base/server").await), libc::ENOENT);
    assert_eq!(scene.fs.ls("by-name/disk/properties").await, ["os_distro"]);
    for (part, text) in [("status", "ACTIVE\n"), ("progress", "100\n"), ("server", "server-7\n")] {
        assert_eq!(scene.fs.cat(&format!("by-name/disk/{part}")).await.unwrap(), text);
        let size = scene.fs.walk(&format!("by-name/disk/{part}")).await.unwrap().attr.size;
        assert_eq!(size, text.len() as u64, "{part}");
    }
}

#[tokio::test]
async fn data_are_there_only_where_they_can_be_read() {
    let scene = offering(Offers::compute(false, true)).await;
    assert_eq!(scene.fs.ls("by-name/disk").await, ["metadata.json", "status", "progress", "properties", "server"]);
    assert_eq!(errno(scene.fs.walk("by-name/disk/data").await), libc::ENOENT);
}

#[tokio::test]
async fn the_document_is_the_servers_own_and_ends_with_the_properties() {
    let scene = everything().await;
    let text = scene.fs.cat("by-name/disk/metadata.json").await.unwrap();
    let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
    assert_eq!(
        keys.join(" "),
        "id name OS-EXT-IMG-SIZE:size created links minDisk minRam progress server status updated metadata"
    );
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["status"], &document["progress"]), (&json!("ACTIVE"), &json!(100)));
    assert_eq!(document["metadata"], json!({"os_distro": "debian"}));
    assert_eq!(document["server"], json!({"id": "server-7", "links": []}));
}

#[tokio::test]
async fn the_lines_of_the_document_are_extended_attributes() {
    let scene = everything().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    let value = async |name: &str| {
        let value = scene.fs.getxattr(folder, OsStr::new(&format!("user.glance.{name}")), 0).await;
        value.ok().map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(value("OS-EXT-IMG-SIZE:size").await.as_deref(), Some("5"));
    assert_eq!(value("metadata").await.as_deref(), Some(r#"{"os_distro":"debian"}"#));
    assert_eq!(value("visibility").await, None, "which the Compute API does not tell");
    let names = scene.fs.listxattr(folder).await.unwrap();
    assert!(names.contains(&"user.glance.status".into()) && !names.contains(&"user.glance.owner".into()), "{names:?}");
}

#[tokio::test]
async fn a_number_is_that_of_the_same_file_in_a_mount_of_the_image_service() {
    let (one, other) = (everything().await, Scene::with(image(1, "disk")).await);
    for part in ["", "/data", "/metadata.json", "/status", "/properties"] {
        let path = format!("by-name/disk{part}");
        let number = async |scene: &Scene| scene.fs.walk(&path).await.unwrap().attr.ino;
        assert_eq!(number(&one).await, number(&other).await, "{part}");
    }
    assert_eq!(errno(other.fs.walk("by-name/disk/progress").await), libc::ENOENT);
    other.put("by-name/disk/progress", &["which is a scratch file there"]).await.unwrap();
}

#[tokio::test]
async fn data_are_read_with_what_the_image_service_tells_of_them() {
    let scene = everything().await;
    let whole = Image { checksums: image(1, "disk").checksums, ..scene.image() };
    scene.service.change(|world| world.with_data.insert(whole.id, whole));
    assert_eq!(scene.fs.cat("by-name/disk/data").await.unwrap(), "hello");
    assert_eq!(scene.service.calls("with_data"), 1);
    assert_eq!(scene.fs.cat("by-name/disk/status").await.unwrap(), "ACTIVE\n", "and is not mistaken for a change");
    let deactivated = Image { status: Status::Deactivated, ..scene.image() };
    scene.service.change(|world| world.with_data.insert(deactivated.id, deactivated));
    assert_eq!(errno(scene.fs.cat("by-name/disk/data").await), libc::EACCES);
}

#[tokio::test]
async fn a_property_is_one_change() {
    let scene = everything().await;
    scene.put("by-name/disk/properties/os_distro", &["fedora\n"]).await.unwrap();
    scene.put("by-name/disk/properties/new", &["a ", "b\n"]).await.unwrap();
    let folder = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    scene.fs.unlink(folder, OsStr::new("os_distro")).await.unwrap();
    assert_eq!(scene.service.calls("update"), 3);
    assert_eq!(scene.image().properties, [("new".into(), "a b".into())].into_iter().collect());
    assert_eq!(scene.service.calls("schema"), 0, "which the Compute API has not");
}

#[tokio::test]
async fn what_the_service_does_not_take_for_a_property_is_refused_in_its_words() {
    let scene = everything().await;
    scene.service.change(|world| world.refusing.insert("update", (Kind::Invalid, "'status' is none")));
    let path = "by-name/disk/properties/status";
    assert_eq!(errno(scene.put(path, &["x\n"]).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/properties").await.contains("'status' is none"));
    assert_eq!(errno(scene.fs.walk(path).await), libc::ENOENT);
    scene.service.change(|world| world.refusing.insert("update", (Kind::Forbidden, "it is shared")));
    assert_eq!(errno(edit(&scene, |document| document["metadata"]["p"] = json!("1")).await), libc::EPERM);
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("it is shared"));
}

#[tokio::test]
async fn a_saved_document_changes_the_properties_and_what_others_changed_meanwhile_stays() {
    let scene = everything().await;
    let document = scene.document().await;
    scene.service.change(|world| {
        let image = &mut world.images[0];
        image.properties.insert("theirs".into(), "kept".into());
        image.other.insert("progress".into(), json!(50));
    });
    scene.save(&document.replace("\"debian\"", "\"fedora\"")).await.unwrap();
    assert_eq!(scene.service.calls("update"), 1);
    let kept = [("os_distro".into(), "fedora".into()), ("theirs".into(), "kept".into())];
    assert_eq!(scene.image().properties, kept.into_iter().collect());

    edit(&scene, |document| document["metadata"] = json!({"theirs": "kept", "new": "1"})).await.unwrap();
    let left = [("new".into(), "1".into()), ("theirs".into(), "kept".into())];
    assert_eq!(scene.image().properties, left.into_iter().collect());
    edit(&scene, |document| drop(document.as_object_mut().unwrap().remove("metadata"))).await.unwrap();
    assert_eq!(scene.service.calls("update"), 2, "a line less says nothing");
}

#[tokio::test]
async fn a_property_that_somebody_else_changed_since_is_not_written_over() {
    let scene = everything().await;
    let document = scene.document().await;
    scene.service.change(|world| world.images[0].properties.insert("os_distro".into(), "theirs".into()));
    assert_eq!(errno(scene.save(&document.replace("\"debian\"", "\"fedora\"")).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("somebody else has changed 'os_distro'"));
    let without = document.replace("\"os_distro\": \"debian\"", "");
    assert_eq!(errno(scene.save(&without).await), libc::EINVAL);
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "theirs");
}

#[tokio::test]
async fn another_value_of_what_only_the_service_writes_is_refused_by_its_name() {
    let scene = everything().await;
    for (key, value) in [("name", json!("x")), ("status", json!("SAVING")), ("minDisk", json!(5)), ("new", json!("1"))]
    {
        let saved = edit(&scene, |document| document[key] = value.clone()).await;
        assert_eq!(errno(saved), libc::EINVAL, "{key}");
        let sentence = scene.sentence("by-name/disk/metadata.json").await;
        assert!(sentence.contains(&format!("'{key}' cannot be changed")), "{sentence}");
    }
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn what_is_no_object_of_texts_is_no_metadata() {
    let scene = everything().await;
    for (metadata, words) in [(json!([]), "it is an object of texts"), (json!({"p": 1}), "properties are texts")] {
        assert_eq!(errno(edit(&scene, |document| document["metadata"] = metadata).await), libc::EINVAL);
        let sentence = scene.sentence("by-name/disk/metadata.json").await;
        assert!(sentence.contains(words), "{sentence}");
    }
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn of_another_images_document_the_properties_are_set_and_the_rest_is_passed_over() {
    let scene = everything().await;
    let mut backup: Value = serde_json::from_str(&scene.document().await).unwrap();
    backup["id"] = json!(id(2).as_str());
    (backup["name"], backup["status"]) = (json!("other"), json!("SAVING"));
    backup["metadata"] = json!({"restored": "1"});
    scene.save(&backup.to_string()).await.unwrap();
    scene.save(r#"{"metadata": {"p": "2"}}"#).await.unwrap();
    let all = [("os_distro", "debian"), ("p", "2"), ("restored", "1")];
    assert_eq!(scene.image().properties, all.map(|(key, value)| (key.into(), value.into())).into_iter().collect());
    assert_eq!(errno(scene.save(r#"{"os_distro": "fedora"}"#).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("under 'metadata'"));
}

#[tokio::test]
async fn a_document_that_nobody_read_counts_while_the_image_is_as_it_says() {
    let scene = everything().await;
    let text = scene.fs.cat("by-name/disk/metadata.json").await.unwrap();
    let scene = everything().await;
    scene.save(&text.replace("\"debian\"", "\"fedora\"")).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "fedora");
    let scene = everything().await;
    let outdated = text.replace("2026-02-03T04:05:06Z", "2026-02-03T04:05:05Z");
    assert_eq!(errno(scene.save(&outdated.replace("\"debian\"", "\"fedora\"")).await), libc::EINVAL);
    let lacking = text.replace("\"os_distro\": \"debian\"", "");
    assert_eq!(errno(scene.save(&lacking).await), libc::EINVAL);
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn a_question_is_sent_as_it_is() {
    let scene = everything().await;
    scene.fs.ls("query/name=disk&status=ACTIVE&property-os_distro=debian").await;
    let asked = scene.service.change(|world| world.queries.pop()).unwrap();
    let filter = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let filters = [filter("name", "disk"), filter("status", "ACTIVE"), filter("property-os_distro", "debian")];
    assert_eq!((asked.filters.as_slice(), asked.sort.len()), (&filters[..], 0));
    assert_eq!(errno(scene.fs.walk("query/tag=x").await), libc::ENOENT);
    assert_eq!(errno(scene.fs.walk("query/status=bogus").await), libc::ENOENT);
}

#[tokio::test]
async fn a_removed_folder_is_a_deleted_image_and_no_property_is_removed_before() {
    let scene = everything().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    for part in ["data", "metadata.json", "status", "progress"] {
        scene.fs.unlink(folder, OsStr::new(part)).await.unwrap();
    }
    let properties = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    scene.fs.unlink(properties, OsStr::new("os_distro")).await.unwrap();
    assert_eq!(scene.fs.ls("by-name/disk/properties").await, Vec::<String>::new());
    scene.fs.rmdir(folder, OsStr::new("properties")).await.unwrap();
    scene.fs.unlink(folder, OsStr::new("server")).await.unwrap();
    assert_eq!(scene.changes(), 0);
    let images = scene.fs.walk("by-name").await.unwrap().attr.ino;
    scene.fs.rmdir(images, OsStr::new("disk")).await.unwrap();
    assert_eq!(scene.service.calls("delete"), 1);
    assert!(scene.service.change(|world| world.images.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_property_that_was_hidden_is_back_when_the_image_was_not_removed() {
    let scene = everything().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    let properties = scene.fs.walk("by-name/disk/properties").await.unwrap().attr.ino;
    for part in ["metadata.json", "status"] {
        scene.fs.unlink(folder, OsStr::new(part)).await.unwrap();
    }
    scene.fs.unlink(properties, OsStr::new("os_distro")).await.unwrap();
    assert_eq!(errno(scene.fs.walk("by-name/disk/properties/os_distro").await), libc::ENOENT);
    let hidden = scene.fs.walk("by-name/disk/properties").await.unwrap();
    assert_eq!(hidden.ttl, Duration::ZERO, "nobody tells when it is back");
    tokio::time::advance(Duration::from_secs(6)).await;
    let back = scene.fs.walk("by-name/disk/properties").await.unwrap();
    assert_ne!(back.attr.mtime, hidden.attr.mtime, "by which the kernel knows that it lists something else");
    assert_eq!(scene.fs.cat("by-name/disk/properties/os_distro").await.unwrap(), "debian\n");
    scene.fs.unlink(properties, OsStr::new("os_distro")).await.unwrap();
    assert_eq!(scene.service.calls("update"), 1);
}
