//! How much memory the program takes.

use serde_json::json;

use glancefs::server::Ranges;

use crate::content::{assert_same, noise};
use crate::mounted::Mount;
use crate::target::Target;

crate::promises![Embedded:
    ten_readers_of_ten_images_stay_within_the_budget,
    ten_readers_of_ten_streams_stay_within_the_budget,
];

const MEBI: u64 = 1 << 20;
const BUDGET: u64 = 32 * MEBI;
/// What the program may hold besides image data: itself, buffers of connections and of the kernel's requests, threads, and
/// what the allocator keeps for itself.
const BESIDES: u64 = 48 * MEBI;

fn ten_readers_of_ten_images_stay_within_the_budget(target: &Target) {
    ten_readers(target);
}

fn ten_readers_of_ten_streams_stay_within_the_budget(target: &Target) {
    target.behave(|behaviour| behaviour.ranges = Ranges::Refused);
    ten_readers(target);
}

fn ten_readers(target: &Target) {
    let demo = target.person("demo");
    // Together four times the budget.
    let images: Vec<_> = (0..10).map(|number| noise(number, 13 << 20)).collect();
    let ids: Vec<_> = images.iter().map(|data| target.filled(&demo, &json!({}), data)).collect();
    let mount = target.mount_with("demo", &["--memory=32MiB"]);
    let idle = mount.memory("VmHWM");
    read_all(&mount, &ids, &images);
    let peak = mount.memory("VmHWM");
    println!("idle {} MiB, at most {} MiB with a budget of 32 MiB", idle / MEBI, peak / MEBI);
    assert!(peak < BUDGET + BESIDES, "{} MiB beyond the {} MiB of an idle mount", (peak - idle) / MEBI, idle / MEBI);
    mount.end();
}

fn read_all(mount: &Mount, ids: &[String], images: &[Vec<u8>]) {
    std::thread::scope(|scope| {
        for (id, data) in ids.iter().zip(images) {
            scope.spawn(move || assert_same(&std::fs::read(mount.data(id)).unwrap(), data, id));
        }
    });
}
