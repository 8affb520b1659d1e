//! What is not in the service yet: `.glancefs/uploads` of a mount, and `glancefs uploads`.

use std::path::Path;

use serde_json::{Value, json};

use crate::content::noise;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool};

crate::promises![Both:
    the_mounts_own_folder_is_in_no_listing_and_its_files_are_read_with_cat,
    what_a_shell_writes_to_uploads_is_done_when_echo_returns,
];

/// The uploads that the mount shows.
fn lines(mount: &Mount) -> Vec<Value> {
    let text = printed("cat", [mount.path(".glancefs/uploads")]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An image whose upload fails when it is closed, because its bytes are in another format.
fn failed(target: &Target, mount: &Mount) -> String {
    let id = target.image(&target.person("demo"), &json!({"disk_format": "qcow2", "container_format": "bare"}));
    let source = target.file_with("source", noise(21, 100_000));
    assert!(tool("cp", [source, mount.data(&id)]).err.contains("Invalid argument"));
    id
}

/// Runs a line of shell, and tells whether it succeeded and what it said. Some shells tell only of an I/O error.
fn tried(folder: &Path, line: &str) -> (bool, String) {
    let ran = tool("env", ["-C", folder.to_str().unwrap(), "bash", "-c", line]);
    (ran.code == Some(0), ran.err)
}

fn the_mounts_own_folder_is_in_no_listing_and_its_files_are_read_with_cat(target: &Target) {
    let mount = target.mount("demo");
    assert!(!shell(&mount.root(), "ls -a; find . -maxdepth 1").contains(".glancefs"));
    assert_eq!(shell(&mount.path(".glancefs"), "ls"), "uploads\n");
    assert_eq!(lines(&mount), Vec::<Value>::new());
    let id = failed(target, &mount);
    let shown = lines(&mount);
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (&shown[0]["image"], &shown[0]["state"], &shown[0]["size"]),
        (&json!(id), &json!("failed"), &json!(100_000))
    );
    assert!(shown[0]["sentence"].as_str().unwrap().contains("qcow2"), "{shown:?}");
    // What pages and copies by the size sees it all.
    let whole = shell(&mount.path(".glancefs"), "cat uploads");
    assert_eq!(shell(&mount.path(".glancefs"), "tail -n1 uploads; dd if=uploads bs=1M status=none"), whole.repeat(2));
    mount.end();
}

fn what_a_shell_writes_to_uploads_is_done_when_echo_returns(target: &Target) {
    let mount = target.mount("demo");
    let (folder, uploads) = (mount.path(".glancefs"), mount.path(".glancefs/uploads"));
    let id = failed(target, &mount);
    for (line, words) in [
        (format!("echo discard {} > uploads", "00000000-0000-4000-8000-000000000000"), "No such file or directory"),
        ("echo discard > uploads".to_owned(), "Invalid argument"),
        (format!("exec 3<> by-id/{id}/data; echo discard {id} > .glancefs/uploads"), "Device or resource busy"),
    ] {
        let folder = if line.contains("by-id") { mount.root() } else { folder.clone() };
        let (succeeded, said) = tried(&folder, &line);
        assert!(!succeeded && said.contains(words), "{line}: {said}");
        assert!(attribute(&uploads, "user.glancefs.error").is_some(), "{line}");
    }
    // The third of them is closed now, unsealed and unchanged.
    assert_eq!(lines(&mount).len(), 1);
    shell(&folder, &format!("echo discard {id} >> uploads"));
    assert_eq!(lines(&mount), Vec::<Value>::new());
    assert!(tried(&folder, "rm uploads").1.contains("Operation not permitted"));
    mount.end();
}
