//! A cloud whose catalogue names the Compute API and no Image service, or one whose Image service does not answer.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glancefs::server::Settings;
use serde_json::json;

use crate::compute::{mounted, private};
use crate::proxy::{Act, Proxy};
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool, tool_in};

crate::promises![Embedded:
    there_are_no_data_and_the_sentence_says_why,
    properties_are_changed_only_by_who_takes_a_change_of_the_visibility,
    df_shows_no_limit,
    an_image_service_that_is_down_at_the_mount_gives_the_data_when_it_is_back,
    doctor_tells_an_image_service_that_is_down_from_none,
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
    let written = tool_in(&folder, "sh", &["-c", "echo x > data"]);
    assert!(written.err.contains("Operation not permitted") || written.err.contains("ermission"), "{written:?}");
    let explained = printed(env!("CARGO_BIN_EXE_glancefs"), ["explain".as_ref(), folder.join("data").as_os_str()]);
    assert!(explained.contains("EPERM"), "and not of the look-up that came with the question: {explained}");
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
        (r#"echo '{"metadata": {"p": "1"}}' > new; mv new metadata.json"#, "metadata.json"),
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

/// A way to the Image service that can be closed.
fn gate(target: &Target) -> (Proxy, Arc<AtomicBool>) {
    let is_open = Arc::new(AtomicBool::new(false));
    let judge = {
        let is_open = Arc::clone(&is_open);
        Arc::new(move |_: &_, _| if is_open.load(Ordering::SeqCst) { Act::Pass } else { unavailable() })
    };
    (Proxy::start(target.runtime(), &target.server(glancefs::server::Server::url), judge), is_open)
}

fn unavailable() -> Act {
    Act::status("503 Service Unavailable", "")
}

fn an_image_service_that_is_down_at_the_mount_gives_the_data_when_it_is_back(target: &Target) {
    let (_, name) = private(target, "disk", &json!({}));
    let (gate, is_open) = gate(target);
    let mount = mounted(target, "demo", &["--os-image-endpoint-override", &gate.url()]);
    let folder = mount.path("by-name").join(&name);
    let listed = "data\nmetadata.json\nstatus\nprogress\nproperties\n";
    assert_eq!(shell(&folder, "ls -U; stat -c %s data"), format!("{listed}5\n"));
    let refused = fs::read(folder.join("data")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EIO));
    let sentence = attribute(&folder.join("data"), "user.glancefs.error").unwrap();
    assert!(sentence.contains("503") && !sentence.contains("no Image service"), "{sentence}");
    // Nobody knows the visibility either, which a change of a property may cost.
    let set = tool_in(&folder, "sh", &["-euc", "echo x > properties/os_distro"]);
    assert!(set.code != Some(0) && set.err.contains("I/O error"), "{set:?}");
    is_open.store(true, Ordering::SeqCst);
    assert_eq!(shell(&folder, "cat data"), "hello");
    assert_eq!(attribute(&folder.join("data"), "user.glancefs.verified").as_deref(), Some("yes"));
    shell(&folder, "echo x > properties/os_distro");
    mount.end();
}

fn doctor_tells_an_image_service_that_is_down_from_none(target: &Target) {
    private(target, "disk", &json!({}));
    let (gate, is_open) = gate(target);
    let clouds = target.clouds_with("demo", |cloud| cloud["image_endpoint_override"] = gate.url().into());
    let doctor = || {
        let program = format!(
            "OS_CLIENT_CONFIG_FILE={} exec {} doctor demo --service compute",
            clouds.display(),
            env!("CARGO_BIN_EXE_glancefs")
        );
        tool("sh", ["-c", &program])
    };
    let down = doctor();
    assert!(down.code != Some(0) && down.out.contains("503") && !down.out.contains("no Image service"), "{down:?}");
    is_open.store(true, Ordering::SeqCst);
    let up = doctor();
    assert!(up.code == Some(0) && up.out.contains("gives the data"), "{up:?}");
}
