//! A cloud whose catalogue names the Compute API and no Image service.

use glancefs::server::Settings;
use serde_json::json;

use crate::compute::{mounted, private};
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool_in};

crate::promises![Embedded:
    there_are_no_data_and_the_sentence_says_why,
    properties_are_changed_only_by_who_takes_a_change_of_the_visibility,
    df_shows_no_limit,
];

/// Leaves the Image service out of the catalogue. The images that were made stay.
fn unlisted(target: &Target) {
    let settings = target.stop();
    target.start(Settings { image_listed: false, ..settings });
}

fn there_are_no_data_and_the_sentence_says_why(target: &Target) {
    let (_, name) = private(target, "disk", &json!({}));
    unlisted(target);
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-name").join(&name);
    assert_eq!(shell(&folder, "ls -U"), "metadata.json\nstatus\nprogress\nproperties\n");
    assert_eq!(shell(&folder, "cat status properties/os_distro"), "ACTIVE\ndebian\n");
    let read = tool_in(&folder, "cat", &["data"]);
    assert!(read.err.contains("No such file"), "{read:?}");
    let explained = printed(env!("CARGO_BIN_EXE_glancefs"), ["explain".as_ref(), folder.join("data").as_os_str()]);
    assert!(explained.contains("this cloud has no Image service in its catalog"), "{explained}");
    shell(&mount.path("by-name"), &format!("rm -r {name}"));
    assert_eq!(shell(&mount.path("by-name"), "ls"), "");
    mount.end();
}

fn properties_are_changed_only_by_who_takes_a_change_of_the_visibility(target: &Target) {
    let (_, name) = private(target, "disk", &json!({}));
    unlisted(target);
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-name").join(&name);
    assert_eq!(shell(&folder, "stat -c %a properties/os_distro metadata.json"), "444\n444\n");
    for (line, path) in [
        ("echo x > properties/os_distro", "properties/os_distro"),
        ("echo x > properties/new", "properties"),
        ("rm -f properties/os_distro", "properties/os_distro"),
        ("echo '{}' > metadata.json", "metadata.json"),
    ] {
        let ran = tool_in(&folder, "sh", &["-euc", line]);
        assert!(ran.code != Some(0) && ran.err.contains("Operation not permitted"), "{line}: {ran:?}");
        let sentence = attribute(&folder.join(path), "user.glancefs.error").unwrap();
        assert!(sentence.contains("--allow-visibility-change"), "{line}: {sentence}");
    }
    mount.end();
    let mount = mounted(target, "demo", &["--allow-visibility-change"]);
    let folder = mount.path("by-name").join(&name);
    shell(&folder, "echo x > properties/os_distro; echo y > properties/new");
    assert_eq!(shell(&folder, "cat properties/new properties/os_distro"), "y\nx\n");
    shell(&folder, "jq 'del(.metadata.new)' metadata.json > new; mv new metadata.json");
    assert_eq!(shell(&folder, "ls properties"), "os_distro\n");
    mount.end();
}

fn df_shows_no_limit(target: &Target) {
    unlisted(target);
    let mount = mounted(target, "demo", &[]);
    let shown = printed("df", ["-BG".as_ref(), "--output=size".as_ref(), mount.root().as_os_str()]);
    assert_eq!(shown.lines().last().unwrap().trim(), format!("{}G", 1_u64 << 30));
    mount.end();
}
