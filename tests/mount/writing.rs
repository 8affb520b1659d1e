//! On a read-only mount nothing can be changed, and every attempt is told so.

use std::fs;

use serde_json::json;

use crate::target::Target;
use crate::tools::{shell, tool};

crate::promises![Both:
    every_way_of_writing_is_refused_and_changes_nothing,
];

/// What people try in the folder of an image; `$N` is its name.
const ATTEMPTS: [&str; 24] = [
    "touch new",
    "touch data",
    "echo x > data",
    "echo x >> data",
    "echo x > new",
    "echo deactivated > status",
    "echo {} > metadata.json",
    "truncate -s 0 data",
    "dd if=/dev/zero of=data bs=1 count=1 conv=notrunc",
    "rm -f data",
    "rm -rf tags",
    "touch tags/new",
    "rm tags/cloud",
    "echo x > properties/new",
    "mkdir new",
    "mkdir ../new",
    "rmdir ../$N",
    "rm -rf ../$N",
    "mv data other",
    "mv ../$N ../other",
    "ln data other",
    "ln -s data other",
    "mkfifo pipe",
    "chmod 600 data",
];

fn every_way_of_writing_is_refused_and_changes_nothing(target: &Target) {
    let demo = target.person("demo");
    let name = target.name("fixed");
    let id = target.filled(&demo, &json!({"name": name, "tags": ["cloud"]}), b"stays");
    let before = target.wait(demo.show(&id));
    let mount = target.mount_with("demo", &["--read-only"]);
    let folder = mount.path("by-name").join(&name);
    let listing = shell(&folder, "find . -printf '%p %i %m %s %T@\n'");
    for attempt in ATTEMPTS {
        let line = format!("cd {} && export N={name} && {attempt}", folder.display());
        let ran = tool("sh", ["-c", &line]);
        assert_ne!(ran.code, Some(0), "{attempt} succeeded");
        assert!(ran.err.contains("Read-only file system"), "{attempt}: {}", ran.err);
    }
    for (attribute, file) in [("user.x", "data"), ("user.glance.name", "data"), ("user.x", ".")] {
        let ran = tool(
            "setfattr",
            ["-n".as_ref(), attribute.as_ref(), "-v".as_ref(), "y".as_ref(), folder.join(file).as_os_str()],
        );
        assert!(ran.err.contains("Read-only file system"), "{}", ran.err);
    }
    assert_eq!(shell(&folder, "find . -printf '%p %i %m %s %T@\n'"), listing);
    assert_eq!(fs::read(folder.join("data")).unwrap(), b"stays");
    assert_eq!(target.wait(demo.show(&id)), before);
}
