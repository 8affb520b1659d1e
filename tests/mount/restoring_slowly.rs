//! Backups that are put back through slow lines, and where no close waits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::restoring::{backup, fresh, quiet, restored};
use crate::target::Target;
use crate::tools::shell;
use crate::uploading::shown;

crate::promises![Embedded:
    a_backup_of_a_queued_image_stays_queued_however_slow_the_service_is,
    a_backup_of_an_image_of_no_bytes_or_a_hole_is_whole_however_slow_the_service_is,
    with_write_back_a_backup_is_restored_as_without,
];

/// Long enough that a copy of so many tags takes longer than an empty file rests.
const LATENCY: Duration = Duration::from_millis(60);
const TAGS: usize = 30;

fn attributes(name: &str) -> Value {
    let tags: Vec<String> = (0..TAGS).map(|number| format!("t{number:02}")).collect();
    json!({"name": name, "disk_format": "raw", "container_format": "bare", "tags": tags, "p": "1"})
}

fn a_backup_of_a_queued_image_stays_queued_however_slow_the_service_is(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let old = target.image(&person, &attributes(&target.name("slow")));
    let copy = backup(target, &mount, &old);
    target.behave(|behaviour| behaviour.latency = LATENCY);
    for (number, line) in [
        "cp -a $B/data $B/tags $B/properties $B/metadata.json $B/status .",
        "cp -a $B/data $B/tags $B/status .",
        "tar -C $B -cf - data properties tags metadata.json status | tar -xf -",
        "rsync -a $B/ ./",
        "rsync -a --inplace $B/ ./",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fresh(target, &mount, &format!("slow-{number}"));
        restored(target, &folder, &copy, line);
        quiet(&mount, folder.file_name().unwrap().to_str().unwrap());
        let image = shown(target, &folder);
        assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null), "{line}");
        assert_eq!(image["tags"].as_array().unwrap().len(), TAGS, "{line}");
    }
    mount.end();
}

fn a_backup_of_an_image_of_no_bytes_or_a_hole_is_whole_however_slow_the_service_is(target: &Target) {
    let person = target.person("demo");
    let filled = |bytes: Vec<u8>| {
        let old = target.filled(&person, &attributes(&target.name(&format!("of-{}", bytes.len()))), &bytes);
        (old, bytes)
    };
    // Before the mount, which for a TTL would show what it saw of them while they were saved.
    let images = [vec![], vec![0; 1 << 20]].map(filled);
    let mount = target.mount("demo");
    for (old, bytes) in images {
        let copy = target.file(&format!("copy-{}", bytes.len()));
        shell(&mount.path("by-id"), &format!("cp -r --sparse=always {old} {}", copy.display()));
        target.behave(|behaviour| behaviour.latency = LATENCY);
        let folder = fresh(target, &mount, &format!("whole-{}", bytes.len()));
        let line = "cp -a --sparse=always $B/data $B/tags $B/properties $B/metadata.json $B/status .";
        let image = restored(target, &folder, &copy, line);
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(bytes.len())));
        assert_eq!((image["tags"].as_array().unwrap().len(), &image["p"]), (TAGS, &json!("1")));
        target.behave(|behaviour| behaviour.latency = Duration::ZERO);
    }
    mount.end();
}

fn with_write_back_a_backup_is_restored_as_without(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &["--write-back"]));
    let old = target.filled(&person, &attributes(&target.name("behind")), b"what was kept");
    let copy = backup(target, &mount, &old);
    // So that all the rest comes while the data are on their way.
    target.behave(|behaviour| behaviour.latency = LATENCY);
    for (number, (line, again)) in [
        ("rsync -a $B/ ./", "rsync -a $B/ ./"),
        ("cp -a $B/data $B/checksums $B/tags $B/properties $B/metadata.json $B/status .", "true"),
        ("tar -C $B -cf - data checksums tags properties metadata.json | tar -xf -", "true"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fresh(target, &mount, &format!("behind-{number}"));
        for line in [line, again] {
            restored(target, &folder, &copy, line);
            quiet(&mount, folder.file_name().unwrap().to_str().unwrap());
            let image = shown(target, &folder);
            assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(13)), "{line}");
            assert_eq!((image["tags"].as_array().unwrap().len(), &image["p"]), (TAGS, &json!("1")), "{line}");
        }
    }
    mount.end();
}
