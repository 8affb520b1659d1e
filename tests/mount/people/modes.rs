//! What the modes of files say of who may change them, and whom the kernel refuses by them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use crate::mounted::Mount;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::tool;

crate::promises![Both:
    modes_say_who_may_change_an_image,
    an_administrator_who_is_not_root_changes_images_of_every_project,
];

/// Files of a queued image of `demo` that `alt` is a member of, and whether `alt` may write them. All others may.
const FILES: [(&str, bool); 9] = [
    ("", false),
    ("data", false),
    ("metadata.json", false),
    ("status", false),
    ("import", false),
    ("tags", false),
    ("properties/os_distro", false),
    ("members/other", false),
    ("members/$ALT", true),
];

fn modes_say_who_may_change_an_image(target: &Target) {
    let (owner, alt) = (target.person("demo"), target.person("alt").project);
    let attributes = json!({"name": target.name("modes"), "visibility": "shared", "os_distro": "debian"});
    let id = target.image(&owner, &attributes);
    for project in ["other", &alt] {
        target.wait(owner.post(&format!("/v2/images/{id}/members"), &json!({"member": project}))).is(200);
    }
    for who in ["demo", "admin", "alt"] {
        let mount = target.mount(who);
        for (file, may) in FILES {
            let path = mount.path("by-id").join(&id).join(file.replace("$ALT", &alt));
            let Ok(found) = path.metadata() else {
                // A member sees no other ones.
                assert!(who == "alt" && file == "members/other", "{who}: {file}");
                continue;
            };
            let bits = if found.is_dir() { 0o111 } else { 0 } | 0o444 | if who != "alt" || may { 0o200 } else { 0 };
            assert_eq!(found.mode() & 0o777, bits, "{who}: {file}");
        }
        mount.end();
    }
}

/// Somebody on this machine who is not root.
const NOBODY: &str = "65534";

/// A line of shell in a folder, by somebody whom the kernel asks for his rights.
fn as_nobody(folder: &Path, line: &str) -> Ran {
    let shell = ["sh", "-euc", line].map(AsRef::as_ref);
    let there = ["-C".as_ref(), folder.as_os_str()].into_iter();
    if !is_root() {
        return tool("env", there.chain(shell));
    }
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    let change = ["setpriv", &ids[0], &ids[1], "--clear-groups"].map(AsRef::as_ref);
    tool("env", there.chain(change).chain(shell))
}

fn is_root() -> bool {
    Path::new("/proc/self").metadata().unwrap().uid() == 0
}

/// A mount of `who` that belongs to somebody who is not root.
fn mounted_for_nobody(target: &Target, who: &str) -> Mount {
    let options = [format!("--uid={NOBODY}"), format!("--gid={NOBODY}"), "--allow-other".to_owned()];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    target.mount_with(who, if is_root() { &options } else { &[] })
}

fn an_administrator_who_is_not_root_changes_images_of_every_project(target: &Target) {
    let owner = target.person("demo");
    let id = target.image(&owner, &json!({"name": target.name("theirs"), "visibility": "community"}));
    let change = "echo debian > properties/os_distro && touch tags/new && echo bytes > data.tmp && mv data.tmp data";
    let mount = mounted_for_nobody(target, "alt");
    let refused = as_nobody(&mount.path("by-id").join(&id), change);
    assert!(refused.code != Some(0) && refused.err.contains("Permission denied"), "{refused:?}");
    mount.end();
    let mount = mounted_for_nobody(target, "admin");
    as_nobody(&mount.path("by-id").join(&id), change).succeeded();
    let image = target.wait(owner.show(&id));
    let shown = (&image["os_distro"], &image["tags"], &image["status"]);
    assert_eq!(shown, (&json!("debian"), &json!(["new"]), &json!("active")));
    mount.end();
}
