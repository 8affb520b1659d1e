//! What reading costs on the wire.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use glancefs::server::Ranges;
use serde_json::json;

use crate::content::{assert_same, noise};
use crate::target::Target;
use crate::tools::{printed, shell};

crate::promises![Embedded:
    a_small_read_of_a_large_image_moves_little,
    a_whole_copy_moves_each_byte_once,
    ten_readers_of_one_image_move_its_bytes_once,
    bytes_that_were_read_are_not_fetched_again,
    looking_at_images_moves_none_of_their_bytes,
    a_listing_of_many_images_costs_few_requests,
];

const MEBI: u64 = 1 << 20;

fn sent(target: &Target) -> u64 {
    target.server(|server| server.traffic().body_bytes_sent)
}

fn a_small_read_of_a_large_image_moves_little(target: &Target) {
    let original = target.file("original");
    // Zeros that take no room on the disk, and a mark at every place that is read.
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&original).unwrap();
    file.set_len(256 * MEBI).unwrap();
    let places = [0, 64 * MEBI - 2048, 100 * MEBI + 512 * 1024 - 1, 177 * MEBI + 13, 256 * MEBI - 4096];
    for (number, place) in places.into_iter().enumerate() {
        file.write_all_at(&noise(number as u64, 4096), place).unwrap();
    }
    let id = target.filled_from(&target.person("demo"), &json!({}), &original);
    for (number, place) in places.into_iter().enumerate() {
        // A mount for each, so that no read profits from another.
        let mount = target.mount("demo");
        let before = sent(target);
        let mut found = vec![0; 4096];
        File::open(mount.data(&id)).unwrap().read_exact_at(&mut found, place).unwrap();
        assert_same(&found, &noise(number as u64, 4096), &format!("4 KiB at {place}"));
        mount.end();
        let moved = sent(target) - before;
        println!("4 KiB at {place} moved {moved} bytes");
        assert!(moved < 2 * MEBI, "4 KiB at {place} moved {moved} bytes");
    }
}

fn a_whole_copy_moves_each_byte_once(target: &Target) {
    let original = noise(5, 24 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount("demo");
    let before = sent(target);
    printed("cp", [mount.data(&id), target.file("copy")]);
    assert_same(&std::fs::read(target.file("copy")).unwrap(), &original, "the copy");
    let moved = sent(target) - before;
    println!("a copy of {} bytes moved {moved}", original.len());
    assert!(moved <= original.len() as u64 + MEBI, "{moved}");
}

fn ten_readers_of_one_image_move_its_bytes_once(target: &Target) {
    let demo = target.person("demo");
    for (ranges, seed) in [(Ranges::Honoured, 7), (Ranges::Refused, 8)] {
        target.behave(|behaviour| behaviour.ranges = ranges);
        let original = noise(seed, (24 << 20) + 777);
        let id = target.filled(&demo, &json!({}), &original);
        let mount = target.mount("demo");
        let before = sent(target);
        std::thread::scope(|scope| {
            for reader in 0..10 {
                // Half of them past the kernel's cache, so that it is not the kernel's work alone.
                let flags = if reader % 2 == 0 { 0 } else { libc::O_DIRECT };
                let (data, original) = (mount.data(&id), &original);
                scope.spawn(move || {
                    let mut found = Vec::new();
                    let file = File::options().read(true).custom_flags(flags).open(data);
                    file.unwrap().read_to_end(&mut found).unwrap();
                    assert_same(&found, original, &format!("reader {reader} with ranges {ranges:?}"));
                });
            }
        });
        let moved = sent(target) - before;
        println!("ten readers of {} bytes with ranges {ranges:?} moved {moved}", original.len());
        assert!(moved <= original.len() as u64 + MEBI, "{moved}");
        mount.end();
    }
}

fn bytes_that_were_read_are_not_fetched_again(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), &noise(6, 5 << 20));
    let mount = target.mount("demo");
    let copy = || {
        printed(
            "dd",
            [&format!("if={}", mount.data(&id).display()), "of=/dev/null", "bs=1M", "iflag=direct", "status=none"],
        )
    };
    copy();
    let before = sent(target);
    copy();
    assert_eq!(sent(target), before);
}

fn looking_at_images_moves_none_of_their_bytes(target: &Target) {
    let demo = target.person("demo");
    for number in 0..5 {
        target.filled(&demo, &json!({"name": format!("image{number}")}), &noise(number, 100_000));
    }
    let mount = target.mount("demo");
    let before = sent(target);
    shell(
        &mount.root(),
        "ls -lR . && find . -printf '%s' && du -s . && cat by-name/*/metadata.json by-name/*/checksums && df .",
    );
    assert_eq!(sent(target), before);
}

fn a_listing_of_many_images_costs_few_requests(target: &Target) {
    let demo = target.person("demo");
    // More than a default page of the service, which holds 25.
    for number in 0..120 {
        target.image(&demo, &json!({"name": format!("image{number}")}));
    }
    let mount = target.mount("demo");
    let before = target.server(|server| server.traffic().requests);
    assert_eq!(shell(&mount.root(), "ls -l by-name/* | grep -c 'metadata.json'"), "120\n");
    assert_eq!(shell(&mount.root(), "ls by-id | wc -l"), "120\n");
    let requests = target.server(|server| server.traffic().requests) - before;
    println!("listing 120 images cost {requests} requests");
    assert!(requests <= 12, "{requests} requests");
}
