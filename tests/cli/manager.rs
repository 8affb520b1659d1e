//! Mounts under a service manager: what it is told, and what reaches its journal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::mounts::Service;
use crate::support::Place;

/// Longer than anything here takes; what lasts this long hangs.
const LIMIT: Duration = Duration::from_mins(1);

/// The manager's end of a socket.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    /// The next thing that it is told.
    fn next(&self) -> String {
        let mut bytes = [0; 8192];
        let count = self.0.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned()
    }
}

/// `glancefs mount` in the foreground, as a unit runs it.
fn unit(place: &Place, service: &Service) -> Command {
    let mut command = place.command();
    command.args(["mount", "--foreground", &service.url]).arg(place.mount());
    command.env("NOTIFY_SOCKET", place.path("notify"));
    command
}

fn end(mut child: Child) {
    // SAFETY: the child is ours and was not waited for, so that the number is still its own.
    assert_eq!(unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM) }, 0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_manager_is_told_that_the_mount_answers_that_it_is_alive_and_that_it_ends() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let manager = Manager::at(&place.path("notify"));
    let child = unit(&place, &service).env("WATCHDOG_USEC", "20000").spawn().unwrap();
    let ready = manager.next();
    assert!(ready.starts_with("READY=1\n") && ready.contains(place.mount().to_str().unwrap()), "{ready}");
    assert!(fs::metadata(place.mount().join("by-name/debian/data")).is_ok());
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    end(child);
    let mut last = manager.next();
    while last == "WATCHDOG=1\n" {
        last = manager.next();
    }
    assert!(last.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=130000000\nSTATUS="), "{last}");
    place.assert_nothing_is_left();
}

#[test]
fn a_manager_that_went_away_keeps_no_mount_from_its_work() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let manager = Manager::at(&place.path("notify"));
    let child = unit(&place, &service).env("WATCHDOG_USEC", "1000").spawn().unwrap();
    assert!(manager.next().starts_with("READY=1\n"));
    drop(manager);
    fs::remove_file(place.path("notify")).unwrap();
    assert_eq!(fs::read_to_string(place.mount().join("by-name/debian/status")).unwrap(), "active\n");
    end(child);
    place.assert_nothing_is_left();
}

/// Gives the program a `/run` of its own, in which the journal listens where it does.
const WITH_A_JOURNAL: &str = r#"
mount -t tmpfs none /run && mkdir -p /run/systemd/journal && touch /run/systemd/journal/socket &&
mount --bind "$JOURNAL" /run/systemd/journal/socket && exec "$@"
"#;

#[test]
fn in_the_journal_each_value_of_a_line_is_a_field() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let journal = Manager::at(&place.path("journal"));
    let stream = File::create(place.path("stderr")).unwrap();
    let about = stream.metadata().unwrap();
    let mut command = place.command_as(Path::new("unshare"));
    command.args(["--map-root-user", "--mount", "sh", "-c", WITH_A_JOURNAL, "sh", env!("CARGO_BIN_EXE_glancefs")]);
    command.args(["mount", "--foreground", &service.url]).arg(place.mount());
    command.env("JOURNAL", place.path("journal"));
    command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    let child = command.stderr(Stdio::from(stream)).spawn().unwrap();
    let mut line = journal.next();
    while !line.contains("MESSAGE=mounted") {
        line = journal.next();
    }
    let (url, point) = (&service.url, place.mount());
    let message = format!("MESSAGE=mounted source={url} point={}", point.display());
    let fields = [message, format!("GLANCEFS_POINT={}", point.display()), "PRIORITY=6".to_owned()];
    for field in &fields {
        assert!(line.lines().any(|line| line == field), "{field} in\n{line}");
    }
    end(child);
    assert_eq!(fs::read_to_string(place.path("stderr")).unwrap(), "");
    place.assert_nothing_is_left();
}
