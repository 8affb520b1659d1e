//! Real images, as the tools that are made for them read them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::content::{compare_with_file_at_random, noise};
use crate::lot::seed;
use crate::target::{Service, Target};
use crate::tools::{attribute, printed, shell};
use crate::{Promise, Services};

crate::promises![EveryStore:
    real_images_are_what_the_originals_are,
    an_image_of_two_gibibytes_is_copied_verified_and_read_at_random,
];

/// The package grub-rescue-pc brings it.
const RESCUE_ISO: &str = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso";
/// Larger ones are for the promise about large ones.
const SMALL: u64 = 256 << 20;
const LARGE: u64 = 2 << 30;

/// Whether there is time for a promise. 2 GiB go through every service with `GLANCEFS_TEST_LONG`, and through the real
/// one also where test images are at hand.
pub(crate) fn is_worth_it(promise: &Promise, service: &Service) -> bool {
    let large = promise.on == Services::EveryStore && promise.name.starts_with("an_image_of_two_gibibytes");
    let real = matches!(service, Service::Real(_)) && folder().is_some();
    !large || real || std::env::var_os("GLANCEFS_TEST_LONG").is_some()
}

/// The folder that scripts/test-images fills.
fn folder() -> Option<PathBuf> {
    std::env::var_os("GLANCEFS_TEST_IMAGES").map(PathBuf::from)
}

fn files_of_folder() -> Vec<PathBuf> {
    let entries = folder().into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let is_image = |path: &PathBuf| path.is_file() && !path.file_name().unwrap().to_str().unwrap().starts_with('.');
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(is_image).collect();
    files.sort();
    files
}

fn length(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

/// Test images of moderate size, or what can be made without them.
fn small_images(target: &Target) -> Vec<PathBuf> {
    let files: Vec<_> = files_of_folder().into_iter().filter(|file| length(file) <= SMALL).collect();
    if !files.is_empty() {
        return files;
    }
    let mut iso = target.file("rescue.iso");
    if fs::copy(RESCUE_ISO, &iso).is_err() {
        iso = target.file_with("rescue.raw", noise(20, 5_081_088));
    }
    let disk = target.file("disk.qcow2");
    printed("qemu-img", ["convert", "-c", "-f", "raw", "-O", "qcow2", iso.to_str().unwrap(), disk.to_str().unwrap()]);
    vec![iso, disk]
}

fn real_images_are_what_the_originals_are(target: &Target) {
    let demo = target.person("demo");
    let images = small_images(target).into_iter().map(|file| {
        let (format, container) = formats(&file);
        let name = target.name(file.file_name().unwrap().to_str().unwrap());
        let id = target.filled_from(
            &demo,
            &json!({"name": name, "disk_format": format, "container_format": container}),
            &file,
        );
        (file, id, name)
    });
    let images: Vec<_> = images.collect();
    let mount = target.mount("demo");
    for (original, id, name) in images {
        let data = mount.path("by-name").join(&name).join("data");
        assert_eq!(about(&data), about(&original), "{}", original.display());
        compare_with_file_at_random(&data, &original, 500, seed());
        copy_and_compare(target, &data, &original);
        assert_eq!(shell(&mount.path("by-id").join(id), "cksum -c checksums"), "data: OK\ndata: OK\n");
        let [left, right] = [&data, &original].map(|path| path.to_str().unwrap());
        assert_eq!(printed("qemu-img", ["compare", left, right]), "Images are identical.\n");
    }
    mount.end();
}

/// The disk and the container format. The service refuses bytes that contradict them, and takes the boot signature of a
/// kernel for a damaged partition table; into an ovf container it does not look.
fn formats(file: &Path) -> (&'static str, &'static str) {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("qcow2") => ("qcow2", "bare"),
        Some("iso") => ("iso", "bare"),
        _ => ("raw", "ovf"),
    }
}

/// What `file` and `qemu-img info` say of it, but for its own name.
fn about(path: &Path) -> (String, Value, Value) {
    let kind = printed("file", ["--brief".as_ref(), path.as_os_str()]);
    let info = printed("qemu-img", ["info".as_ref(), "--output=json".as_ref(), path.as_os_str()]);
    let info: Value = serde_json::from_str(&info).unwrap();
    (kind, info["format"].clone(), info["virtual-size"].clone())
}

fn copy_and_compare(target: &Target, data: &Path, original: &Path) {
    let copy = target.file("copy");
    printed("cp", [data, &copy]);
    printed("cmp", [copy.as_path(), original]);
    fs::remove_file(copy).unwrap();
    assert_eq!(attribute(data, "user.glancefs.verified").as_deref(), Some("yes"));
}

fn an_image_of_two_gibibytes_is_copied_verified_and_read_at_random(target: &Target) {
    let original = files_of_folder().into_iter().find(|file| length(file) >= LARGE);
    let original = original.unwrap_or_else(|| islands_of_noise(&target.file("large")));
    let id = target.filled_from(&target.person("demo"), &json!({}), &original);
    let mount = target.mount("demo");
    let data = mount.data(&id);
    assert_eq!(length(&data), length(&original));
    compare_with_file_at_random(&data, &original, 200, seed());
    copy_and_compare(target, &data, &original);
    mount.end();
}

/// A file of 2 GiB and a bit that takes little room on the disk.
fn islands_of_noise(path: &Path) -> PathBuf {
    let file = File::create(path).unwrap();
    for number in 0..=64 {
        file.write_all_at(&noise(number, 70_001), number * (LARGE / 64)).unwrap();
    }
    path.to_owned()
}
