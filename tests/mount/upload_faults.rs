//! Uploads over a line and to a service that fail: what passes costs a wait, and what does not pass reaches the writer.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::content::noise;
use crate::mounted::Mount;
use crate::proxy::{Act, Proxy, Request, Step};
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, printed, tool};
use crate::uploading::{assert_holds, id_of};

crate::promises![Both:
    whatever_a_line_does_to_an_upload_it_ends_active_and_equal,
    a_folder_is_made_once_however_often_its_request_is_lost,
];

pub(crate) mod refusals {
    use super::{
        a_format_that_is_contradicted_is_told, a_quota_is_told_and_nothing_is_sent, a_size_over_the_cap_is_told,
        one_who_may_only_look_is_told,
    };

    crate::promises![Embedded:
        a_quota_is_told_and_nothing_is_sent,
        a_size_over_the_cap_is_told,
        one_who_may_only_look_is_told,
        a_format_that_is_contradicted_is_told,
    ];
}

const LENGTH: usize = (1 << 20) + 321;

/// A request of an image, where it is then, and what becomes of it.
#[derive(Clone, Debug)]
struct Fault {
    method: &'static str,
    step: Step,
    act: Act,
}

/// What befalls each image once, by its id.
type Faults = Arc<Mutex<HashMap<String, Fault>>>;

/// Everything that is tried. A service that stands still is waited for for minutes, and met elsewhere.
fn all() -> Vec<Fault> {
    let soon = "Retry-After: 1\r\n";
    let answers = ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "429 Too Many Requests"];
    let fault = |method, step, act| Fault { method, step, act };
    let mut all = vec![
        fault("PUT", Step::Begun, Act::Cut),
        fault("PUT", Step::Sent(LENGTH as u64 / 2), Act::Cut),
        fault("PUT", Step::Answered, Act::Cut),
        fault("PUT", Step::Answered, Act::status("504 Gateway Time-out", "")),
        fault("PATCH", Step::Begun, Act::Cut),
        fault("PATCH", Step::Answered, Act::Cut),
        fault("GET", Step::Answered, Act::Cut),
    ];
    for method in ["PUT", "PATCH", "GET"] {
        all.extend(answers.map(|answer| fault(method, Step::Begun, Act::status(answer, soon))));
    }
    all
}

/// A proxy before the service, and a clouds.yaml in which `demo` goes through it.
pub(crate) fn proxied(
    target: &Target,
    judge: impl Fn(&Request, Step) -> Act + Send + Sync + 'static,
) -> (Proxy, PathBuf) {
    let glance = target.person("demo").glance;
    let origin = glance.trim_start_matches("http://");
    let (host, path) = origin.split_once('/').unwrap_or((origin, ""));
    let proxy = Proxy::start(target.runtime(), host, Arc::new(judge));
    let url = format!("{}/{path}", proxy.url());
    let clouds = target.clouds_with("demo", |cloud| cloud["image_endpoint_override"] = json!(url));
    (proxy, clouds)
}

fn made(target: &Target, mount: &Mount, word: &str) -> PathBuf {
    crate::uploading::made(target, mount, word)
}

fn whatever_a_line_does_to_an_upload_it_ends_active_and_equal(target: &Target) {
    let (bytes, faults) = (noise(31, LENGTH), Faults::default());
    let source = target.file_with("source", &bytes);
    let due = Arc::clone(&faults);
    let (_proxy, clouds) = proxied(target, move |request, step| {
        let mut due = due.lock().unwrap();
        let met = |(id, fault): (&String, &Fault)| {
            let is_there = match (fault.step, step) {
                (Step::Sent(wanted), Step::Sent(sent)) => sent >= wanted,
                (wanted, step) => wanted == step,
            };
            (is_there && request.method == fault.method && request.path.contains(id.as_str())).then(|| id.clone())
        };
        let id = due.iter().find_map(met);
        id.and_then(|id| due.remove(&id)).map_or(Act::Pass, |fault| fault.act)
    });
    let mount = Mount::of(&clouds, "demo", &[]);
    let all = all();
    let folders: Vec<_> = (0..all.len()).map(|number| made(target, &mount, &format!("faulty-{number}"))).collect();
    std::thread::scope(|scope| {
        let (source, faults) = (&source, &faults);
        for (folder, fault) in folders.iter().zip(&all) {
            scope.spawn(move || {
                faults.lock().unwrap().insert(id_of(folder), fault.clone());
                printed("cp", [source.as_path(), &folder.join("data")]);
            });
        }
    });
    for (folder, fault) in folders.iter().zip(&all) {
        assert_holds(target, folder, &bytes, &format!("{fault:?}"));
    }
    let unmet: Vec<_> = faults.lock().unwrap().values().cloned().collect();
    assert!(unmet.iter().all(|fault| fault.method == "GET"), "a fault was never met: {unmet:?}");
    mount.end();
}

fn a_folder_is_made_once_however_often_its_request_is_lost(target: &Target) {
    let acts = vec![
        (Step::Begun, Act::Cut),
        (Step::Answered, Act::Cut),
        (Step::Begun, Act::status("503 Service Unavailable", "Retry-After: 1\r\n")),
        (Step::Answered, Act::status("502 Bad Gateway", "")),
    ];
    let due = Arc::new(Mutex::new(None::<(Step, Act)>));
    let next = Arc::clone(&due);
    let (_proxy, clouds) = proxied(target, move |request, step| {
        let mut due = next.lock().unwrap();
        let is_met = request.method == "POST" && due.as_ref().is_some_and(|(wanted, _)| *wanted == step);
        if is_met { due.take().unwrap().1 } else { Act::Pass }
    });
    let mount = Mount::of(&clouds, "demo", &[]);
    for (number, (step, act)) in acts.into_iter().enumerate() {
        *due.lock().unwrap() = Some((step, act));
        let folder = made(target, &mount, &format!("lost-{number}"));
        assert!(due.lock().unwrap().is_none(), "{step:?} was not met");
        let name = folder.file_name().unwrap().to_str().unwrap();
        let found = target.wait(target.person("demo").list(&format!("name={name}")));
        assert_eq!(found.len(), 1, "{found:?}");
    }
    mount.end();
}

/// Copies `source` to `data`, and fails unless close says `words`, the sentence is with the file, and the upload is listed
/// with its cause.
#[track_caller]
fn is_refused(state: &Path, source: &Path, data: &Path, words: &str, cause: &str) {
    let ran: Ran = tool("cp", [source, data]);
    assert!(ran.code == Some(1) && ran.err.contains(words), "{ran:?}");
    let sentence = attribute(data, "user.glancefs.error").unwrap();
    assert!(sentence.contains(cause), "{sentence}");
    let listed = tool(env!("CARGO_BIN_EXE_glancefs"), ["uploads".as_ref(), "--state-dir".as_ref(), state.as_os_str()]);
    assert!(listed.out.contains(" failed ") && listed.out.contains(cause), "{listed:?}");
}

fn option(state: &Path) -> String {
    format!("--state-dir={}", state.display())
}

fn a_quota_is_told_and_nothing_is_sent(target: &Target) {
    // Its project may have 5 MiB.
    let clouds = target.clouds_with("demo", |cloud| {
        cloud["auth"]["username"] = json!("small");
        cloud["auth"]["project_name"] = json!("small");
    });
    let (source, state) = (target.file("source"), target.file("state"));
    fs::write(&source, noise(32, 40 << 20)).unwrap();
    let mount = Mount::of(&clouds, "demo", &[&option(&state)]);
    let folder = mount.path("by-name/too-much");
    printed("mkdir", [&folder]);
    let before = target.server(glancefs::server::Server::traffic);
    is_refused(&state, &source, &folder.join("data"), "Disk quota exceeded", "limit");
    let taken = target.server(glancefs::server::Server::traffic).body_bytes_received - before.body_bytes_received;
    assert_eq!(taken, 0, "the size goes ahead of the bytes, so that none has to be sent for nothing");
    mount.end();
}

fn a_size_over_the_cap_is_told(target: &Target) {
    target.behave(|behaviour| behaviour.size_cap = 1 << 20);
    let (source, state) = (target.file_with("source", noise(33, 3 << 20)), target.file("state"));
    let mount = target.mount_with("demo", &[&option(&state)]);
    let data = made(target, &mount, "too-large").join("data");
    is_refused(&state, &source, &data, "File too large", "too large");
    mount.end();
}

fn one_who_may_only_look_is_told(target: &Target) {
    let id = target.image(&target.person("demo"), &json!({}));
    let (source, state) = (target.file_with("source", noise(34, LENGTH)), target.file("state"));
    let mount = target.mount_with("reader", &[&option(&state)]);
    let data = mount.data(&id);
    // The mode of the file tells so too, to everybody but root.
    is_refused(&state, &source, &data, "Operation not permitted", "upload_image");
    mount.end();
}

fn a_format_that_is_contradicted_is_told(target: &Target) {
    let id = target.image(&target.person("demo"), &json!({"disk_format": "qcow2"}));
    let (source, state) = (target.file_with("source", noise(35, LENGTH)), target.file("state"));
    let mount = target.mount_with("demo", &[&option(&state)]);
    is_refused(&state, &source, &mount.data(&id), "Invalid argument", "qcow2");
    mount.end();
}
