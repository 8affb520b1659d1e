//! Images without a mount: `get`, `put` and `ls`.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::mounts::Service;
use crate::support::{Place, Ran};

/// Some MiB, and no two pieces of them the same.
pub(crate) fn bytes() -> Vec<u8> {
    (0..700_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

pub(crate) fn run(place: &Place, service: &Service, arguments: &[&str]) -> Ran {
    let (command, rest) = arguments.split_first().unwrap();
    place.run([&[*command, "--source", &service.url], rest].concat())
}

pub(crate) fn names(place: &Place, service: &Service) -> String {
    let listed = run(place, service, &["ls"]);
    listed.succeeded();
    listed.out
}

/// The files in the working folder of the commands, hidden ones too.
pub(crate) fn files(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn what_is_put_is_listed_and_comes_back_as_it_was() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk.raw"), bytes()).unwrap();
    let put = run(&place, &service, &["put", "disk.raw", "--property", "os_distro=debian", "--tag", "golden"]);
    put.succeeded();
    let id = put.out.trim();
    assert_eq!(names(&place, &service), "disk\n");
    let rows = run(&place, &service, &["ls", "-l", "query/tag=golden"]).out;
    assert!(rows.starts_with(id) && rows.contains("  active  ") && rows.contains("  2.6 MiB  "), "{rows}");
    let document: Value = serde_json::from_str(&run(&place, &service, &["ls", "--json"]).out).unwrap();
    assert_eq!((&document["id"], &document["os_distro"]), (&id.into(), &"debian".into()));

    for image in ["disk", id, "by-name/disk", "by-name/disk/data", "/files/disk.raw", "query/tag=golden/disk"] {
        run(&place, &service, &["get", image, "copy"]).succeeded();
        assert!(fs::read(place.path("copy")).unwrap() == bytes(), "{image}");
        fs::remove_file(place.path("copy")).unwrap();
    }
    assert_eq!(run(&place, &service, &["get", "disk/status"]).code, Some(1), "that is the name of an image");
    assert_eq!(run(&place, &service, &["get", "by-name/disk/status"]).out, "active\n");
    assert!(run(&place, &service, &["get", "by-name/disk/properties/os_distro", "-"]).out == "debian\n");
}

#[test]
fn what_comes_from_a_pipe_can_be_put_and_what_is_got_can_go_to_one() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let mut child = place.command();
    child.args(["put", "--source", &service.url, "-", "piped"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    run(&place, &service, &["put", "-"]).refused(1, &["give one"]);

    let got = place.command().args(["get", "--source", &service.url, "piped"]).output().unwrap();
    assert!(got.status.success() && got.stdout == bytes());
    // Who has enough closes the pipe, which is no failure to be told of.
    let mut child = place.command();
    let mut child = child
        .args(["get", "--source", &service.url, "piped"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(141), String::new()));
}

#[test]
fn bytes_that_are_not_the_images_own_leave_the_file_as_it_was() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    fs::write(place.path("kept"), "before").unwrap();
    let before = files(&place);
    service.behave(|behaviour| behaviour.corrupt = true);
    for file in ["kept", "new"] {
        run(&place, &service, &["get", "debian", file]).refused(2, &["by-name/debian", "are damaged"]);
    }
    assert_eq!(fs::read_to_string(place.path("kept")).unwrap(), "before");
    assert_eq!(files(&place), before);
    service.behave(|behaviour| behaviour.corrupt = false);
    run(&place, &service, &["get", "debian", "kept"]).succeeded();
    assert_eq!(fs::read_to_string(place.path("kept")).unwrap(), "what an image holds\n");
}

#[test]
fn a_put_that_fails_leaves_no_image_and_one_that_is_taken_changes_none() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), bytes()).unwrap();
    run(&place, &service, &["put", "disk", "--disk-format", "tape"]).refused(1, &["disk_format", "\"tape\""]);
    service.behave(|behaviour| behaviour.size_cap = 1000);
    run(&place, &service, &["put", "disk"]).refused(1, &["by-name/disk"]);
    assert_eq!(names(&place, &service), "");
    service.behave(|behaviour| behaviour.size_cap = u64::MAX);
    run(&place, &service, &["put", "disk"]).succeeded();
    run(&place, &service, &["put", "disk"]).refused(1, &["already an image called 'disk'"]);
    assert_eq!(names(&place, &service), "disk\n");
    // Mounts of other tests have uploads of their own.
    let left = place.run(["uploads", "--state-dir", "state/glancefs"]);
    assert_eq!((left.code, left.out.as_str()), (Some(0), ""), "nothing waits to be sent");
}

/// Runs a command on a terminal of this kind, and answers what that was sent.
fn on_a_terminal(place: &Place, term: &str, command: &str) -> String {
    in_a_terminal(place, term, &format!("{} {command}", env!("CARGO_BIN_EXE_glancefs")))
}

/// The same for a line of a shell.
fn in_a_terminal(place: &Place, term: &str, line: &str) -> String {
    let mut script = place.command_as("script".as_ref());
    script.args(["--quiet", "--return", "--command", line, "/dev/null"]).env("TERM", term);
    let ran = script.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn a_long_job_shows_a_bar_on_a_terminal_and_nothing_where_none_can_be_drawn() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), bytes()).unwrap();
    service.behave(|behaviour| (behaviour.rate, behaviour.upload_rate) = (Some(4 << 20), Some(4 << 20)));
    let url = &service.url;
    let put = on_a_terminal(&place, "xterm", &format!("put --source {url} disk"));
    assert!(put.contains("sending") && put.contains(" [") && put.contains("% of 2.67 MiB"), "{put:?}");
    assert!(!put.contains("\u{1b}[3") && !put.contains("\u{1b}[9"), "no colours: {put:?}");
    let get = |term| on_a_terminal(&place, term, &format!("get --source {url} disk copy"));
    let drawn = get("xterm");
    assert!(drawn.contains("by-name/disk") && drawn.contains("a second") | drawn.contains("/s"), "{drawn:?}");
    assert_eq!(get("dumb"), "");
    // On a narrow one there is no room for all of it.
    let program = env!("CARGO_BIN_EXE_glancefs");
    let narrow = in_a_terminal(
        &place,
        "xterm",
        &format!("stty rows 24 cols 20; {program} get --source {url} by-name/disk/../disk/data copy"),
    );
    let lines: Vec<&str> = narrow.split("\r\u{1b}[2K").collect();
    assert!(lines.len() > 1 && lines[0].contains('%'), "{narrow:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 20), "{narrow:?}");
    assert_eq!(run(&place, &service, &["get", "disk", "copy"]).err, "");
}

#[test]
fn a_put_of_a_pipe_shows_on_a_terminal_how_many_bytes_have_come() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), bytes()).unwrap();
    let line = |name| format!("cat disk | {} put --source {} - {name}", env!("CARGO_BIN_EXE_glancefs"), service.url);
    let shown = in_a_terminal(&place, "xterm", &line("one"));
    assert!(shown.contains("reading") && shown.contains("B/s"), "{shown:?}");
    assert!(!in_a_terminal(&place, "dumb", &line("two")).contains("reading"));
}

#[test]
fn what_is_not_there_is_named_and_a_service_that_is_away_ends_with_another_status() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for (arguments, words) in [
        (["get", "nowhere", "x"], "nowhere"),
        (["get", "by-name", "x"], "no data"),
        (["get", "debian", "home/none/x"], "home/none/x"),
        (["put", "nowhere", "x"], "nowhere"),
        (["ls", "query/size=large", "-l"], "size"),
    ] {
        run(&place, &service, &arguments).refused(1, &[words]);
    }
    place.run(["ls", "--source", "away"]).refused(2, &["127.0.0.1:1"]);
    assert_eq!(files(&place).iter().filter(|name| name.starts_with('.')).count(), 0);
}
