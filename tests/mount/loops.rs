//! Images as disks: attached to loop devices, with the filesystems inside them mounted.
//!
//! Only root can do that, and only where there are loop devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::json;

use crate::Promise;
use crate::content::noise;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool};

crate::promises![EveryStore: an_ext4_inside_an_image_is_mounted_through_a_loop_device];

/// Whether the promise can be tried on this machine; where it cannot, a line on standard error says so.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    static LOOPS: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: the call takes nothing and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let tools = ["losetup", "mkfs.ext4"].iter().all(|name| tool(name, ["-V"]).code == Some(0));
        let possible = root && tools && tool("losetup", ["--find"]).code == Some(0);
        if !possible {
            eprintln!("loop devices are not tried: they need root, losetup, mkfs.ext4 and /dev/loop-control");
        }
        possible
    });
    promise.module != module_path!() || *LOOPS
}

/// A loop device, which is detached when the test ends.
struct Loop(PathBuf);

impl Loop {
    fn on(file: &Path) -> Self {
        let device =
            printed("losetup", ["--read-only".as_ref(), "--find".as_ref(), "--show".as_ref(), file.as_os_str()]);
        Self(device.trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", ["--detach".as_ref(), self.0.as_os_str()]);
    }
}

/// A filesystem of a device, which is unmounted when the test ends.
struct Inside(PathBuf);

impl Inside {
    fn of(device: &Loop, point: PathBuf) -> Self {
        fs::create_dir(&point).unwrap();
        printed("mount", ["-o".as_ref(), "ro,noload".as_ref(), device.0.as_os_str(), point.as_os_str()]);
        Self(point)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        tool("umount", [&self.0]);
    }
}

fn an_ext4_inside_an_image_is_mounted_through_a_loop_device(target: &Target) {
    let tree = target.file("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    for (number, (name, length)) in
        [("small", 1), ("page", 4096), ("deep/large", 9_000_001), ("deep/er/other", 300_000)].into_iter().enumerate()
    {
        fs::write(tree.join(name), noise(number as u64, length)).unwrap();
    }
    std::os::unix::fs::symlink("deep/large", tree.join("link")).unwrap();
    let original = target.file("disk.raw");
    let make = ["-q", "-F", "-d", tree.to_str().unwrap(), original.to_str().unwrap(), "40M"];
    printed("mkfs.ext4", make);
    let id = target.filled_from(&target.person("demo"), &json!({"name": target.name("disk")}), &original);

    let mount = target.mount("demo");
    let device = Loop::on(&mount.data(&id));
    let inside = Inside::of(&device, target.file("inside"));
    printed(
        "diff",
        ["-r", "--no-dereference", "--exclude=lost+found", tree.to_str().unwrap(), inside.0.to_str().unwrap()],
    );
    assert_eq!(shell(&inside.0, "readlink link; du -b deep/large | cut -f 1"), "deep/large\n9000001\n");
    drop(inside);
    let checked = tool("e2fsck", ["-f".as_ref(), "-n".as_ref(), device.0.as_os_str()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    printed("cmp", [&device.0, &original]);
    drop(device);
    printed("cmp", [&mount.data(&id), &original]);
    assert_eq!(attribute(&mount.data(&id), "user.glancefs.verified").as_deref(), Some("yes"));
    mount.end();
}
