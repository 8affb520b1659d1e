//! `get`: what becomes of the file that it writes.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::direct::{bytes, files, run};
use crate::mounts::Service;
use crate::process::Watched;
use crate::support::{Place, Ran};

const CONTENT: &str = "what an image holds\n";

#[test]
fn a_link_stays_and_its_file_keeps_mode_and_owner_and_is_cut_from_its_other_names() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    fs::create_dir(place.path("in")).unwrap();
    fs::write(place.path("in/file"), "before").unwrap();
    fs::set_permissions(place.path("in/file"), Permissions::from_mode(0o640)).unwrap();
    // Where that is permitted, another owner.
    let _ = std::os::unix::fs::chown(place.path("in/file"), Some(1234), Some(1235));
    let before = fs::metadata(place.path("in/file")).unwrap();
    fs::hard_link(place.path("in/file"), place.path("in/other")).unwrap();
    symlink("in/file", place.path("link")).unwrap();
    symlink("in/new", place.path("dangling")).unwrap();
    for link in ["link", "dangling"] {
        run(&place, &service, &["get", "debian", link]).succeeded();
        assert!(place.path(link).is_symlink(), "{link}");
        assert_eq!(fs::read_to_string(place.path(link)).unwrap(), CONTENT);
    }
    let after = fs::metadata(place.path("in/file")).unwrap();
    let rights = |found: &fs::Metadata| (found.mode(), found.uid(), found.gid());
    assert_eq!(rights(&after), rights(&before));
    assert_eq!(fs::read_to_string(place.path("in/other")).unwrap(), "before");
    // As any other new file.
    File::create(place.path("any")).unwrap();
    assert_eq!(fs::metadata(place.path("in/new")).unwrap().mode(), fs::metadata(place.path("any")).unwrap().mode());
}

#[test]
fn what_can_be_no_file_is_refused_before_anything_is_downloaded_and_long_names_are_none_of_that() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for (file, words) in [("new/", "names a folder"), ("none/x", "no folder none"), ("mount", "directory")] {
        // Nobody is asked: this service is away.
        place.run(["get", "--source", "away", "debian", file]).refused(1, &[file, words]);
    }
    let long = "x".repeat(255);
    for _ in 0..2 {
        run(&place, &service, &["get", "debian", &long]).succeeded();
        assert_eq!(fs::read_to_string(place.path(&long)).unwrap(), CONTENT);
    }
}

/// Whether files can be without a name where the tests have theirs.
fn has_nameless_files(folder: &Path) -> bool {
    File::options().write(true).custom_flags(libc::O_TMPFILE).open(folder).is_ok()
}

fn has_open(child: &Child, folder: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count() > 0
}

#[test]
fn a_get_that_is_killed_or_interrupted_leaves_nothing() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    fs::write(place.path("disk"), bytes()).unwrap();
    run(&place, &service, &["put", "disk"]).succeeded();
    service.behave(|behaviour| behaviour.rate = Some(1 << 16));
    fs::create_dir(place.path("into")).unwrap();
    let signals: &[i32] =
        if has_nameless_files(&place.path("into")) { &[libc::SIGTERM, libc::SIGKILL] } else { &[libc::SIGTERM] };
    for (file, signal) in ["into/new", "into/kept"].into_iter().flat_map(|file| signals.iter().map(move |s| (file, *s)))
    {
        fs::write(place.path("into/kept"), "before").unwrap();
        let mut command = place.command();
        command.args(["get", "--source", &service.url, "disk", file]).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !has_open(&child, &place.path("into")) {
            std::thread::yield_now();
        }
        Watched::new(i32::try_from(child.id()).unwrap()).signal(signal);
        child.wait().unwrap();
        let left: Vec<_> = fs::read_dir(place.path("into")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"], "{file} {signal}");
        assert_eq!(fs::read_to_string(place.path("into/kept")).unwrap(), "before");
    }
}

#[test]
fn zeros_take_no_space_in_a_file_and_are_written_to_what_is_none() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    let disk = File::create(place.path("disk")).unwrap();
    disk.set_len((8 << 20) + 3).unwrap();
    disk.write_all_at(b"data", 5 << 20).unwrap();
    run(&place, &service, &["put", "disk"]).succeeded();
    fs::write(place.path("there"), vec![1; 10 << 20]).unwrap();
    for file in ["copy", "there"] {
        run(&place, &service, &["get", "disk", file]).succeeded();
        assert!(fs::read(place.path(file)).unwrap() == fs::read(place.path("disk")).unwrap(), "{file}");
        let taken = fs::metadata(place.path(file)).unwrap().blocks() * 512;
        assert!(taken <= 1 << 20, "{file} takes {taken} bytes");
    }
    let got = place.command().args(["get", "--source", &service.url, "disk"]).output().unwrap();
    assert!(got.stdout == fs::read(place.path("disk")).unwrap());
}

#[test]
fn an_image_without_data_is_told_of_and_gives_no_file() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    service.make("waits");
    let before = files(&place);
    for image in ["waits", "by-name/waits/data"] {
        run(&place, &service, &["get", image, "copy"]).refused(1, &["no data yet", "queued"]);
    }
    assert_eq!(files(&place), before);
}

#[test]
fn a_file_that_a_program_has_open_is_written_to_and_not_replaced() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let lines = "echo precious > out; $0 get -s $1 debian /dev/stdout >> out && cat out; \
                 exec 5>> five; echo keep >&5; $0 get -s $1 debian /dev/fd/5 && echo after >&5; cat five; \
                 $0 get -s $1 debian /dev/stdout | cat";
    let mut command = place.command_as(Path::new("bash"));
    let ran = command.args(["-c", lines, env!("CARGO_BIN_EXE_glancefs"), &service.url]).output().unwrap();
    let ran = Ran::of(ran);
    ran.succeeded();
    assert_eq!(ran.out, format!("precious\n{CONTENT}keep\n{CONTENT}after\n{CONTENT}"));
}

#[test]
fn a_file_that_may_not_be_written_to_is_not_replaced() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("roots"), "before").unwrap();
    for path in ["", "roots"] {
        fs::set_permissions(place.path(path), Permissions::from_mode(if path.is_empty() { 0o777 } else { 0o644 }))
            .unwrap();
    }
    let program = place.path("glancefs");
    fs::copy(env!("CARGO_BIN_EXE_glancefs"), &program).unwrap();
    let mut command = place.command_as(Path::new("setpriv"));
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    // Nobody is asked: this service is away.
    let ran = command.args(["get", "--source", "away", "debian", "roots"]).output().unwrap();
    Ran::of(ran).refused(1, &["roots: Permission denied"]);
}
