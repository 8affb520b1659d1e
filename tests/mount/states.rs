//! Images that are not simply there: without bytes yet, deactivated, deleted, hidden, of others.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::json;

use crate::content::{assert_same, noise};
use crate::target::Target;
use crate::tools::{attribute, shell, tool};

crate::promises![Both:
    a_queued_image_is_an_empty_file,
    an_image_of_no_bytes_is_an_empty_file_that_verifies,
    a_queued_image_that_gets_its_bytes_has_them,
    a_deactivated_image_cannot_be_opened_and_says_why,
    a_deactivated_image_cannot_be_opened_although_its_bytes_are_cached,
    a_reactivated_image_can_be_read_again,
    reading_an_image_that_was_deleted_while_open_is_stale,
    a_deleted_image_is_gone_from_both_views,
    a_hidden_image_and_one_of_the_community_are_found_by_id_only,
    a_private_image_of_another_project_does_not_exist,
    who_may_not_read_is_told_so,
];

/// What is seen is as old as the question.
const NOW: [&str; 1] = ["--ttl=0s"];

#[track_caller]
fn refused(result: io::Result<impl Sized>, errno: i32) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

fn a_queued_image_is_an_empty_file(target: &Target) {
    let name = target.name("queued");
    let id = target.image(&target.person("demo"), &json!({"name": name}));
    let mount = target.mount("demo");
    let folder = mount.path("by-name").join(name);
    assert_eq!(shell(&folder, "stat -c %s data; cat data status checksums"), "0\nqueued\n");
    assert_eq!(fs::metadata(mount.data(&id)).unwrap().len(), 0);
    mount.end();
}

fn an_image_of_no_bytes_is_an_empty_file_that_verifies(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), b"");
    let mount = target.mount("demo");
    let folder = mount.path("by-id").join(id);
    assert_eq!(
        shell(&folder, "stat -c %s data; cat data status; cksum -c checksums"),
        "0\nactive\ndata: OK\ndata: OK\n"
    );
}

fn a_queued_image_that_gets_its_bytes_has_them(target: &Target) {
    let demo = target.person("demo");
    let id = target.image(&demo, &json!({}));
    let mount = target.mount_with("demo", &NOW);
    assert_eq!(fs::read(mount.data(&id)).unwrap(), b"");
    target.wait(demo.upload(&id, b"now there")).is(204);
    assert_eq!(fs::read(mount.data(&id)).unwrap(), b"now there");
    assert_eq!(fs::metadata(mount.data(&id)).unwrap().len(), 9);
    assert_eq!(shell(&mount.path("by-id").join(&id), "cat status"), "active\n");
}

fn a_deactivated_image_cannot_be_opened_and_says_why(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({}), b"secret for now");
    target.wait(demo.act(&id, "deactivate")).is(204);
    let mount = target.mount("demo");
    refused(File::open(mount.data(&id)), libc::EACCES);
    let sentence = attribute(&mount.data(&id), "user.glancefs.error").unwrap();
    assert!(sentence.contains(&id) && sentence.contains("deactivated"), "{sentence}");
    assert_eq!(fs::metadata(mount.data(&id)).unwrap().len(), 14);
    assert_eq!(fs::read_to_string(mount.data(&id).with_file_name("status")).unwrap(), "deactivated\n");
}

fn a_deactivated_image_cannot_be_opened_although_its_bytes_are_cached(target: &Target) {
    let demo = target.person("demo");
    let original = noise(3, 300_000);
    let id = target.filled(&demo, &json!({}), &original);
    let mount = target.mount_with("demo", &NOW);
    let data = mount.data(&id);
    assert_same(&fs::read(&data).unwrap(), &original, "while it is active");
    target.wait(demo.act(&id, "deactivate")).is(204);
    refused(File::open(&data), libc::EACCES);
    let ran = tool("cat", [&data]);
    assert!(ran.code == Some(1) && ran.err.contains("Permission denied"), "{ran:?}");
}

fn a_reactivated_image_can_be_read_again(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({}), b"back again");
    let mount = target.mount_with("demo", &NOW);
    target.wait(demo.act(&id, "deactivate")).is(204);
    refused(File::open(mount.data(&id)), libc::EACCES);
    target.wait(demo.act(&id, "reactivate")).is(204);
    assert_eq!(fs::read(mount.data(&id)).unwrap(), b"back again");
}

fn reading_an_image_that_was_deleted_while_open_is_stale(target: &Target) {
    let demo = target.person("demo");
    let original = noise(4, 40 << 20);
    let id = target.filled(&demo, &json!({}), &original);
    let mount = target.mount_with("demo", &NOW);
    let file = File::open(mount.data(&id)).unwrap();
    let mut found = vec![0; 4096];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_same(&found, &original[..4096], "before it was deleted");
    target.delete(&demo, &id);
    refused(file.read_exact_at(&mut found, 36 << 20), libc::ESTALE);
    refused(file.metadata(), libc::ESTALE);
    refused(mount.data(&id).metadata(), libc::ENOENT);
    refused(File::open(mount.data(&id)), libc::ENOENT);
    drop(file);
    mount.end();
}

fn a_deleted_image_is_gone_from_both_views(target: &Target) {
    let demo = target.person("demo");
    let name = target.name("short-lived");
    let id = target.filled(&demo, &json!({"name": name}), b"here");
    let mount = target.mount_with("demo", &NOW);
    assert_eq!(fs::read(mount.path("by-name").join(&name).join("data")).unwrap(), b"here");
    target.delete(&demo, &id);
    for path in [mount.data(&id), mount.path("by-id").join(&id), mount.path("by-name").join(&name)] {
        refused(fs::metadata(&path), libc::ENOENT);
    }
    assert!(!shell(&mount.root(), "ls by-id by-name").lines().any(|line| line == id || line == name));
}

fn a_hidden_image_and_one_of_the_community_are_found_by_id_only(target: &Target) {
    let hidden = json!({"name": target.name("hidden"), "os_hidden": true});
    let community = json!({"name": target.name("community"), "visibility": "community"});
    let cases = [("demo", hidden, b"hidden"), ("alt", community, b"common")]
        .map(|(owner, attributes, data)| (target.filled(&target.person(owner), &attributes, data), data));
    let mount = target.mount("demo");
    let listed = shell(&mount.root(), "ls by-id by-name");
    assert!(!listed.contains(&target.name("hidden")) && !listed.contains(&target.name("community")), "{listed}");
    for (id, data) in &cases {
        assert!(!listed.contains(id), "{listed}");
        assert_eq!(&fs::read(mount.data(id)).unwrap(), data);
    }
    // The other project's is only to be read.
    let modes = cases.map(|(id, _)| shell(&mount.path("by-id").join(id), "stat -c %a . tags"));
    assert_eq!(modes, ["755\n755\n", "555\n555\n"]);
}

fn a_private_image_of_another_project_does_not_exist(target: &Target) {
    let name = target.name("private");
    let id = target.filled(&target.person("alt"), &json!({"name": name, "visibility": "private"}), b"theirs");
    let mount = target.mount("demo");
    for path in [mount.path("by-id").join(&id), mount.data(&id), mount.path("by-name").join(&name)] {
        refused(fs::metadata(&path), libc::ENOENT);
        refused(File::open(&path), libc::ENOENT);
    }
}

fn who_may_not_read_is_told_so(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"visibility": "private"}), b"for members");
    let mount = target.mount("reader");
    let data = mount.data(&id);
    assert_eq!(fs::metadata(&data).unwrap().len(), 11);
    refused(fs::read(&data), libc::EACCES);
    let sentence = attribute(&data, "user.glancefs.error").unwrap();
    assert!(is_a_sentence(&sentence), "{sentence}");
    let ran = tool("cp", [&data, Path::new("/dev/null")]);
    assert!(ran.code == Some(1) && ran.err.contains("Permission denied"), "{ran:?}");
    mount.end();
}

/// The words of the service, without its markup.
fn is_a_sentence(words: &str) -> bool {
    words.contains("not authorized") && !words.contains('<') && !words.contains("&#")
}
