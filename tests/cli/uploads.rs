//! Uploads that are left behind, looked at without a mount and by the next one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::mounts::Service;
use crate::process::Watched;
use crate::support::{Place, Ran};

const IMAGE: &str = "0a0b0c0d-0000-4000-8000-000000000001";

/// The folder of the service, once a mount of it has made that.
fn folder(state: &Path) -> PathBuf {
    let found: Vec<_> = fs::read_dir(state.join("uploads")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn mount(place: &Place, service: &Service) -> Watched {
    place.run([OsStr::new("mount"), service.url.as_ref(), place.mount().as_os_str()]).succeeded();
    Watched::daemon_of(place)
}

fn end(place: &Place, daemon: &Watched) {
    place.run([OsStr::new("umount"), place.mount().as_os_str()]).succeeded();
    daemon.ended();
}

fn uploads(place: &Place, more: &[&str]) -> Ran {
    place.run([&["uploads", "--state-dir", "state/glancefs"], more].concat())
}

#[test]
fn an_upload_that_cannot_be_read_is_told_by_every_command_and_by_the_next_mount() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    end(&place, &mount(&place, &service));
    let folder = folder(&place.path("state/glancefs"));
    let upload = folder.join("jobs").join(IMAGE);
    fs::create_dir(&upload).unwrap();
    fs::write(upload.join("data"), "precious").unwrap();
    fs::write(upload.join("job.json"), "{\"version\": 1, \"sta").unwrap();
    let told = |path: &Path| {
        for more in [&[][..], &["wait"], &["--json"]] {
            uploads(&place, more).refused(2, &[path.to_str().unwrap(), "cannot be read", "write them again"]);
        }
    };
    told(&upload);
    let daemon = mount(&place, &service);
    let errors = fs::read_to_string(place.mount().join(".glancefs/errors")).unwrap();
    assert!(errors.contains(".glancefs/uploads") && errors.contains("EIO") && errors.contains(IMAGE), "{errors}");
    end(&place, &daemon);
    let moved: Vec<_> = fs::read_dir(folder.join("aside")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(fs::read_to_string(moved[0].join("data")).unwrap(), "precious");
    told(&moved[0]);
    fs::remove_dir_all(&moved[0]).unwrap();
    uploads(&place, &[]).succeeded();
    place.assert_nothing_is_left();
}

#[test]
fn a_stray_file_keeps_nobody_from_seeing_the_uploads() {
    let place = Place::new();
    fs::create_dir_all(place.path("state/glancefs/uploads")).unwrap();
    fs::write(place.path("state/glancefs/uploads/note"), "").unwrap();
    uploads(&place, &[]).succeeded();
}
