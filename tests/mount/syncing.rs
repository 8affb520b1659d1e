//! Small files and fsync: who waits for one knows afterwards what the image is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::target::Target;
use crate::tools::attribute;

crate::promises![Both:
    fsync_returns_when_what_was_written_is_in_the_image,
    fsync_of_what_cannot_be_is_refused_with_a_sentence,
];

/// Makes a file, or opens it, writes to it without a newline, and waits. The file stays open.
fn synced(path: &Path, text: &str) -> (File, io::Result<()>) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let outcome = file.sync_all();
    (file, outcome)
}

fn fsync_returns_when_what_was_written_is_in_the_image(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let project = target.person("alt").project;
    let id = target.filled(&person, &json!({"name": target.name("synced"), "os_distro": "debian"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let mut open = Vec::new();
    for (file, text) in [
        ("properties/without", ""),
        ("properties/with", "value"),
        ("properties/os_distro", "fedora"),
        ("tags/tag", ""),
        ("members/$ALT", "pending"),
        ("status", "deactivated"),
        ("metadata.json", "{\"min_ram\": 64}"),
    ] {
        let (file, outcome) = synced(&folder.join(file.replace("$ALT", &project)), text);
        outcome.unwrap();
        open.push(file);
    }
    let image = target.wait(person.show(&id));
    let properties = ["without", "with", "os_distro"].map(|name| &image[name]);
    assert_eq!(properties, [&json!(""), &json!("value"), &json!("fedora")]);
    let shown = (&image["tags"], &image["status"], &image["min_ram"]);
    assert_eq!(shown, (&json!(["tag"]), &json!("deactivated"), &json!(64)));
    let members = target.wait(person.get(&format!("/v2/images/{id}/members"))).is(200).json();
    assert_eq!(members["members"][0]["member_id"], json!(project));
    drop(open);
    assert_eq!(target.wait(person.show(&id)), image, "a close behind it changes nothing");
    mount.end();
}

fn fsync_of_what_cannot_be_is_refused_with_a_sentence(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("reader"));
    let id = target.filled(&person, &json!({"name": target.name("refused"), "os_distro": "debian"}), b"bytes");
    let before = target.wait(person.show(&id));
    let folder = mount.path("by-id").join(&id);
    for (file, text, errno, place) in [
        ("properties/without", "", libc::EPERM, "properties"),
        ("properties/with", "value", libc::EPERM, "properties"),
        ("properties/os_distro", "fedora", libc::EPERM, "properties/os_distro"),
        ("status", "deleted", libc::EINVAL, "status"),
        ("status", "deactivated", libc::EPERM, "status"),
        ("metadata.json", "{\"min_ram\": 64,\n", libc::EINVAL, "metadata.json"),
        ("metadata.json", "{\"min_ram\": 64}", libc::EPERM, "metadata.json"),
    ] {
        // What a write completes it refuses itself.
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).open(folder.join(file)).unwrap();
        let outcome = open.write_all(text.as_bytes()).and_then(|()| open.sync_all());
        assert_eq!(outcome.err().and_then(|error| error.raw_os_error()), Some(errno), "{file}: {text}");
        drop(open);
        assert!(attribute(&folder.join(place), "user.glancefs.error").is_some_and(|told| !told.is_empty()), "{file}");
    }
    assert_eq!(target.wait(person.show(&id)), before);
    mount.end();
}
