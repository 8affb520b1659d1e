//! The bytes of images as tools and programs read them, whatever the store does with ranges.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use crate::content::{assert_same, compare_at_random, noise};
use crate::lot::seed;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, shell};

crate::promises![EveryStore:
    tools_copy_and_compare_every_byte,
    dd_reads_in_any_size_and_from_any_place,
    qemu_img_reads_an_image_as_it_reads_the_original,
    thousands_of_random_reads_equal_the_original,
    readers_at_once_all_get_their_bytes,
    reading_backwards_gives_the_same_bytes,
    mapped_memory_equals_the_original,
    sendfile_sends_the_same_bytes,
    reading_past_the_kernels_cache_gives_the_same_bytes,
];

/// Odd, so that the last block is short, and longer than the read-ahead.
const LENGTH: usize = 13 * 1024 * 1024 + 4321;

/// An image of noise, the same as a file, and a mount.
fn mounted(target: &Target) -> (Vec<u8>, String, Mount) {
    let original = noise(7, LENGTH);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    (original, id, target.mount("demo"))
}

fn tools_copy_and_compare_every_byte(target: &Target) {
    let (original, id, mount) = mounted(target);
    let file = target.file_with("original", &original);
    let data = mount.data(&id);
    let copy = target.file("copy");
    printed("cp", [&data, &copy]);
    assert_same(&std::fs::read(&copy).unwrap(), &original, "the copy");
    assert_eq!(attribute(&data, "user.glancefs.verified").as_deref(), Some("yes"));
    printed("cmp", [&data, &file]);
    let sums = |path: &Path| printed("md5sum", [path]).split(' ').next().unwrap().to_owned();
    assert_eq!(sums(&data), sums(&file));
    let folder = mount.path("by-id").join(&id);
    assert_eq!(shell(&folder, "cksum -c checksums"), "data: OK\ndata: OK\n");
    assert_eq!(
        shell(&folder, "tail -c 100 data | md5sum"),
        shell(target.file("").as_path(), "tail -c 100 original | md5sum")
    );
    mount.end();
}

fn dd_reads_in_any_size_and_from_any_place(target: &Target) {
    let (original, id, mount) = mounted(target);
    let folder = mount.path("by-id").join(&id);
    let out = target.file("out");
    for (size, skip, count, flags) in [
        (1, 4_194_303, 3, ""),
        (777, 5000, 900, ""),
        (4096, 0, 1, ""),
        (4096, 2048, 300, "iflag=direct"),
        (65_536, 17, 64, "iflag=nonblock"),
        (1 << 20, 9, 4, "iflag=direct"),
        (3_000_000, 1, 4, "iflag=fullblock"),
        (8 << 20, 1, 1, "iflag=fullblock"),
    ] {
        let line = format!("dd if=data of={} bs={size} skip={skip} count={count} {flags} status=none", out.display());
        shell(&folder, &line);
        let from = original.len().min(size * skip);
        let to = original.len().min(from + size * count);
        assert_same(&std::fs::read(&out).unwrap(), &original[from..to], &line);
    }
}

fn qemu_img_reads_an_image_as_it_reads_the_original(target: &Target) {
    let raw = target.file_with("raw", noise(8, 3 << 20));
    let [qcow2, copy] = ["disk.qcow2", "copy.raw"].map(|name| target.file(name));
    let raw_path = raw.to_str().unwrap();
    // The image is larger than its data, so that there are clusters which are not there.
    printed("qemu-img", ["resize", "-q", "-f", "raw", raw_path, "64M"]);
    printed("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw_path, qcow2.to_str().unwrap()]);
    let attributes = json!({"disk_format": "qcow2", "name": target.name("disk")});
    let id = target.filled_from(&target.person("demo"), &attributes, &qcow2);
    let mount = target.mount("demo");
    let data = mount.data(&id);
    let path = data.to_str().unwrap();
    let info = printed("qemu-img", ["info", "--output=json", path]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["format"], &info["virtual-size"]), (&json!("qcow2"), &json!(64 << 20)));
    assert!(printed("qemu-img", ["check", path]).contains("No errors were found"));
    printed("qemu-img", ["convert", "-O", "raw", path, copy.to_str().unwrap()]);
    printed("cmp", [&copy, &raw]);
    let compared = printed("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", raw_path, path]);
    assert!(compared.contains("Images are identical"), "{compared}");
    assert!(printed("file", ["--brief", path]).starts_with("QEMU QCOW"));
}

fn thousands_of_random_reads_equal_the_original(target: &Target) {
    let (original, id, mount) = mounted(target);
    compare_at_random(&mount.data(&id), &original, 4000, seed());
}

fn readers_at_once_all_get_their_bytes(target: &Target) {
    let (original, id, mount) = mounted(target);
    let data = mount.data(&id);
    let seed = seed();
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (data, original) = (&data, &original);
            scope.spawn(move || compare_at_random(data, original, 300, seed.wrapping_add(reader)));
        }
        for _ in 0..3 {
            let (data, original) = (&data, &original);
            scope.spawn(move || assert_same(&std::fs::read(data).unwrap(), original, "a whole read among others"));
        }
    });
    mount.end();
}

fn reading_backwards_gives_the_same_bytes(target: &Target) {
    let (original, id, mount) = mounted(target);
    let mut file = File::open(mount.data(&id)).unwrap();
    let step = 300_000;
    for from in (0..original.len()).step_by(step).rev() {
        let mut found = vec![0; step.min(original.len() - from)];
        file.seek(SeekFrom::Start(from as u64)).unwrap();
        file.read_exact(&mut found).unwrap();
        assert_same(&found, &original[from..from + found.len()], &format!("backwards at {from}"));
    }
}

fn mapped_memory_equals_the_original(target: &Target) {
    let (original, id, mount) = mounted(target);
    let file = File::open(mount.data(&id)).unwrap();
    // SAFETY: a new mapping at a place that the kernel chooses; it is checked before it is used.
    let address =
        unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    assert_ne!(address, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: the mapping has this length, and the bytes of an active image do not change.
    let mapped = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), LENGTH) };
    for at in [LENGTH - 1, LENGTH / 2, 0, 4096, 5 * 1024 * 1024 - 1] {
        assert_eq!(mapped[at], original[at], "byte {at}");
    }
    assert_same(mapped, &original, "the mapping");
    // SAFETY: nothing refers to the mapping any more.
    assert_eq!(unsafe { libc::munmap(address, LENGTH) }, 0);
}

fn sendfile_sends_the_same_bytes(target: &Target) {
    let (original, id, mount) = mounted(target);
    let from = File::open(mount.data(&id)).unwrap();
    let to = File::create(target.file("sent")).unwrap();
    let mut sent = 0;
    while sent < LENGTH {
        // SAFETY: two descriptors that are open, and no pointer.
        let count = unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), LENGTH) };
        assert!(count > 0, "{}", std::io::Error::last_os_error());
        sent += usize::try_from(count).unwrap();
    }
    assert_same(&std::fs::read(target.file("sent")).unwrap(), &original, "what was sent");
}

fn reading_past_the_kernels_cache_gives_the_same_bytes(target: &Target) {
    let (original, id, mount) = mounted(target);
    let mut direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(mount.data(&id)).unwrap();
    let mut found = Vec::new();
    direct.read_to_end(&mut found).unwrap();
    assert_same(&found, &original, "read directly");
}
