//! Mounts whose program was started without the privileges of who mounts: by mount.fuse3, which has mounted then.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::process::Command;

use crate::mounts::{Service, data};
use crate::process::Watched;
use crate::support::{Place, Ran, processes_on};
use crate::system::{found, in_the_path, is_mounted, run};

const CONTENT: &str = "what an image holds\n";

/// Runs `mount -t fuse.glancefs -o OPTIONS`.
fn mount(place: &Place, source: &str, options: &str) -> Ran {
    let options = format!("{options},state_dir={}", place.path("state").display());
    let mount = place.mount();
    run(
        "mount",
        &["-t", "fuse.glancefs", "-o", &options, source]
            .map(OsStr::new)
            .map(OsStr::new)
            .into_iter()
            .chain([mount.as_os_str()])
            .collect::<Vec<_>>(),
    )
}

/// The program, whose arguments have the folder for uploads and no mount point.
fn daemon(place: &Place) -> Watched {
    let found = processes_on(&place.path("state"));
    assert_eq!(found.len(), 1, "{found:?}");
    Watched::new(found.into_iter().next().unwrap())
}

fn line<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn mount_fuse3_mounts_for_a_program_without_privileges() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    mount(&place, &service.url, "drop_privileges,allow_other,default_permissions,fsname=cloud,ttl=3s").succeeded();
    let daemon = daemon(&place);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    assert_eq!((line(&status, "CapEff:"), line(&status, "NoNewPrivs:")), ("0000000000000000", "1"));
    let shown = found(&place);
    assert!(shown.starts_with("cloud ") && shown.contains(" fuse.glancefs rw,"), "{shown}");
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    run("umount", &[place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn mount_fuse3_mounts_for_another_user() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    // Whose folder it is, and who may come so far.
    fs::create_dir(place.path("state")).unwrap();
    chown(place.path("state"), Some(65534), Some(65534)).unwrap();
    Command::new("chmod").arg("755").arg(place.path("")).status().unwrap();
    mount(&place, &service.url, "setuid=nobody,drop_privileges").succeeded();
    let daemon = daemon(&place);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    assert_eq!(line(&status, "Uid:").split_whitespace().next(), Some("65534"));
    // Only that user is let in, as in every mount.
    assert_eq!(fs::metadata(data(&place)).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    let read = run(
        "setpriv",
        &["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]
            .map(OsStr::new)
            .into_iter()
            .chain([data(&place).as_os_str()])
            .collect::<Vec<_>>(),
    );
    assert_eq!(read.out, CONTENT, "{read:?}");
    run("umount", &[place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn a_mount_of_mount_fuse3_that_lets_others_in_needs_the_kernel_to_check_permissions() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    let refused = mount(&place, &service.url, "drop_privileges,allow_other");
    let stays = format!("stays (umount {})", place.mount().display());
    refused.refused(1, &["need default_permissions too", &stays]);
    run("umount", &[place.mount().as_os_str()]).succeeded();
    place.assert_nothing_is_left();
}

#[test]
fn the_mount_of_mount_fuse3_goes_with_a_killed_program_if_that_is_asked_for() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    mount(&place, &service.url, "drop_privileges,auto_unmount").succeeded();
    let daemon = daemon(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    daemon.signal(libc::SIGKILL);
    daemon.ended();
    while is_mounted(&place) {
        std::thread::yield_now();
    }
    place.assert_nothing_is_left();
}

#[test]
fn a_descriptor_that_is_not_of_a_mount_is_named() {
    let place = Place::new();
    place.run(["mount", "local:images", "/dev/fd/77"]).refused(32, &["/dev/fd/77 is not open"]);
    let lock = File::create(place.path("lock")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" mount local:images /dev/fd/7 7<\"$1\"", env!("CARGO_BIN_EXE_glancefs")]);
    Ran::of(command.arg(place.path("lock")).output().unwrap()).refused(32, &["/dev/fd/7 is not an open /dev/fuse"]);
    drop(lock);
}
