//! Mounts from beginning to end: how they begin, every way in which they end, and what is left then.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use glancefs::server::{Behaviour, Server, Settings};
use tokio::runtime::Runtime;

use crate::process::Watched;
use crate::support::{Place, Ran, mounts};

const CONTENT: &str = "what an image holds\n";

/// An Image service with one image, `debian`, in the test's own process.
pub(crate) struct Service {
    runtime: Runtime,
    server: Option<Server>,
    pub(crate) url: String,
}

impl Service {
    fn on(folder: PathBuf) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Server::start(Settings::new(folder))).unwrap();
        let url = server.url();
        Self { runtime, server: Some(server), url }
    }

    /// One without images.
    pub(crate) fn empty(folder: PathBuf) -> Self {
        Self::on(folder)
    }

    /// Changes how it behaves.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        let server = self.server.as_ref().unwrap();
        let mut behaviour = server.behaviour();
        change(&mut behaviour);
        server.set_behaviour(behaviour);
    }

    pub(crate) fn with_image(folder: PathBuf) -> Self {
        let service = Self::on(folder);
        service.runtime.block_on(upload(&service.url, "debian"));
        service
    }

    /// Makes an image that waits for its data.
    pub(crate) fn make(&self, name: &str) {
        self.runtime.block_on(create(&self.url, name));
    }

    fn stop(mut self) {
        self.runtime.block_on(self.server.take().unwrap().stop());
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn create(url: &str, name: &str) -> String {
    let document = format!(r#"{{"name": "{name}", "disk_format": "raw", "container_format": "bare"}}"#);
    let create = client().post(format!("{url}/v2/images")).header("content-type", "application/json").body(document);
    let created = create.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    created.get("id").unwrap().as_str().unwrap().to_owned()
}

async fn upload(url: &str, name: &str) {
    let id = create(url, name).await;
    let send = client().put(format!("{url}/v2/images/{id}/file")).header("content-type", "application/octet-stream");
    send.body(CONTENT).send().await.unwrap().error_for_status().unwrap();
}

/// A service, and a mount of it in the background.
pub(crate) fn mounted() -> (Place, Service, Watched) {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    place.mount_of(&service.url).succeeded();
    let daemon = Watched::daemon_of(&place);
    (place, service, daemon)
}

pub(crate) fn data(place: &Place) -> PathBuf {
    place.mount().join("by-name/debian/data")
}

fn is_mounted(place: &Place) -> bool {
    mounts().contains(place.mount().to_str().unwrap())
}

fn tool(name: &str, arguments: &[&OsStr]) -> Ran {
    Ran::of(Command::new(name).args(arguments).output().unwrap())
}

#[test]
fn mount_returns_when_the_mount_answers_and_goes_on_in_the_background() {
    let (place, service, daemon) = mounted();
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    let line = mounts().lines().find(|line| line.contains(place.mount().to_str().unwrap())).unwrap().to_owned();
    assert!(line.starts_with(&service.url) && line.contains(" fuse.glancefs rw,nosuid,nodev"), "{line}");

    let folder = fs::read_link(format!("/proc/{}/cwd", daemon.pid)).unwrap();
    assert_eq!(folder, Path::new("/"));
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{}/fd/{stream}", daemon.pid)).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    tool("umount", &[place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn umount_fusermount3_and_glancefs_umount_all_end_the_program() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let mount = place.mount();
    let ends: [&dyn Fn() -> Ran; 3] = [
        &|| tool("umount", &[mount.as_os_str()]),
        &|| tool("fusermount3", &[OsStr::new("-u"), mount.as_os_str()]),
        &|| place.run([OsStr::new("umount"), mount.as_os_str()]),
    ];
    for end in ends {
        place.mount_of(&service.url).succeeded();
        let daemon = Watched::daemon_of(&place);
        assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
        end().succeeded();
        daemon.ended();
        place.assert_nothing_is_left();
    }
}

#[test]
fn sigterm_and_sigint_unmount() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for signal in [libc::SIGTERM, libc::SIGINT] {
        place.mount_of(&service.url).succeeded();
        let daemon = Watched::daemon_of(&place);
        daemon.signal(signal);
        daemon.ended();
        place.assert_nothing_is_left();
    }
}

#[test]
fn a_signal_while_a_file_is_open_unmounts_and_a_second_one_ends_the_program() {
    let (place, _service, daemon) = mounted();
    let mut file = File::open(data(&place)).unwrap();
    daemon.signal(libc::SIGTERM);
    while is_mounted(&place) {
        std::thread::yield_now();
    }
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, CONTENT);
    daemon.signal(libc::SIGTERM);
    daemon.ended();
    drop(file);
    place.assert_nothing_is_left();
}

#[test]
fn a_busy_mount_says_so_and_a_lazy_umount_lets_readers_finish() {
    let (place, _service, daemon) = mounted();
    let mut file = File::open(data(&place)).unwrap();
    let mount = place.mount();
    place.run([OsStr::new("umount"), mount.as_os_str()]).refused(32, &["is busy"]);
    place.run([OsStr::new("umount"), OsStr::new("--lazy"), mount.as_os_str()]).succeeded();
    assert!(!is_mounted(&place));
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, CONTENT);
    drop(file);
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn the_mount_of_a_killed_program_is_cleared_away_by_the_next_one() {
    let (place, service, daemon) = mounted();
    daemon.signal(libc::SIGKILL);
    daemon.ended();
    let error = fs::read_dir(place.mount()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
    let found = place.run(["doctor", "--offline"]);
    assert!(found.out.contains("has died"), "{}", found.out);

    assert_eq!(place.mount_of(&service.url).code, Some(0));
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    let daemon = Watched::daemon_of(&place);
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn the_mount_of_a_program_that_stands_still_can_be_unmounted() {
    // The last one is what umount(8) with -f has its helper do.
    for more in [&[][..], &["--no-wait"], &["--lazy"], &["--system=-f", "--system=-i"]] {
        let (place, _service, daemon) = mounted();
        daemon.signal(libc::SIGSTOP);
        let point = place.mount();
        let arguments = more.iter().map(OsStr::new).chain([point.as_os_str()]);
        place.run([OsStr::new("umount")].into_iter().chain(arguments)).succeeded();
        assert!(!is_mounted(&place), "{more:?}");
        daemon.signal(libc::SIGCONT);
        daemon.ended();
        place.assert_nothing_is_left();
    }
}

#[test]
fn umount_clears_the_mount_of_a_killed_program() {
    let (place, _service, daemon) = mounted();
    daemon.signal(libc::SIGKILL);
    daemon.ended();
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    place.assert_nothing_is_left();
}

#[test]
fn a_second_mount_at_the_same_place_is_refused_and_the_first_one_stays() {
    let (place, service, daemon) = mounted();
    place.mount_of(&service.url).refused(32, &["is busy", "fuse.glancefs"]);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    daemon.signal(libc::SIGTERM);
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn in_the_foreground_it_stays_until_it_is_unmounted() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let mut command = place.command();
    command.args(["mount", "-f", "-o", "debug", &service.url]).arg(place.mount());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first request comes from the program itself, once the mount answers.
    assert!(log.by_ref().map(Result::unwrap).any(|line| line.contains("mounted")), "it never says that it is mounted");
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    tool("umount", &[place.mount().as_os_str()]).succeeded();
    let coloured = log.map(Result::unwrap).find(|line| line.contains('\u{1b}'));
    assert_eq!(coloured, None, "what goes to no terminal has no colours");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.assert_nothing_is_left();
}

/// A mount in the foreground that keeps what is read, once it answers.
fn keeping(place: &Place, service: &Service) -> (Child, Watched) {
    let mut command = place.command();
    command.args(["mount", "-f", "-o", "debug", "--cache-dir"]).arg(place.path("kept"));
    let mut child = command.arg(&service.url).arg(place.mount()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.by_ref().any(|line| line.contains("mounted")), "it never says that it is mounted");
    // Somebody has to read on, or the program would wait for it.
    std::thread::spawn(move || log.for_each(drop));
    let watched = Watched::new(i32::try_from(child.id()).unwrap());
    (child, watched)
}

#[test]
fn the_mount_of_another_user_is_not_denied_to_be_there() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (place, _service, daemon) = mounted();
    tool("chmod", &[OsStr::new("711"), place.path("").as_os_str()]).succeeded();
    // Where nobody else reaches it is built, root alone can run the program.
    let program = place.path("glancefs");
    fs::copy(env!("CARGO_BIN_EXE_glancefs"), &program).unwrap();
    let mut command = place.command_as("setpriv".as_ref());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).arg("umount").arg(place.mount());
    let ran = Ran::of(command.output().unwrap());
    assert!(ran.code == Some(1) && !ran.err.contains("nothing is mounted"), "{}", ran.err);
    assert!(ran.err.contains("another user has mounted it"), "{}", ran.err);
    tool("umount", &[place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn a_mount_that_lingers_after_its_end_is_not_in_the_way_of_the_next_one() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let (mut first, watched) = keeping(&place, &service);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    // Wherever it is now in keeping what was read, it stays there.
    watched.signal(libc::SIGSTOP);
    place.run(["umount".as_ref(), "--lazy".as_ref(), place.mount().as_os_str()]).succeeded();
    assert!(!is_mounted(&place));
    for _ in 0..2 {
        let (mut next, other) = keeping(&place, &service);
        assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
        tool("umount", &[place.mount().as_os_str()]).succeeded();
        other.ended();
        assert_eq!(next.wait().unwrap().code(), Some(0));
    }
    watched.signal(libc::SIGCONT);
    watched.ended();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let (mut last, watched) = keeping(&place, &service);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    watched.signal(libc::SIGTERM);
    assert_eq!(last.wait().unwrap().code(), Some(0));
    place.assert_nothing_is_left();
}

#[test]
fn a_folder_of_images_is_mounted_without_a_service() {
    let place = Place::new();
    Service::with_image(place.path("images")).stop();
    place.mount_of("local:images").succeeded();
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    daemon.signal(libc::SIGTERM);
    daemon.ended();
    place.assert_nothing_is_left();
    // The folder is free again.
    Service::on(place.path("images")).stop();
}

#[test]
fn a_machine_without_certificates_mounts_what_needs_none() {
    let place = Place::new();
    Service::with_image(place.path("images")).stop();
    let mut command = place.command();
    command.args(["mount", "local:images"]).arg(place.mount()).env("SSL_CERT_FILE", "/dev/null");
    Ran::of(command.output().unwrap()).succeeded();
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    daemon.signal(libc::SIGTERM);
    daemon.ended();
}

#[test]
fn a_folder_that_a_service_uses_already_is_refused() {
    let place = Place::new();
    let _service = Service::on(place.path("images"));
    place.mount_of("local:images").refused(32, &["another Image service is running on"]);
    place.assert_nothing_is_left();
}

#[test]
fn the_forms_of_mount_8_and_mount_fuse3_mount() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let helper = place.path("mount.fuse.glancefs");
    symlink(env!("CARGO_BIN_EXE_glancefs"), &helper).unwrap();
    for program in [helper.as_path(), Path::new(env!("CARGO_BIN_EXE_glancefs"))] {
        let mut command = place.command_as(program);
        command.arg(&service.url).arg(place.mount()).args(["-o", "rw,dev,suid,allow_other,uid=12,gid=34,umask=027"]);
        Ran::of(command.output().unwrap()).succeeded();
        let daemon = Watched::daemon_of(&place);
        let line = mounts().lines().find(|line| line.contains(place.mount().to_str().unwrap())).unwrap().to_owned();
        assert!(line.contains("allow_other"), "{line}");
        let shown = tool("stat", &[OsStr::new("-c%u %g %a"), data(&place).as_os_str()]);
        assert_eq!(shown.out, "12 34 440\n");
        daemon.signal(libc::SIGTERM);
        daemon.ended();
    }
    place.assert_nothing_is_left();
}

#[test]
fn the_demo_shows_an_image_until_it_is_interrupted_and_removes_what_it_made() {
    let place = Place::new();
    let temporary = place.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = place.command();
    command.arg("demo").arg(place.mount()).env("TMPDIR", &temporary);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("Ctrl-C")), "it never says how to end it");
    let content = fs::read(place.mount().join("by-name/hello/data")).unwrap();
    assert!(content.starts_with(b"These bytes come out of an Image service"));
    let demo = Watched::new(i32::try_from(child.id()).unwrap());
    demo.signal(libc::SIGINT);
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.assert_nothing_is_left();
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[test]
fn a_demo_of_a_file_that_is_missing_leaves_nothing() {
    let place = Place::new();
    let mount = place.mount();
    let arguments = [OsStr::new("demo"), mount.as_os_str(), OsStr::new("--image"), OsStr::new("missing.iso")];
    place.run(arguments).refused(1, &["missing.iso"]);
    place.assert_nothing_is_left();
}

#[test]
fn a_lock_of_the_script_that_mounts_is_not_held_by_the_mount() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let lock = File::create(place.path("lock.of.a.script")).unwrap();
    lock.lock().unwrap();
    // SAFETY: the descriptor is open; without the flag it goes on to the programs that are started, as a shell's does.
    assert_eq!(unsafe { libc::fcntl(lock.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    place.mount_of(&service.url).succeeded();
    let daemon = Watched::daemon_of(&place);
    drop(lock);
    File::open(place.path("lock.of.a.script")).unwrap().try_lock().unwrap();
    place.run(["umount".as_ref(), place.mount().as_os_str()]).succeeded();
    daemon.ended();
    service.stop();
    place.assert_nothing_is_left();
}
