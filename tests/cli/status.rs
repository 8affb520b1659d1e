//! What a mount tells of itself: to people, to programs and to monitoring.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::Value;

use crate::mounts::{Service, data, mounted};
use crate::process::Watched;
use crate::support::{Place, Ran, mounts};

fn status(place: &Place, more: &[&str]) -> Ran {
    let arguments = [OsStr::new("status"), place.mount().as_os_str()].map(OsStr::to_owned);
    place.run(arguments.into_iter().chain(more.iter().map(Into::into)))
}

fn end(place: &Place, daemon: &Watched) {
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn what_is_open_and_what_failed_is_shown_with_the_requests_that_were_made() {
    let (place, _service, daemon) = mounted();
    let mut file = File::open(data(&place)).unwrap();
    file.read_exact(&mut [0; 3]).unwrap();
    assert!(fs::write(data(&place), "new").is_err());
    let shown = status(&place, &[]);
    shown.succeeded();
    for words in
        ["  images    1\n", "1 open file", "errors    EPERM 1", "    list ", "    data ", "100% of 20 B", " debian\n"]
    {
        assert!(shown.out.contains(words), "{words} in\n{}", shown.out);
    }
    drop(file);
    end(&place, &daemon);
}

#[test]
fn programs_are_given_one_json_object_a_mount() {
    let (place, service, daemon) = mounted();
    assert_eq!(fs::read(data(&place)).unwrap().len(), 20);
    let shown = status(&place, &["--json"]);
    shown.succeeded();
    let told: Value = serde_json::from_str(&shown.out).unwrap();
    let at = |pointer| told.pointer(pointer).unwrap_or(&Value::Null).clone();
    assert_eq!((at("/mount"), at("/source")), (place.mount().to_str().into(), service.url.as_str().into()));
    assert_eq!((at("/status/reading/delivered_bytes"), at("/status/catalogue/images")), (20.into(), 1.into()));
    assert_eq!((at("/status/version"), at("/uploads")), (env!("CARGO_PKG_VERSION").into(), Value::Array(vec![])));
    let in_mount = fs::read_to_string(place.mount().join(".glancefs/status.json")).unwrap();
    let in_mount: Value = serde_json::from_str(&in_mount).unwrap();
    assert_eq!(in_mount.pointer("/reading").unwrap(), &at("/status/reading"), "the same is in the mount");
    end(&place, &daemon);
}

#[test]
fn a_place_without_a_mount_and_a_mount_whose_program_has_died_are_told() {
    let (place, _service, daemon) = mounted();
    place.run(["status", "home"]).refused(1, &["home"]);
    place.run(["status", "--watch=often"]).refused(1, &["often"]);
    let mut watching = place.command();
    watching.args([OsStr::new("status"), OsStr::new("--watch"), place.mount().as_os_str()]);
    let watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    daemon.signal(libc::SIGKILL);
    daemon.ended();
    status(&place, &[]).refused(2, &["has died", "glancefs umount"]);
    Ran::of(watching.wait_with_output().unwrap()).refused(2, &["has died", "glancefs umount"]);
    let data = data(&place);
    place.run([OsStr::new("explain"), data.as_os_str()]).refused(2, &["has died", "glancefs umount"]);
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    status(&place, &[]).refused(1, &["mount"]);
    place.assert_nothing_is_left();
}

/// What `GET path` is answered.
fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// An address where nothing listens. Somebody else may take it meanwhile; then the mount says so.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn monitoring_is_answered_for_as_long_as_the_mount_lives_and_told_no_names() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let address = free_address();
    let option = format!("metrics_listen={address}");
    let arguments = ["mount", "-o", &option, &service.url].map(OsStr::new);
    place.run(arguments.into_iter().chain([place.mount().as_os_str()])).succeeded();
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read(data(&place)).unwrap().len(), 20);
    let answer = get(&address, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.contains("\nglancefs_delivered_bytes_total 20\n") && answer.ends_with("# EOF\n"), "{answer}");
    assert!(!answer.contains("debian"), "{answer}");
    let in_mount = fs::read_to_string(place.mount().join(".glancefs/metrics")).unwrap();
    let names =
        |text: &str| text.lines().filter(|line| line.starts_with("# TYPE")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&in_mount), names(&answer));
    assert!(get(&address, "/").starts_with("HTTP/1.1 404"));
    end(&place, &daemon);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn an_address_that_is_taken_is_refused_before_anything_is_mounted() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let option = format!("--metrics-listen={}", taken.local_addr().unwrap());
    let arguments = ["mount", &option, &service.url].map(OsStr::new);
    let refused = place.run(arguments.into_iter().chain([place.mount().as_os_str()]));
    refused.refused(1, &["--metrics-listen", "in use"]);
    assert!(!mounts().contains(place.mount().to_str().unwrap()));
    place.assert_nothing_is_left();
}
