//! `put`: when it returns, how it is ended, and what is left then.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::direct::{bytes, names, run};
use crate::mounts::Service;
use crate::process::Watched;
use crate::support::{Place, Ran};

fn status(place: &Place, service: &Service, image: &str) -> String {
    run(place, service, &["get", &format!("by-name/{image}/status")]).out
}

/// What waits in the state folder of this place.
fn uploads(place: &Place) -> Vec<Value> {
    let listed = place.run(["uploads", "--json", "--state-dir", "state/glancefs"]);
    listed.succeeded();
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn nothing_is_left(place: &Place, service: &Service) {
    assert_eq!((names(place, service), uploads(place)), (String::new(), Vec::new()));
}

fn watched(child: &Child) -> Watched {
    Watched::new(i32::try_from(child.id()).unwrap())
}

/// A put that reads from us.
fn put_of_input(mut command: Command, service: &Service, name: &str) -> (Child, ChildStdin) {
    command.args(["put", "--source", &service.url, "-", name]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

/// One that has made its image, and waits for more than these bytes.
fn half_a_put(place: &Place, service: &Service) -> (Child, ChildStdin) {
    let (child, mut input) = put_of_input(place.command(), service, "half");
    input.write_all(&bytes()).unwrap();
    while uploads(place).iter().all(|upload| upload["name"] != "half") || names(place, service) != "half\n" {
        std::thread::yield_now();
    }
    (child, input)
}

/// Waits until the program reads its input, which it does behind everything that a signal could come before.
fn reads(child: &Child) {
    let is_input =
        |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == "input\n");
    loop {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        if threads.filter_map(Result::ok).any(is_input) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_put_returns_when_the_image_is_active_also_where_the_file_holds_nothing_yet() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("empty"), "").unwrap();
    for format in ["qcow2", "vmdk", "vhdx"] {
        let mut made = Command::new("qemu-img");
        made.args(["create", "-q", "-f", format, format, "64M"]).current_dir(place.path(""));
        assert!(made.status().unwrap().success());
    }
    for (file, name, format) in [
        ("qcow2", "q", None),
        ("vmdk", "k", None),
        ("vhdx", "x", None),
        ("empty", "e", None),
        ("empty", "r", Some("raw")),
        ("/dev/null", "n", None),
        ("-", "i", None),
    ] {
        let format = format.map(|format| format!("--disk-format={format}"));
        let arguments: Vec<&str> = ["put", file, name].into_iter().chain(format.as_deref()).collect();
        run(&place, &service, &arguments).succeeded();
        assert_eq!(status(&place, &service, name), "active\n", "{file} {format:?}");
    }
    run(&place, &service, &["get", "q", "copy"]).succeeded();
    assert_eq!(fs::read(place.path("copy")).unwrap(), fs::read(place.path("qcow2")).unwrap());
    assert_eq!(uploads(&place), Vec::<Value>::new());
}

#[test]
fn a_put_of_nothing_as_a_format_that_nothing_is_not_fails_and_leaves_no_image() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("empty"), "").unwrap();
    run(&place, &service, &["put", "empty", "--disk-format", "qcow2"]).refused(1, &["by-name/empty", "'qcow2'"]);
    nothing_is_left(&place, &service);
}

#[test]
fn a_put_that_waits_for_its_input_is_ended_by_a_signal_and_has_made_nothing() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let (child, input) = put_of_input(place.command(), &service, "none");
        reads(&child);
        watched(&child).signal(signal);
        // Its input is as open as it was.
        let ended = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(ended.status.signal(), Some(signal), "as a shell has to see it");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "glancefs: interrupted\n");
        nothing_is_left(&place, &service);
    }
}

#[test]
fn a_put_that_is_interrupted_takes_its_image_and_its_upload_away() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let (child, input) = half_a_put(&place, &service);
    watched(&child).signal(libc::SIGTERM);
    let ended = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "glancefs: interrupted\n");
    nothing_is_left(&place, &service);

    service.behave(|behaviour| behaviour.upload_rate = Some(1 << 10));
    fs::write(place.path("disk"), bytes()).unwrap();
    let mut child = place.command();
    let child = child.args(["put", "--source", &service.url, "disk"]).stderr(Stdio::piped()).spawn().unwrap();
    while uploads(&place).iter().all(|upload| upload["state"] != "sending") {
        std::thread::yield_now();
    }
    watched(&child).signal(libc::SIGINT);
    assert_eq!(
        child.wait_with_output().unwrap().status.signal(),
        Some(libc::SIGINT),
        "while the bytes are on their way"
    );
    nothing_is_left(&place, &service);
}

#[test]
fn a_second_signal_ends_a_put_at_once_and_names_what_may_be_left_for_the_next_one() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let (child, input) = half_a_put(&place, &service);
    let id = uploads(&place)[0]["image"].as_str().unwrap().to_owned();
    service.behave(|behaviour| behaviour.latency = Duration::from_hours(1));
    let process = watched(&child);
    process.signal(libc::SIGTERM);
    process.signal(libc::SIGINT);
    let ended = child.wait_with_output().unwrap();
    drop(input);
    assert!(matches!(ended.status.signal(), Some(libc::SIGTERM | libc::SIGINT)), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("interrupted") && told.contains(&id) && told.contains("next put"), "{told}");

    service.behave(|behaviour| behaviour.latency = Duration::ZERO);
    fs::write(place.path("half"), bytes()).unwrap();
    run(&place, &service, &["put", "half"]).succeeded();
    assert_eq!((names(&place, &service), uploads(&place)), ("half\n".to_owned(), Vec::new()));
}

#[test]
fn a_put_begins_anew_what_one_left_that_was_killed() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), bytes()).unwrap();
    let (mut child, input) = half_a_put(&place, &service);
    watched(&child).signal(libc::SIGKILL);
    child.wait().unwrap();
    drop(input);
    run(&place, &service, &["put", "disk", "half"]).succeeded();
    assert_eq!(
        (names(&place, &service), status(&place, &service, "half")),
        ("half\n".to_owned(), "active\n".to_owned())
    );
    assert_eq!(uploads(&place), Vec::<Value>::new());

    // While the bytes were on their way, too; there are more of them than a connection holds by itself.
    fs::File::create(place.path("disk")).unwrap().set_len(64 << 20).unwrap();
    service.behave(|behaviour| behaviour.upload_rate = Some(1 << 10));
    let mut child = place.command();
    let mut child = child.args(["put", "--source", &service.url, "disk"]).spawn().unwrap();
    while uploads(&place).iter().all(|upload| upload["state"] != "sending") {
        std::thread::yield_now();
    }
    watched(&child).signal(libc::SIGKILL);
    child.wait().unwrap();
    service.behave(|behaviour| behaviour.upload_rate = None);
    run(&place, &service, &["put", "disk"]).succeeded();
    assert_eq!((names(&place, &service), uploads(&place)), ("disk\nhalf\n".to_owned(), Vec::new()));
}

#[test]
fn a_put_leaves_alone_what_another_one_is_at_or_somebody_else_has_made() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("half"), bytes()).unwrap();
    let (child, input) = half_a_put(&place, &service);
    let id = uploads(&place)[0]["image"].as_str().unwrap().to_owned();
    run(&place, &service, &["put", "half"]).refused(1, &["already an image called 'half'", &id, "uploads discard"]);
    drop(input);
    Ran::of(child.wait_with_output().unwrap()).succeeded();
    run(&place, &service, &["put", "half"]).refused(1, &["already an image called 'half'\n"]);
    assert_eq!(status(&place, &service, "half"), "active\n");

    service.make("theirs");
    run(&place, &service, &["put", "half", "theirs"]).refused(1, &["already an image called 'theirs'\n"]);
    assert_eq!(status(&place, &service, "theirs"), "queued\n");
}

#[test]
fn a_signal_that_was_ignored_when_it_began_ends_no_put() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let mut command = place.command();
    let ignore = || {
        // SAFETY: the call is safe in a child between fork and exec.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: as above; nothing else is called.
    unsafe { command.pre_exec(ignore) };
    let (child, mut input) = put_of_input(command, &service, "kept");
    reads(&child);
    watched(&child).signal(libc::SIGHUP);
    input.write_all(&bytes()).unwrap();
    drop(input);
    Ran::of(child.wait_with_output().unwrap()).succeeded();
    assert_eq!(names(&place, &service), "kept\n");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_image() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let file = fs::File::create(place.path("disk")).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut child = place.command();
    child.args(["put", "--source", &service.url, "disk"]).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // From before its beginning to its end.
    while child.try_wait().unwrap().is_none() {
        file.write_all_at(b"x", 0).unwrap();
    }
    Ran::of(child.wait_with_output().unwrap()).refused(2, &["disk changed while it was read"]);
    nothing_is_left(&place, &service);
}

#[test]
fn what_is_said_of_an_image_is_in_it_and_what_would_be_passed_over_is_refused() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), "bytes").unwrap();
    for (arguments, words) in [
        (&["--property", "id=5"][..], &["'id'", "attribute"][..]),
        (&["--property", "name=other"], &["'name'", "attribute"]),
        (&["--property", "min_disk=1"], &["'min_disk'", "attribute"]),
        (&["--property", "locations=x"], &["'locations'"]),
        (&["--property", "os_glance_x=1"], &["'os_glance_x'", "service alone"]),
        (&["--property", "a=1", "--property", "a=2"], &["'a' is given twice"]),
        (&["--min-disk", "much"], &["'much'"]),
    ] {
        run(&place, &service, &[&["put", "disk"], arguments].concat()).refused(1, words);
    }
    nothing_is_left(&place, &service);
    let said = ["--min-disk", "3", "--min-ram", "512", "--protected", "--property", "a=1=2", "--visibility", "private"];
    run(&place, &service, &[&["put", "disk"], &said[..]].concat()).succeeded();
    let shown: Value =
        serde_json::from_str(&run(&place, &service, &["get", "by-name/disk/metadata.json"]).out).unwrap();
    let of = |key: &str| shown[key].clone();
    assert_eq!((of("min_disk"), of("min_ram"), of("protected")), (3.into(), 512.into(), true.into()));
    assert_eq!((of("a"), of("visibility"), of("status")), ("1=2".into(), "private".into(), "active".into()));
    // What keeps an image from being removed is not in the way of a put that fails.
    service.behave(|behaviour| behaviour.size_cap = 2);
    run(&place, &service, &["put", "disk", "large", "--protected"]).refused(1, &["by-name/large"]);
    assert_eq!(names(&place, &service), "disk\n");
}

#[test]
fn a_file_whose_name_is_no_text_needs_one_that_is() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let file = std::ffi::OsStr::from_bytes(b"bad\xff");
    fs::write(place.path("").join(file), "bytes").unwrap();
    let put = |name: Option<&str>| {
        let mut command = place.command();
        command.args(["put", "--source", &service.url]).arg(file).args(name);
        Ran::of(command.output().unwrap())
    };
    put(None).refused(1, &["give a name"]);
    put(Some("good")).succeeded();
    assert_eq!(names(&place, &service), "good\n");
}
