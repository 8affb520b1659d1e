//! Words behind `-o` that all FUSE programs share, as mount(8) hands them to its helper.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Stdio};

use crate::mounts::{Service, data};
use crate::process::Watched;
use crate::support::{Place, Ran, processes_on};
use crate::system::{as_a_helper, found, is_mounted, run, umount};

const CONTENT: &str = "what an image holds\n";

/// Runs `mount -t fuse.glancefs -o OPTIONS`.
fn mount(place: &Place, source: &str, options: &str) -> Ran {
    let options = format!("{options},state_dir={}", place.path("state").display());
    let mount = place.mount();
    let arguments = ["-t", "fuse.glancefs", "-o", &options, source].map(OsStr::new);
    run("mount", &arguments.into_iter().chain([mount.as_os_str()]).collect::<Vec<_>>())
}

/// The program and its guard, which is the later one.
fn guarded(place: &Place) -> (Watched, Watched) {
    let mut found = processes_on(&place.mount());
    found.sort_by_key(|pid| {
        let about = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent: i32 = about.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        i32::from(processes_on(&place.mount()).contains(&parent))
    });
    let [program, guard] = found.try_into().unwrap();
    (Watched::new(program), Watched::new(guard))
}

#[test]
fn the_mount_goes_with_a_killed_program_if_that_is_asked_for() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    mount(&place, &service.url, "auto_unmount").succeeded();
    let (program, guard) = guarded(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    // What ends all processes of a service at its stop leaves the guard until the program has ended.
    guard.signal(libc::SIGTERM);
    program.signal(libc::SIGKILL);
    program.ended();
    guard.ended();
    place.assert_nothing_is_left();
}

#[test]
fn a_guarded_mount_that_is_forced_to_end_leaves_nothing() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    mount(&place, &service.url, "auto_unmount").succeeded();
    let (program, guard) = guarded(&place);
    let file = fs::File::open(data(&place)).unwrap();
    // The second one does not wait for who has a file open.
    program.signal(libc::SIGTERM);
    program.signal(libc::SIGINT);
    program.ended();
    drop(file);
    guard.ended();
    place.assert_nothing_is_left();
}

#[test]
fn the_mount_of_a_user_goes_with_a_killed_program_too() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for folder in ["mount", "state", "home", ""] {
        fs::create_dir_all(place.path(folder)).unwrap();
        chown(place.path(folder), Some(65534), Some(65534)).unwrap();
    }
    as_a_helper(&place);
    // Some machines let root alone open the device.
    let device = "mknod -m 666 $0 c 10 229 && mount --bind $0 /dev/fuse";
    Command::new("sh").args(["-c", device]).arg(place.path("fuse")).status().unwrap();
    let mut command = place.command_as("setpriv".as_ref());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_glancefs"), "mount"]);
    let ran = command.args(["-o", "auto_unmount", &service.url]).arg(place.mount()).output().unwrap();
    Ran::of(ran).succeeded();
    let (program, guard) = guarded(&place);
    program.signal(libc::SIGKILL);
    program.ended();
    guard.ended();
    place.assert_nothing_is_left();
}

#[test]
fn a_guard_leaves_alone_what_is_mounted_after_its_mount_has_ended() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    mount(&place, &service.url, "auto_unmount,write_back").succeeded();
    let (program, guard) = guarded(&place);
    // What is not sent in this life keeps the program from ending.
    service.behave(|behaviour| behaviour.upload_rate = Some(1));
    fs::create_dir(place.mount().join("by-name/new")).unwrap();
    fs::write(place.mount().join("by-name/new/data"), vec![1; 100_000]).unwrap();
    Command::new("umount").arg("-i").arg(place.mount()).status().unwrap();
    assert!(!is_mounted(&place));
    // It has the number that the kernel knew the first one by.
    mount(&place, &service.url, "ro").succeeded();
    program.signal(libc::SIGKILL);
    guard.ended();
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    umount(&place, &Watched::daemon_of(&place));
}

#[test]
fn words_for_all_programs_of_fuse_are_understood_or_passed_over() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    let words = "group,_rnetdev,silent,sync,dirsync,nonempty,intr,big_writes,attr_timeout=1,entry_timeout=1,\
                 negative_timeout=0,kernel_cache,context=system_u:object_r:removable_t:s0,ro,rw,noexec,exec,\
                 max_read=8192,max_background=5,nosymfollow,uid=nobody,gid=root";
    mount(&place, &service.url, words).succeeded();
    let daemon = Watched::daemon_of(&place);
    let shown = found(&place);
    assert!(shown.contains(" rw,") && !shown.contains("noexec") && shown.contains("max_read=8192"), "{shown}");
    assert_eq!(fs::metadata(data(&place)).unwrap().uid(), 65534);
    let link = fs::read_dir(place.mount().join("query/name=debian")).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_link(&link).is_ok());
    assert_eq!(fs::metadata(link.join("status")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    umount(&place, &daemon);
}

#[test]
fn what_the_program_decides_is_told_to_who_asks_for_it() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let log = place.path("log");
    let mut command = place.command();
    command.args(["mount", "-f", "-o", "debug,attr_timeout=1", "--log-file"]).arg(&log).arg(&service.url);
    let mut child = command.arg(place.mount()).stderr(Stdio::piped()).spawn().unwrap();
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains(" mounted ")) {
        std::thread::yield_now();
    }
    assert!(child.try_wait().unwrap().is_none(), "it stays in the foreground");
    Watched::new(i32::try_from(child.id()).unwrap()).signal(libc::SIGTERM);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("passed over") && log.contains("option=\"attr_timeout\""), "{log}");
    place.assert_nothing_is_left();
}

#[test]
fn privileges_are_dropped_for_the_helper_of_mount_8_too() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    mount(&place, &service.url, "drop_privileges,ro").succeeded();
    let found = processes_on(&place.path("state"));
    let daemon = Watched::new(*found.first().unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    umount(&place, &daemon);
}
