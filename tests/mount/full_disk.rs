//! A disk for uploads that is full, or that cannot be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::content::{assert_same, noise};
use crate::login::{attempt, is_refused};
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool, tool_in};
use crate::uploading::{assert_holds, made, shown};
use crate::{Promise, Services};

crate::promises![Embedded:
    a_full_disk_stops_one_writer_and_nothing_of_him_is_sent,
    a_folder_that_cannot_be_written_is_refused,
];

/// Whether the promise can be tried: only root mounts a small disk.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    promise.module != module_path!() || (is_root && promise.on == Services::Embedded)
}

/// A disk of 8 MiB, for as long as it lives.
struct Disk(PathBuf);

impl Disk {
    fn new(point: PathBuf) -> Self {
        fs::create_dir(&point).unwrap();
        mounted(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &point);
        Self(point)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool("umount", ["-l".as_ref(), self.0.as_os_str()]);
    }
}

fn mounted(options: &[&str], point: &Path) {
    printed("mount", options.iter().map(AsRef::as_ref).chain([point.as_os_str()]));
}

fn a_full_disk_stops_one_writer_and_nothing_of_him_is_sent(target: &Target) {
    let active = noise(41, 3 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &active);
    let disk = Disk::new(target.file("disk"));
    let (large, small) = (target.file_with("large", noise(42, 12 << 20)), noise(43, 1 << 20));
    let mount = target.mount_with("demo", &[&format!("--state-dir={}", disk.0.display())]);
    let other = made(target, &mount, "other");
    let mut file = File::options().write(true).open(other.join("data")).unwrap();
    file.write_all(&small).unwrap();

    let full = made(target, &mount, "full");
    for line in ["cp $S data", "cat $S > data", "dd if=$S of=data bs=64k status=none"] {
        let line = format!("S={}; {line}", large.display());
        let ran = tool_in(&full, "sh", &["-c", &line]);
        assert!(ran.code != Some(0) && ran.err.contains("No space left on device"), "{line}: {ran:?}");
        assert!(attribute(&full.join("data"), "user.glancefs.error").unwrap().contains("No space"), "{line}");
    }
    // Longer than a spool rests before it is sealed where no close has done so.
    shell(&full, "sleep 3");
    assert_eq!(shown(target, &full)["status"], "queued", "what is there is not all");

    assert_same(&fs::read(mount.data(&id)).unwrap(), &active, "an image that is read meanwhile");
    drop(file);
    assert_holds(target, &other, &small, "another writer");
    printed("rm", ["-r".as_ref(), full.as_os_str()]);
    let (again, fits) = (made(target, &mount, "again"), noise(44, 6 << 20));
    printed("cp", [target.file_with("fits", &fits), again.join("data")]);
    assert_holds(target, &again, &fits, "the space is back");
    mount.end();
}

fn a_folder_that_cannot_be_written_is_refused(target: &Target) {
    let disk = Disk::new(target.file("disk"));
    mounted(&["-o", "remount,ro"], &disk.0);
    let options = [("XDG_STATE_HOME", disk.0.to_str().unwrap())];
    is_refused(attempt(&target.clouds, Some("demo"), &options), &["Read-only file system", disk.0.to_str().unwrap()]);
}
