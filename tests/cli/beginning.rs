//! The beginning of a mount: who waits is told for whom, can end it, and learns from the status whether to try again.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use crate::mounts::{Service, data};
use crate::process::Watched;
use crate::support::{Place, mounts, processes_on};

/// A mount whose service accepts connections and says nothing, when it has said that it waits.
fn waiting(place: &Place, silent: &TcpListener) -> Child {
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut command = place.command();
    let mut child = command.args(["mount", &url]).arg(place.mount()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, format!("glancefs: waiting for the service {url}/, for 60 s at most\n"));
    child
}

#[test]
fn who_waits_for_a_silent_service_is_told_and_can_end_it_with_a_signal() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let place = Place::new();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = waiting(&place, &silent);
        assert_eq!(processes_on(&place.mount()).len(), 2);
        Watched::new(i32::try_from(child.id()).unwrap()).signal(signal);
        let mut rest = String::new();
        child.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest.as_str()), (Some(8), "glancefs: interrupted\n"));
        place.assert_nothing_is_left();
    }
}

#[test]
fn a_mount_that_has_not_begun_ends_with_the_command_that_is_killed() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = waiting(&place, &silent);
    let pids = processes_on(&place.mount());
    let parent = i32::try_from(child.id()).unwrap();
    let other = Watched::new(*pids.iter().find(|pid| **pid != parent).unwrap());
    Watched::new(parent).signal(libc::SIGKILL);
    child.wait().unwrap();
    // Sooner than it would give up by itself.
    other.ended_within(20_000);
    place.assert_nothing_is_left();
}

#[test]
fn a_login_that_is_refused_ends_with_1_because_the_next_try_will_be_too() {
    let place = Place::new();
    let keystone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = keystone.local_addr().unwrap();
    let clouds = format!(
        "clouds:\n  refusing:\n    auth: {{auth_url: 'http://{address}/v3', username: u, password: hush, \
         project_name: p, user_domain_id: default, project_domain_id: default}}\n"
    );
    fs::write(place.path("clouds.yaml"), clouds).unwrap();
    std::thread::spawn(move || {
        for mut asked in keystone.incoming().map(Result::unwrap) {
            let mut request = BufReader::new(&asked);
            let head: Vec<_> =
                request.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            // A connection that is closed before all was read is broken, and the answer lost.
            request.read_exact(&mut vec![0; length.map_or(0, |length| length.parse().unwrap())]).unwrap();
            let body = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request is refused."}}"#;
            let head = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-type: application/json\r\n";
            write!(asked, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    place.mount_of("refusing").refused(1, &["could not log in to cloud refusing", "The request is refused."]);
    place.assert_nothing_is_left();
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew_at_a_sighup_and_the_mount_goes_on() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let (log, moved) = (place.path("log"), place.path("log.1"));
    let mut command = place.command();
    // Its path is taken from where the command was given, as ever.
    command.args(["mount", "--debug", "--log-file", "log", &service.url]).arg(place.mount());
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    let daemon = Watched::daemon_of(&place);
    fs::rename(&log, &moved).unwrap();
    daemon.signal(libc::SIGHUP);
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains("the log was opened anew")) {
        std::thread::yield_now();
    }
    let length = fs::metadata(&moved).unwrap().len();
    assert!(length > 0);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), "what an image holds\n");
    assert!(fs::read_to_string(&log).unwrap().contains("asked the service"));
    assert_eq!(fs::metadata(&moved).unwrap().len(), length);
    daemon.signal(libc::SIGTERM);
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn in_the_foreground_sighup_ends_the_mount_unless_it_was_to_be_ignored() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for ignored in [false, true] {
        let shell = if ignored { "trap '' HUP; exec \"$@\"" } else { "exec \"$@\"" };
        let mut command = place.command_as("sh".as_ref());
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_glancefs"), "mount", "-f", &service.url]);
        let mut child = command.arg(place.mount()).env("GLANCEFS_LOG", "info").stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(log.by_ref().any(|line| line.contains("mounted")));
        std::thread::spawn(move || log.for_each(drop));
        let program = Watched::new(i32::try_from(child.id()).unwrap());
        let status = fs::read_to_string(format!("/proc/{}/status", program.pid)).unwrap();
        let masks = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        assert_eq!(u64::from_str_radix(masks, 16).unwrap() & 1 == 1, ignored, "{status}");
        program.signal(libc::SIGHUP);
        if ignored {
            assert_eq!(fs::read_to_string(data(&place)).unwrap(), "what an image holds\n");
            program.signal(libc::SIGTERM);
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    place.assert_nothing_is_left();
}

#[test]
fn who_mounts_is_told_that_a_dead_mount_was_cleared_away() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    place.mount_of(&service.url).succeeded();
    let killed = Watched::daemon_of(&place);
    killed.signal(libc::SIGKILL);
    killed.ended();
    let ran = place.mount_of(&service.url);
    let told = format!("glancefs: cleared away the dead mount at {}\n", place.mount().display());
    assert_eq!((ran.code, ran.err), (Some(0), told));
    assert_eq!(mounts().matches(place.mount().to_str().unwrap()).count(), 1);
    let daemon = Watched::daemon_of(&place);
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}
