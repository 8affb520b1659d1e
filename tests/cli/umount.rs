//! Unmounting while uploads are under way: who unmounts waits for them, and is told of what is left.

use std::ffi::OsStr;
use std::fs;

use crate::mounts::Service;
use crate::process::Watched;
use crate::support::{Place, Ran, processes_on};
use crate::system::{as_a_helper, is_mounted, run};

/// A mount with an upload of 300,000 bytes under way, at so many bytes a second.
fn with_an_upload(options: &str, rate: u64) -> (Place, Service, Watched) {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    as_a_helper(&place);
    let options = format!("write_back,{options},state_dir={}", place.path("state").display());
    let mount = place.mount();
    let arguments = ["-t", "fuse.glancefs", "-o", &options, &service.url].map(OsStr::new);
    run("mount", &arguments.into_iter().chain([mount.as_os_str()]).collect::<Vec<_>>()).succeeded();
    let daemon = Watched::daemon_of(&place);
    service.behave(|behaviour| behaviour.upload_rate = Some(rate));
    fs::create_dir(mount.join("by-name/new")).unwrap();
    fs::write(mount.join("by-name/new/data"), vec![1; 300_000]).unwrap();
    (place, service, daemon)
}

/// As systemd unmounts, and whoever unmounts what fstab has with `_netdev`.
fn umount(place: &Place, options: &[&str]) -> Ran {
    let mount = place.mount();
    run("umount", &options.iter().map(OsStr::new).chain([mount.as_os_str(), "-c".as_ref()]).collect::<Vec<_>>())
}

fn glancefs_umount(place: &Place, options: &[&str]) -> Ran {
    let mount = place.mount();
    place.run(["umount"].iter().chain(options).map(OsStr::new).chain([mount.as_os_str()]))
}

/// What `glancefs uploads` lists.
fn left(place: &Place) -> String {
    let listed = place.run(["uploads", "--state-dir", place.path("state").to_str().unwrap()]);
    listed.succeeded();
    listed.out
}

fn waits(unmounts: fn(&Place, &[&str]) -> Ran) {
    let (place, service, daemon) = with_an_upload("ttl=5s", 100_000);
    let ended = unmounts(&place, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("waiting for 1 upload (292.9 KiB)"), "{ended:?}");
    assert!(!ended.err.contains("not uploaded"), "{ended:?}");
    daemon.ended();
    let listed = place.run(["ls", "--long", "--source", &service.url]);
    assert!(listed.out.contains("active"), "{listed:?}");
    place.assert_nothing_is_left();
}

#[test]
fn umount_8_returns_when_what_was_written_is_in_the_service() {
    waits(umount);
}

#[test]
fn glancefs_umount_returns_when_what_was_written_is_in_the_service() {
    waits(glancefs_umount);
}

#[test]
fn who_unmounts_is_told_what_is_left_for_the_next_mount() {
    let (place, service, daemon) = with_an_upload("drain_timeout=1s", 1);
    let ended = umount(&place, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("is not uploaded, it is sending; the next mount of its service goes on"), "{ended:?}");
    daemon.ended();
    assert!(left(&place).contains("no mount is at it"));
    place.assert_nothing_is_left();
    drop(service);
}

#[test]
fn who_unmounts_lazily_or_does_not_want_to_wait_does_not() {
    type Unmounts = fn(&Place, &[&str]) -> Ran;
    for (unmounts, option) in
        [(umount as Unmounts, "--lazy"), (glancefs_umount, "--lazy"), (glancefs_umount, "--no-wait")]
    {
        let place = std::thread::spawn(move || {
            let (place, _service, daemon) = with_an_upload("drain_timeout=1h", 1);
            unmounts(&place, &[option]).succeeded();
            assert!(!is_mounted(&place));
            assert_eq!(processes_on(&place.mount()), [daemon.pid]);
            daemon.signal(libc::SIGKILL);
            daemon.ended();
            place
        });
        place.join().unwrap().assert_nothing_is_left();
    }
}

#[test]
fn a_busy_mount_is_refused_by_umount_8_as_ever() {
    let (place, service, daemon) = with_an_upload("drain_timeout=0s", 1);
    let busy = fs::File::open(place.mount().join("by-name")).unwrap();
    umount(&place, &[]).refused(32, &["busy"]);
    assert!(is_mounted(&place));
    drop(busy);
    assert_eq!(umount(&place, &[]).code, Some(0));
    daemon.ended();
    place.assert_nothing_is_left();
    drop(service);
}
