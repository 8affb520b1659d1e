//! What is not in the service yet: `.glancefs/uploads` of a mount, and `glancefs uploads`.

use std::path::Path;

use glancefs::server::Behaviour;
use serde_json::{Value, json};

use crate::content::noise;
use crate::mounted::Mount;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool, tool_in};

crate::promises![Embedded:
    the_mounts_own_folder_is_in_no_listing_and_its_files_are_read_with_cat,
    what_a_shell_writes_to_uploads_is_done_when_echo_returns,
    uploads_are_seen_to_by_the_mount_that_has_them,
    uploads_of_two_mounts_of_a_service_are_listed_once_each_with_their_progress,
    waiting_ends_when_all_is_done_and_tells_what_is_not,
    waiting_for_what_nobody_goes_on_with_ends_at_once,
    a_mount_that_does_not_answer_keeps_nobody_waiting,
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
    let ran = tool_in(folder, "bash", &["-c", line]);
    (ran.code == Some(0), ran.err)
}

fn the_mounts_own_folder_is_in_no_listing_and_its_files_are_read_with_cat(target: &Target) {
    let mount = target.mount("demo");
    assert!(!shell(&mount.root(), "ls -a; find . -maxdepth 1").contains(".glancefs"));
    assert_eq!(shell(&mount.path(".glancefs"), "ls"), "errors\nmetrics\nstatus.json\nuploads\n");
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

/// `glancefs uploads` with what is kept in one folder.
struct Command(String);

impl Command {
    /// The command, and the option for mounts that keep their uploads there.
    fn of(target: &Target) -> Self {
        Self(format!("--state-dir={}", target.file("state").display()))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        tool(env!("CARGO_BIN_EXE_glancefs"), ["uploads", &self.0].iter().chain(arguments).copied())
    }

    fn list(&self) -> String {
        let ran = self.run(&[]);
        ran.succeeded();
        ran.out
    }

    fn json(&self) -> Vec<Value> {
        let ran = self.run(&["list", "--json"]);
        ran.succeeded();
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn rate(target: &Target, bytes: Option<u64>) {
    target.behave(|behaviour: &mut Behaviour| behaviour.upload_rate = bytes);
}

/// A new image, written through a mount that does not wait until it is sent.
fn begun(target: &Target, mount: &Mount, seed: u64) -> String {
    let id = target.image(&target.person("demo"), &json!({"disk_format": "raw", "container_format": "bare"}));
    let source = target.file_with("source", noise(seed, 3 << 20));
    printed("cp", [source, mount.data(&id)]);
    id
}

fn is_active(target: &Target, id: &str) -> bool {
    target.wait(target.person("demo").show(id))["status"] == "active"
}

fn uploads_are_seen_to_by_the_mount_that_has_them(target: &Target) {
    let command = Command::of(target);
    let mount = target.mount_with("demo", &[&command.0]);
    let (one, other) = (failed(target, &mount), failed(target, &mount));
    assert_eq!(command.list().lines().filter(|line| line.contains("  failed ")).count(), 2);
    assert!(command.list().contains("qcow2"), "the reason");

    command.run(&["discard", &one]).succeeded();
    assert_eq!(lines(&mount).len(), 1);
    command.run(&["discard", &one]).refused(1, &["there is no upload of image"]);
    let opened = std::fs::File::options().write(true).open(mount.data(&other)).unwrap();
    command.run(&["discard", &other]).refused(1, &["is being written by another program"]);
    drop(opened);

    let demo = target.person("demo");
    let change = demo.request("PATCH", &format!("/v2/images/{other}"));
    let change = change.header("content-type", "application/openstack-images-v2.1-json-patch");
    let raw = json!([{"op": "replace", "path": "/disk_format", "value": "raw"}]).to_string();
    target.wait(change.body(raw).send()).is(200);
    // Who opened and closed it has changed nothing: it was sent again, and has failed as before.
    shell(&mount.root(), "until grep -q failed .glancefs/uploads; do sleep 0.1; done");
    command.run(&["retry", &other]).succeeded();
    command.run(&["wait", &other]).succeeded();
    assert!(is_active(target, &other));
    mount.end();
}

fn uploads_of_two_mounts_of_a_service_are_listed_once_each_with_their_progress(target: &Target) {
    let command = Command::of(target);
    let mounts = [(); 2].map(|()| target.mount_with("demo", &["--write-back", &command.0]));
    rate(target, Some(1 << 20));
    let ids = [begun(target, &mounts[0], 22), begun(target, &mounts[1], 23)];
    let is_sent = |listed: &[Value]| {
        let progress =
            |line: &Value| line["state"] == "sending" && line["sent"].as_u64() > Some(0) && line["rate"].is_u64();
        listed.iter().all(progress)
    };
    let listed = loop {
        let listed = command.json();
        assert_eq!(listed.len(), 2, "each once: {listed:?}");
        if is_sent(&listed) {
            break listed;
        }
    };
    for (id, mount) in ids.iter().zip(&mounts) {
        let line = listed.iter().find(|line| line["image"] == id.as_str()).unwrap();
        assert_eq!(line["mount"], mount.root().to_str().unwrap());
        assert_eq!(
            (&line["size"], &line["attempts"], &line["needs_somebody"]),
            (&json!(3 << 20), &json!(1), &json!(false))
        );
    }
    assert!(command.list().contains("% "), "{}", command.list());
    rate(target, None);
    command.run(&["wait"]).succeeded();
    assert!(ids.iter().all(|id| is_active(target, id)));
    mounts.into_iter().for_each(Mount::end);
}

fn waiting_ends_when_all_is_done_and_tells_what_is_not(target: &Target) {
    let command = Command::of(target);
    let mount = target.mount_with("demo", &["--write-back", &command.0]);
    command.run(&["wait"]).succeeded();
    rate(target, Some(1 << 20));
    let slow = begun(target, &mount, 24);
    command.run(&["wait", "--timeout=300ms"]).refused(8, &[&slow, "the time is over"]);
    let failed = failed(target, &mount);
    command.run(&["wait", &failed]).refused(2, &[&failed, "qcow2"]);
    rate(target, None);
    command.run(&["wait", &slow]).succeeded();
    assert!(is_active(target, &slow));
    command.run(&["wait"]).refused(2, &[&failed, "qcow2"]);
    // What there is no upload of is not waited for.
    command.run(&["wait", "00000000-0000-4000-8000-000000000000"]).succeeded();
    mount.end();
}

fn waiting_for_what_nobody_goes_on_with_ends_at_once(target: &Target) {
    let command = Command::of(target);
    let mount = target.mount_with("demo", &["--write-back", &command.0]);
    // Not so slow that the service takes long to notice that nobody sends any more.
    rate(target, Some(1 << 20));
    let id = begun(target, &mount, 25);
    mount.kill(None);
    command.run(&["wait"]).refused(2, &[&id, "no mount is at it"]);
    assert!(command.list().contains("no mount is at it"), "{}", command.list());
    assert_eq!((&command.json()[0]["mount"], &command.json()[0]["needs_somebody"]), (&Value::Null, &json!(true)));
    rate(target, None);
    let mount = target.mount_with("demo", &[&command.0]);
    command.run(&["wait"]).succeeded();
    assert!(is_active(target, &id));
    mount.end();
}

fn a_mount_that_does_not_answer_keeps_nobody_waiting(target: &Target) {
    let command = Command::of(target);
    let mount = target.mount_with("demo", &["--write-back", &command.0]);
    rate(target, Some(1));
    let id = begun(target, &mount, 26);
    mount.stop();
    let listed = command.run(&[]);
    let refused = command.run(&["discard", &id]);
    let waited = command.run(&["wait", "--timeout=100ms"]);
    mount.signal(libc::SIGCONT);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.err.contains("does not answer") && listed.out.contains(&id), "{listed:?}");
    refused.refused(1, &["a program is at the upload", "cannot be asked"]);
    waited.refused(8, &[&id]);
    command.run(&["discard", &id]).succeeded();
    rate(target, None);
    mount.end();
}
