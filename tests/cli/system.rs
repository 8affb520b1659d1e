//! The system's own `mount`, `umount` and fstab, as an administrator uses them.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use crate::mounts::{Service, data};
use crate::process::Watched;
use crate::support::{Place, Ran, mounts};

const CONTENT: &str = "what an image holds\n";

/// Installs the program for the mounts that this thread and its children see, and for nobody else: as `name` in `folder`.
fn installed(place: &Place, folder: &CStr, name: &str) {
    let programs = place.path("programs");
    fs::create_dir_all(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_glancefs"), programs.join(name)).unwrap();
    let programs = CString::new(programs.into_os_string().into_vec()).unwrap();
    let none = std::ptr::null();
    // SAFETY: the call takes flags, and changes what this thread alone sees.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both paths are texts that outlive the calls; the other arguments may be null.
    let made = unsafe {
        [
            libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()),
            libc::mount(programs.as_ptr(), folder.as_ptr(), none, libc::MS_BIND, none.cast()),
        ]
    };
    assert_eq!(made, [0, 0], "{}", std::io::Error::last_os_error());
}

/// As `mount.fuse3` finds it.
pub(crate) fn in_the_path(place: &Place) {
    installed(place, c"/usr/local/sbin", "glancefs");
}

/// As mount(8) finds its helpers. That of all FUSE programs stays beside.
pub(crate) fn as_a_helper(place: &Place) {
    fs::create_dir(place.path("programs")).unwrap();
    fs::copy("/usr/sbin/mount.fuse3", place.path("programs/mount.fuse3")).unwrap();
    symlink(env!("CARGO_BIN_EXE_glancefs"), place.path("programs/umount.fuse.glancefs")).unwrap();
    installed(place, c"/usr/sbin", "mount.fuse.glancefs");
}

pub(crate) fn run(name: &str, arguments: &[&OsStr]) -> Ran {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", "/usr/bin:/bin").args(arguments);
    Ran::of(command.output().unwrap())
}

pub(crate) fn is_mounted(place: &Place) -> bool {
    mounts().contains(place.mount().to_str().unwrap())
}

/// Source, type and options, as findmnt shows them.
pub(crate) fn found(place: &Place) -> String {
    let found = run(
        "findmnt",
        &["-no", "SOURCE,FSTYPE,OPTIONS", "-M"]
            .map(OsStr::new)
            .into_iter()
            .chain([place.mount().as_os_str()])
            .collect::<Vec<_>>(),
    );
    found.succeeded();
    found.out
}

pub(crate) fn umount(place: &Place, daemon: &Watched) {
    run("umount", &[place.mount().as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn mount_mounts_without_a_home_and_findmnt_shows_what_and_how() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    // Nothing says where uploads could be kept, but for the option.
    let options =
        format!("ro,allow_other,uid=12,gid=34,umask=027,fsname=cloud,state_dir={}", place.path("state").display());
    let arguments = ["-t", "fuse.glancefs", "-o", &options, &service.url].map(OsStr::new);
    run("mount", &arguments.into_iter().chain([place.mount().as_os_str()]).collect::<Vec<_>>()).succeeded();
    let daemon = Watched::daemon_of(&place);
    let shown = found(&place);
    assert!(shown.starts_with("cloud ") && shown.contains(" fuse.glancefs ro,nosuid,nodev,"), "{shown}");
    assert!(shown.contains("allow_other") && shown.contains("default_permissions"), "{shown}");
    let file = fs::metadata(data(&place)).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (12, 34, 0o440));
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    umount(&place, &daemon);
}

#[test]
fn a_line_of_fstab_is_mounted_by_mount_a_once_and_by_its_folder_alone() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    let options =
        format!("noatime,nofail,_netdev,x-systemd.automount,ttl=3s,state_dir={}", place.path("state").display());
    let line = format!("{} {} fuse.glancefs {options} 0 0\n", service.url, place.mount().display());
    let table = place.path("fstab");
    fs::write(&table, line).unwrap();
    let all = || run("mount", &["--fstab".as_ref(), table.as_os_str(), "-a".as_ref()]);
    all().succeeded();
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    all().succeeded();
    assert_eq!(mounts().matches(place.mount().to_str().unwrap()).count(), 1, "what is mounted is left alone");
    umount(&place, &daemon);

    run("mount", &["--fstab".as_ref(), table.as_os_str(), place.mount().as_os_str()]).succeeded();
    let daemon = Watched::daemon_of(&place);
    let mount = place.mount();
    let busy = fs::File::open(data(&place)).unwrap();
    let refused = run("umount", &[mount.as_os_str()]);
    assert!(refused.code == Some(32) && refused.err.contains("busy"), "{refused:?}");
    run("umount", &["--lazy".as_ref(), mount.as_os_str()]).succeeded();
    assert!(!is_mounted(&place));
    drop(busy);
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn the_mount_of_a_killed_program_is_mounted_again_by_mount() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    let options = format!("state_dir={}", place.path("state").display());
    let arguments = ["-t", "fuse.glancefs", "-o", &options, &service.url].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().collect();
    let mount = place.mount();
    let again = || run("mount", &[&*arguments, &[mount.as_os_str()]].concat());
    again().succeeded();
    let killed = Watched::daemon_of(&place);
    killed.signal(libc::SIGKILL);
    killed.ended();
    assert_eq!(fs::metadata(data(&place)).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    let cleared = again();
    assert!(cleared.code == Some(0) && cleared.err.contains("cleared away the dead mount"), "{cleared:?}");
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    umount(&place, &daemon);
}

#[test]
fn what_is_wrong_in_an_option_is_said_by_mount_with_its_own_status() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    in_the_path(&place);
    let mount = place.mount();
    for (options, code, words) in [
        ("ttl=soon", 1, "glancefs: mount option ttl: 'soon' is not a duration"),
        ("umask=9", 1, "glancefs: mount option umask: '9' is not a mask"),
        ("cache_size=1", 1, "glancefs: mount option cache_size: 1B is too little"),
        ("uid=ada-of-nowhere", 1, "glancefs: mount option uid: 'ada-of-nowhere' is neither the name nor the number"),
        ("service=network", 1, "glancefs: mount option service: 'network' is none of: image, compute"),
        (
            "metrics_listen=9464",
            1,
            "glancefs: mount option metrics_listen: '9464' cannot be used: invalid socket address",
        ),
        ("max_background=0", 1, "glancefs: mount option max_background: 0 is not in 1..=65535"),
        ("allow_root,allow_other", 1, "glancefs: mount option allow_root: it and allow_other exclude each other"),
        ("fsname=", 1, "glancefs: mount option fsname: '' is no name"),
        ("max_read=1", 1, "glancefs: mount option max_read: '1' is not a number of bytes from 4096"),
        ("state_dir=state", 1, "glancefs: mount option state_dir: 'state' is relative"),
        ("foreground", 1, "glancefs: 'foreground' is not for mount options"),
        ("frobnicate", 1, "unknown mount option 'frobnicate'"),
    ] {
        let arguments = ["-t", "fuse.glancefs", "-o", options, &service.url].map(OsStr::new);
        let refused = run("mount", &arguments.into_iter().chain([mount.as_os_str()]).collect::<Vec<_>>());
        assert!(refused.code == Some(code) && refused.err.contains(words), "{options}: {refused:?}");
        assert!(!refused.err.contains("--help"), "{options}: {refused:?}");
        assert!(!is_mounted(&place));
    }
    place.assert_nothing_is_left();
}

#[test]
fn the_helper_of_mount_8_is_called_by_its_name_and_can_be_asked_for_nothing() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    as_a_helper(&place);
    let mount = place.mount();
    let options = format!("ro,noexec,state_dir={}", place.path("state").display());
    let arguments = ["-t", "fuse.glancefs", "-o", &options, &service.url].map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.into_iter().chain([mount.as_os_str()]).collect();
    run("mount", &[&["--fake".as_ref()], &*arguments].concat()).succeeded();
    assert!(!is_mounted(&place));
    run("mount", &arguments).succeeded();
    let daemon = Watched::daemon_of(&place);
    let shown = found(&place);
    assert!(shown.contains(" fuse.glancefs ro,nosuid,nodev,noexec"), "{shown}");
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), CONTENT);
    umount(&place, &daemon);
}
