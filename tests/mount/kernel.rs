//! What the kernel keeps of images, and what it does not.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use serde_json::json;

use crate::content::{assert_same, compare_at_random, noise};
use crate::lot::seed;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool};

crate::promises![Embedded:
    no_page_of_a_damaged_image_is_left,
    a_second_reading_moves_nothing,
    who_reads_around_the_page_cache_leaves_it_to_others,
    a_file_that_is_read_directly_can_be_mapped_too,
];

fn sent(target: &Target) -> u64 {
    target.server(|server| server.traffic().body_bytes_sent)
}

/// Reads until a read fails, and answers what it fails with.
fn fails_with(file: &File, place: impl Fn(usize) -> u64) -> Option<i32> {
    let mut part = vec![0; 1 << 16];
    (0..).find_map(|turn| file.read_at(&mut part, place(turn)).err()).and_then(|error| error.raw_os_error())
}

fn no_page_of_a_damaged_image_is_left(target: &Target) {
    let original = noise(61, (20 << 20) + 17);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount("demo");
    target.behave(|behaviour| behaviour.corrupt = true);
    let data = mount.data(&id);
    let before = File::open(&data).unwrap();
    before.read_exact_at(&mut [0; 4096], 0).unwrap();
    let ran = tool("cp", [&data, &target.file("copy")]);
    assert!(ran.code == Some(1) && ran.err.contains("Input/output error"), "{ran:?}");

    // The kernel had the first bytes in its cache. It is told to drop them beside the answer to the last read.
    assert_eq!(fails_with(&before, |_| 0), Some(libc::EIO));
    assert_eq!(attribute(&data, "user.glancefs.verified").as_deref(), Some("no"));
    // Through handles that are opened from now on, each read is asked of us, and a whole one fails again.
    let after = File::open(&data).unwrap();
    assert_eq!(fails_with(&after, |turn| turn as u64 * (1 << 16)), Some(libc::EIO));

    // What was damaged on the way is read again, and is as good as any other image once it is verified.
    target.behave(|behaviour| behaviour.corrupt = false);
    assert_same(&fs::read(&data).unwrap(), &original, "once the service is in order");
    assert_eq!(attribute(&data, "user.glancefs.verified").as_deref(), Some("yes"));
    assert_same(&fs::read(&data).unwrap(), &original, "through the page cache");
}

fn a_second_reading_moves_nothing(target: &Target) {
    let original = noise(62, 48 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    // More than the blocks that memory holds: it is the kernel that keeps it.
    let mount = target.mount_with("demo", &["--memory=32MiB"]);
    printed("cp", [mount.data(&id), target.file("copy")]);
    let before = sent(target);
    printed("cp", [mount.data(&id), target.file("copy")]);
    // A kernel that is short of memory may drop a few pages between the two. Without them all, what memory cannot hold
    // would be fetched: 16 MiB at least.
    let again = sent(target) - before;
    assert!(again <= 2 << 20, "{again}");
    assert_same(&fs::read(target.file("copy")).unwrap(), &original, "the second copy");
}

fn who_reads_around_the_page_cache_leaves_it_to_others(target: &Target) {
    let original = noise(63, 40 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount_with("demo", &["--memory=32MiB"]);
    assert_same(&fs::read(mount.data(&id)).unwrap(), &original, "the first reading");
    let before = sent(target);
    printed(
        "dd",
        [
            &format!("if={}", mount.data(&id).display()),
            "of=/dev/null",
            "bs=4k",
            "count=1",
            "skip=10000",
            "iflag=direct",
            "status=none",
        ],
    );
    let fetched = sent(target) - before;
    compare_at_random(&mount.data(&id), &original, 100, seed());
    // The kernel may be short of memory; without its pages, a fifth of these reads would fetch a block or two.
    let again = sent(target) - before - fetched;
    assert!(again <= 1 << 20, "{again}: the pages of the first reading are there still");
}

fn a_file_that_is_read_directly_can_be_mapped_too(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), &noise(64, 3 << 20));
    let mount = target.mount("demo");
    let script = "import mmap, os\n\
                  direct = os.open('data', os.O_RDONLY | os.O_DIRECT)\n\
                  page = mmap.mmap(direct, 0, prot=mmap.PROT_READ)\n\
                  assert page[:4096] == open('data', 'rb').read(4096)\n\
                  buffer = mmap.mmap(-1, 4096)\n\
                  assert os.preadv(direct, [buffer], 1 << 20) == 4096\n\
                  assert buffer[:] == page[1 << 20:(1 << 20) + 4096]";
    shell(mount.data(&id).parent().unwrap(), &format!("python3 -c \"{script}\""));
}
