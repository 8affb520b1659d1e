//! Images that a mount keeps on disk for the next one, and what may happen to them there.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use glancefs::server::Ranges;
use serde_json::json;

use crate::Promise;
use crate::content::{assert_same, compare_at_random, noise};
use crate::lot::seed;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, tool};

crate::promises![Embedded:
    what_was_read_is_read_from_the_disk_by_the_next_mount,
    what_was_read_right_before_the_unmount_is_sealed,
    what_is_on_the_disk_is_not_read_of_images_that_may_not_be_read,
    a_byte_that_was_flipped_on_the_disk_is_never_read,
    a_mount_that_is_killed_while_it_keeps_an_image_leaves_only_right_bytes,
    mounts_that_share_a_folder_read_the_right_bytes,
    a_full_disk_costs_no_reader_anything,
];

const MEBI: u64 = 1 << 20;

/// Filling a disk needs one of the test's own, which only root can have; a line on standard error says where it is not.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    let possible = !promise.name.contains("a_full_disk") || unsafe { libc::geteuid() } == 0;
    if !possible {
        eprintln!("a full disk is not tried: that needs root");
    }
    possible
}

/// A mount that keeps images in the folder `folder` of the test; what it shows is as old as the question.
fn keeping(target: &Target, folder: &str) -> Mount {
    let folder = format!("--cache-dir={}", target.file(folder).display());
    target.mount_with("demo", &[&folder, "--ttl=0s"])
}

fn sent(target: &Target) -> u64 {
    target.server(|server| server.traffic().body_bytes_sent)
}

#[track_caller]
fn assert_whole(mount: &Mount, id: &str, original: &[u8], what: &str) {
    assert_same(&fs::read(mount.data(id)).unwrap(), original, what);
    assert_eq!(attribute(&mount.data(id), "user.glancefs.verified").as_deref(), Some("yes"), "{what}");
}

/// The files with images' bytes in a cache.
fn kept_files(folder: &Path) -> Vec<PathBuf> {
    let found =
        printed("find", [folder.as_os_str(), "-type".as_ref(), "f".as_ref(), "-name".as_ref(), "data".as_ref()]);
    found.lines().map(PathBuf::from).collect()
}

fn what_was_read_is_read_from_the_disk_by_the_next_mount(target: &Target) {
    let original = noise(30, (9 << 20) + 123);
    for ranges in [Ranges::Honoured, Ranges::Refused] {
        let id = target.filled(&target.person("demo"), &json!({}), &original);
        target.behave(|behaviour| behaviour.ranges = ranges);
        let mount = keeping(target, "kept");
        assert_whole(&mount, &id, &original, "while it is kept");
        mount.end();
        let before = sent(target);
        for time in ["first", "second"] {
            let mount = keeping(target, "kept");
            compare_at_random(&mount.data(&id), &original, 100, seed());
            assert_whole(&mount, &id, &original, &format!("by the {time} mount after it"));
            mount.end();
        }
        println!("{ranges:?}: {} bytes of {} were fetched again", sent(target) - before, original.len());
        assert_eq!(sent(target), before, "{ranges:?}");
    }
}

fn what_was_read_right_before_the_unmount_is_sealed(target: &Target) {
    let original = noise(36, (24 << 20) + 123);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    // All of it, and all but the last byte: then it is complete on disk, and not compared with its hash yet.
    for part in [original.len(), original.len() - 1] {
        let folder = format!("kept-{part}");
        let mount = keeping(target, &folder);
        let mut found = vec![0; part];
        File::open(mount.data(&id)).unwrap().read_exact_at(&mut found, 0).unwrap();
        mount.end();
        let files = kept_files(&target.file(&folder));
        // Only what is sealed is named by its hash.
        let name = files[0].parent().unwrap().file_name().unwrap().to_string_lossy();
        assert!(name.starts_with("sha512-"), "{part} bytes of {}: {files:?}", original.len());
    }
}

fn what_is_on_the_disk_is_not_read_of_images_that_may_not_be_read(target: &Target) {
    let demo = target.person("demo");
    let original = noise(31, 3 << 20);
    let [deactivated, deleted] = [(); 2].map(|()| target.filled(&demo, &json!({}), &original));
    let mount = keeping(target, "kept");
    for id in [&deactivated, &deleted] {
        assert_whole(&mount, id, &original, "while it may be read");
    }
    target.wait(demo.act(&deactivated, "deactivate")).is(204);
    target.delete(&demo, &deleted);
    let errno = |mount: &Mount, id| File::open(mount.data(id)).unwrap_err().raw_os_error();
    let refused = |mount: &Mount| [errno(mount, &deactivated), errno(mount, &deleted)];
    assert_eq!(refused(&mount), [Some(libc::EACCES), Some(libc::ENOENT)]);
    mount.end();
    let mount = keeping(target, "kept");
    assert_eq!(refused(&mount), [Some(libc::EACCES), Some(libc::ENOENT)]);
    target.wait(demo.act(&deactivated, "reactivate")).is(204);
    assert_whole(&mount, &deactivated, &original, "when it may be read again");
    mount.end();
}

fn a_byte_that_was_flipped_on_the_disk_is_never_read(target: &Target) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let original = noise(32, (9 << 20) + 123);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    for part in [original.len(), 5 << 20] {
        let folder = format!("kept-{part}");
        let mount = keeping(target, &folder);
        // All of it, which is sealed then, and a part, which is not.
        let mut found = vec![0; part];
        File::open(mount.data(&id)).unwrap().read_exact_at(&mut found, 0).unwrap();
        mount.end();
        let files = kept_files(&target.file(&folder));
        assert_eq!(files.len(), 1, "{files:?}");
        let file = File::options().read(true).write(true).open(&files[0]).unwrap();
        for _ in 0..5 {
            let at = random.u64(..part as u64);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << random.u32(..8))], at).unwrap();
        }
        drop(file);
        let mount = keeping(target, &folder);
        compare_at_random(&mount.data(&id), &original, 200, seed);
        assert_whole(&mount, &id, &original, "with flipped bytes on the disk");
        mount.end();
    }
}

fn a_mount_that_is_killed_while_it_keeps_an_image_leaves_only_right_bytes(target: &Target) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let original = noise(33, (12 << 20) + 123);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let rounds = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 40 } else { 4 };
    for round in 0..rounds {
        let mount = keeping(target, "kept");
        let file = File::open(mount.data(&id)).unwrap();
        // What is read by then is right, and what is still under way is cut.
        let enough = random.usize(..original.len());
        let mut found = vec![0; enough];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_same(&found, &original[..enough], &format!("round {round}, seed {seed}"));
        mount.kill(Some(file));
        if round % 2 == 0 {
            let mount = keeping(target, "kept");
            compare_at_random(&mount.data(&id), &original, 100, seed);
            mount.kill(None);
        }
    }
    let mount = keeping(target, "kept");
    assert_whole(&mount, &id, &original, &format!("after {rounds} kills, seed {seed}"));
    mount.end();
}

fn mounts_that_share_a_folder_read_the_right_bytes(target: &Target) {
    let seed = seed();
    let original = noise(34, (9 << 20) + 123);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mounts = [keeping(target, "kept"), keeping(target, "kept")];
    std::thread::scope(|scope| {
        for (mount, number) in mounts.iter().zip(0..) {
            let (id, original) = (&id, &original);
            scope.spawn(move || {
                compare_at_random(&mount.data(id), original, 100, seed.wrapping_add(number));
                assert_whole(mount, id, original, "among two");
            });
        }
    });
    for mount in mounts {
        mount.end();
    }
}

/// A disk in memory of this many bytes, which is unmounted when the test ends.
struct Disk(PathBuf);

impl Disk {
    fn of(target: &Target, bytes: u64) -> Self {
        let point = target.file("disk");
        fs::create_dir(&point).unwrap();
        let size = format!("size={bytes}");
        printed(
            "mount",
            ["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "none".as_ref(), point.as_os_str()],
        );
        Self(point)
    }

    /// Takes all the space that is left.
    fn fill(&self, name: &str) {
        let mut file = File::create(self.0.join(name)).unwrap();
        let error = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool("umount", ["-l".as_ref(), self.0.as_os_str()]);
    }
}

fn a_full_disk_costs_no_reader_anything(target: &Target) {
    let original = noise(35, (24 << 20) + 123);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    // Less than the image, so that the cache has to do with what there is.
    let disk = Disk::of(target, 16 * MEBI);
    let mount = keeping(target, "disk/kept");
    assert_whole(&mount, &id, &original, "on a disk that is smaller than the image");
    mount.end();
    let mount = keeping(target, "disk/kept");
    let file = File::open(mount.data(&id)).unwrap();
    let mut found = vec![0; 20 << 20];
    let (head, tail) = found.split_at_mut(3 << 20);
    file.read_exact_at(head, 0).unwrap();
    disk.fill("others");
    file.read_exact_at(tail, 3 << 20).unwrap();
    assert_same(&found, &original[..20 << 20], "while others fill the disk");
    drop(file);
    mount.end();
    let mount = keeping(target, "disk/kept");
    assert_whole(&mount, &id, &original, "on a disk that is full");
    mount.end();
}
