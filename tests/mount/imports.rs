//! Images that the service fetches by itself: a URL is written to `import`, and what comes of it is read there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use glancefs::server::{Behaviour, WebAccess};
use serde_json::{Value, json};

use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, shell, tool};
use crate::uploading::{assert_holds, becomes_active, id_of, made, shown};

crate::promises![Both:
    a_url_that_is_written_to_import_becomes_the_image,
    an_import_under_way_is_told_and_takes_nothing_else,
    an_import_that_failed_says_so_and_can_be_tried_again,
    a_url_that_is_appended_to_what_import_tells_is_imported_from,
    an_import_from_where_nobody_answers_leaves_an_image_whose_data_can_be_written,
    an_address_that_the_service_does_not_fetch_from_is_refused_in_its_write,
    what_was_fetched_in_another_format_says_what_can_be_done,
    an_image_that_stays_importing_for_ever_says_so_and_can_be_removed,
    an_image_whose_data_somebody_has_staged_says_who_has_to_go_on,
    a_format_that_was_guessed_is_taken_back_when_nothing_comes_of_the_import,
    an_image_that_is_to_have_certain_checksums_is_not_imported_unseen,
];

const BYTES: &[u8] = b"what the service fetches";

/// Nothing listens there, and a service fetches from there where it fetches from anywhere.
const NOBODY: &str = "http://127.0.0.1:443/disk.raw";

/// Writes a line as a shell's `echo` does, and answers the errno.
fn written(folder: &Path, file: &str, line: &str) -> i32 {
    let outcome = File::create(folder.join(file)).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    outcome.err().map_or(0, |error| error.raw_os_error().unwrap())
}

/// A line that is refused with this errno; the sentence that the file, or the folder for one that there is not, tells.
#[track_caller]
fn refused(folder: &Path, (file, line): (&str, &str), errno: i32) -> String {
    assert_eq!(written(folder, file, line), errno, "{file}: {line}");
    let place = folder.join(file);
    let place = if place.exists() { &place } else { folder };
    attribute(place, "user.glancefs.error").unwrap()
}

/// What `import` says when it begins with this word.
fn told(folder: &Path, word: &str) -> String {
    shell(folder, &format!("until grep -q '^{word} ' import; do sleep 0.5; done; cat import"))
}

/// A new image whose name begins with `word`, and whose formats are set.
fn ready(target: &Target, mount: &Mount, word: &str, format: &str) -> PathBuf {
    let folder = made(target, mount, word);
    let document = json!({"disk_format": format, "container_format": "bare"});
    shell(&folder, &format!("echo '{document}' > metadata.json"));
    folder
}

fn a_url_that_is_written_to_import_becomes_the_image(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = made(target, &mount, "imported");
    assert_eq!(shell(&folder, "cat import"), "");
    let url = web.url("/whole");
    let sentence = refused(&folder, ("import", &url), libc::EINVAL);
    assert!(sentence.contains("disk_format"), "its end names no format: {sentence}");
    shell(&folder, "jq '.disk_format = \"raw\"' metadata.json > tmp && mv tmp metadata.json");
    assert_eq!(written(&folder, "import", &url), 0);
    becomes_active(&folder);
    assert_holds(target, &folder, BYTES, "import");
    assert_eq!(
        shell(&folder, "cksum -c checksums 2> /dev/null && cat data"),
        "data: OK\ndata: OK\nwhat the service fetches"
    );
    let sentence = refused(&folder, ("import", &url), libc::EBUSY);
    assert!(sentence.contains("make a new one"), "{sentence}");
    mount.end();
}

fn an_import_under_way_is_told_and_takes_nothing_else(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = ready(target, &mount, "under-way", "raw");
    let secret = web.url("/held?signature=hush").replace("http://", "http://user:hush@");
    assert_eq!(written(&folder, "import", &secret), 0);
    let state = told(&folder, "processing");
    assert_eq!(state, format!("processing web-download {}\n", web.url("/held")));
    shell(&folder, "until grep -qx importing status; do sleep 0.5; done");
    for (file, line) in [("data", "other bytes"), ("import", NOBODY)] {
        let sentence = refused(&folder, (file, line), libc::EBUSY);
        assert!(sentence.contains("the service imports it"), "{sentence}");
    }
    shell(&folder, "echo kept > properties/meanwhile && cat import > state && cat state > import");
    web.release();
    becomes_active(&folder);
    drop(web);
    assert_holds(target, &folder, BYTES, "import");
    assert_eq!(shown(target, &folder)["meanwhile"], "kept");
    assert!(!mount.log().contains("hush") && !shell(&mount.path(".glancefs"), "cat errors").contains("hush"));
    mount.end();
}

/// An import from there fails, and leaves an image that can be imported again and says so.
fn fails(folder: &Path, url: &str) {
    assert_eq!(written(folder, "import", url), 0);
    let told = told(folder, "failure");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, format!("failure web-download {url}").as_str()), "{told}");
    assert_eq!(lines[2], "The image is queued again: another import may be tried.");
    assert_eq!(shell(folder, "cat status"), "queued\n");
    shell(folder, "cat import > state && cat state > import");
}

fn an_import_that_failed_says_so_and_can_be_tried_again(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = ready(target, &mount, "failing", "raw");
    fails(&folder, &web.url("/missing"));
    assert_eq!(written(&folder, "import", &web.url("/whole")), 0);
    becomes_active(&folder);
    drop(web);
    assert_holds(target, &folder, BYTES, "import");
    mount.end();
}

fn a_url_that_is_appended_to_what_import_tells_is_imported_from(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = ready(target, &mount, "appended", "raw");
    let append = |line: &str| {
        tool("sh", ["-c".as_ref(), "echo \"$1\" >> \"$0\"".as_ref(), folder.join("import").as_os_str(), line.as_ref()])
    };
    fails(&folder, &web.url("/missing"));
    for wrong in ["no url at all", &format!("{0} {0}", web.url("/whole")), &format!("more {}", web.url("/whole"))] {
        let refused = append(wrong);
        let sentence = attribute(&folder.join("import"), "user.glancefs.error").unwrap();
        assert!(refused.code != Some(0) && sentence.contains("this is no URL"), "{wrong}: {refused:?} {sentence}");
    }
    assert_eq!(shell(&folder, "cat status"), "queued\n");
    append(&web.url("/held")).succeeded();
    told(&folder, "processing");
    shell(&folder, "until grep -qx importing status; do sleep 0.5; done");
    assert_ne!(append(&web.url("/whole")).code, Some(0));
    let sentence = attribute(&folder.join("import"), "user.glancefs.error").unwrap();
    assert!(sentence.contains("the service imports it"), "{sentence}");
    web.release();
    becomes_active(&folder);
    drop(web);
    assert_holds(target, &folder, BYTES, "import");
    mount.end();
}

fn an_import_from_where_nobody_answers_leaves_an_image_whose_data_can_be_written(target: &Target) {
    target.if_embedded(|server| {
        let behaviour = Behaviour { web_download: WebAccess::Anywhere, ..server.behaviour() };
        server.set_behaviour(behaviour);
    });
    let mount = target.mount_with("demo", &["--ttl=1s"]);
    let folder = ready(target, &mount, "by-hand", "raw");
    for _ in 0..2 {
        fails(&folder, NOBODY);
    }
    shell(&folder, "printf 'by hand' > data.tmp && mv data.tmp data");
    assert_holds(target, &folder, b"by hand", "data");
    mount.end();
}

fn an_address_that_the_service_does_not_fetch_from_is_refused_in_its_write(target: &Target) {
    let mount = target.mount("demo");
    let folder = ready(target, &mount, "unfetched", "raw");
    for (url, words) in [
        ("http://user:hush@169.254.169.254/latest?x=hush", "operator"),
        ("ftp://user:hush@images.example/disk.raw", "operator"),
        ("no url at all", "this is no URL"),
    ] {
        let sentence = refused(&folder, ("import", url), libc::EINVAL);
        assert!(sentence.contains(words) && !sentence.contains("hush"), "{sentence}");
    }
    assert_eq!(shell(&folder, "cat import status"), "queued\n");
    mount.end();
}

fn what_was_fetched_in_another_format_says_what_can_be_done(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = ready(target, &mount, "spoilt", "qcow2");
    assert_eq!(written(&folder, "import", &web.url("/whole")), 0);
    let told = told(&folder, "failure");
    drop(web);
    assert!(told.contains("is no qcow2: then remove the image"), "{told}");
    assert_eq!(shell(&folder, "cat status"), "queued\n");
    shell(&folder, "rmdir \"$PWD\"");
    assert!(!folder.exists());
    mount.end();
}

/// An image whose bytes somebody staged with another program, and imported if `is_imported`.
fn staged(target: &Target, mount: &Mount, word: &str, is_imported: bool) -> PathBuf {
    let person = target.person("demo");
    let attributes = json!({"name": target.name(word), "disk_format": "qcow2", "container_format": "bare"});
    let id = target.image(&person, &attributes);
    target.wait(person.stage(&id, b"no qcow2")).is(204);
    if is_imported {
        target.wait(person.import(&id, &json!({"method": {"name": "glance-direct"}}))).is(202);
        target.wait(person.settled(&id));
    }
    mount.path("by-id").join(id)
}

fn an_image_that_stays_importing_for_ever_says_so_and_can_be_removed(target: &Target) {
    let mount = target.mount_with("demo", &["--ttl=1s"]);
    let folder = staged(target, &mount, "stranded", true);
    assert_eq!(shell(&folder, "cat status data"), "importing\n");
    let told = shell(&folder, "cat import");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "failure glance-direct"), "{told}");
    assert_eq!(lines[2], "The service leaves the image importing for ever: remove it, and make a new one.");
    let copied =
        "dd if=/dev/zero of=data bs=1 count=1 conv=notrunc 2>&1 || true; echo x > new && mv new data 2>&1 || true";
    assert_eq!(shell(&folder, copied).matches("resource busy").count(), 2);
    let checksum = "MD5 (data) = 5d41402abc4b2a76b9719d911017c592";
    for (file, line) in [("data", "other bytes"), ("import", NOBODY), ("checksums", checksum)] {
        let sentence = refused(&folder, (file, line), libc::EBUSY);
        assert!(sentence.contains("importing for ever: remove it, and make a new one"), "{file}: {sentence}");
    }
    let sentence = refused(&folder, ("status", "active"), libc::EBUSY);
    assert!(sentence.contains("importing"), "{sentence}");
    shell(&folder, "cat import > state && cat state > import && echo still > properties/editable");
    shell(&mount.path("by-id"), &format!("rmdir {}", folder.display()));
    assert!(!folder.exists());
    mount.end();
}

fn an_image_whose_data_somebody_has_staged_says_who_has_to_go_on(target: &Target) {
    let mount = target.mount("demo");
    let folder = staged(target, &mount, "staged", false);
    assert_eq!(shell(&folder, "cat status data import"), "uploading\n");
    for (file, line) in [("data", "other bytes"), ("import", NOBODY)] {
        let sentence = refused(&folder, (file, line), libc::EBUSY);
        assert!(sentence.contains("somebody has staged its data"), "{file}: {sentence}");
    }
    let document: Value = serde_json::from_str(&shell(&folder, "cat metadata.json")).unwrap();
    assert_eq!((&document["status"], &document["checksum"]), (&json!("uploading"), &Value::Null));
    shell(&mount.path("by-id"), &format!("rmdir {}", folder.display()));
    mount.end();
}

fn a_format_that_was_guessed_is_taken_back_when_nothing_comes_of_the_import(target: &Target) {
    let mount = target.mount_with("demo", &["--ttl=1s"]);
    let folder = made(target, &mount, "guessed");
    let formats = || {
        let image = shown(target, &folder);
        (image["disk_format"].clone(), image["container_format"].clone())
    };
    refused(&folder, ("import", "ftp://images.example/typo.iso"), libc::EINVAL);
    assert_eq!(formats(), (Value::Null, Value::Null), "it was refused");
    let web = target.web(BYTES);
    assert_eq!(written(&folder, "import", &web.url("/missing").replace("missing", "missing.iso")), 0);
    let failed = told(&folder, "failure");
    assert!(failed.contains("no iso"), "{failed}");
    assert_eq!(formats(), (Value::Null, Value::Null), "it has failed");
    assert_eq!(told(&folder, "failure"), failed, "and is told as before");
    assert_eq!(written(&folder, "import", &web.url("/missing").replace("missing", "missing.iso")), 0);
    let person = target.person("demo");
    target.wait(person.settled(&id_of(&folder)));
    drop(web);
    assert_eq!(formats(), (json!("iso"), json!("bare")), "nobody has looked");
    let other = target.file("other");
    shell(&folder, &format!("qemu-img create -q -f qcow2 {0} 1M; cp {0} data", other.display()));
    becomes_active(&folder);
    assert_eq!(formats(), (json!("qcow2"), json!("bare")));
    mount.end();
}

fn an_image_that_is_to_have_certain_checksums_is_not_imported_unseen(target: &Target) {
    let (mount, web) = (target.mount_with("demo", &["--ttl=1s"]), target.web(BYTES));
    let folder = ready(target, &mount, "expected", "raw");
    let id = id_of(&folder);
    shell(&folder, "echo 'MD5 (data) = 00000000000000000000000000000000' > checksums");
    let sentence = refused(&folder, ("import", &web.url("/whole")), libc::EBUSY);
    assert!(sentence.contains(&format!("'glancefs uploads discard {id}'")), "{sentence}");
    shell(&mount.root(), &format!("echo discard {id} > .glancefs/uploads"));
    assert_eq!(shell(&folder, "cat checksums"), "");
    assert_eq!(written(&folder, "import", &web.url("/whole")), 0);
    becomes_active(&folder);
    assert_holds(target, &folder, BYTES, "import");
    mount.end();
}
