//! How much memory the program takes.

use std::fs::File;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use serde_json::json;

use glancefs::read::{CONNECTION, Division};
use glancefs::server::Ranges;

use crate::content::{assert_same, noise};
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::printed;

crate::promises![Embedded:
    ten_readers_of_ten_images_stay_within_the_budget,
    ten_readers_of_ten_streams_stay_within_the_budget,
    sixteen_requests_at_once_stay_within_the_budget,
    twenty_uploads_at_once_stay_within_the_budget,
];

const MEBI: u64 = 1 << 20;
const BUDGET: u64 = 32 * MEBI;
/// What the program may hold besides image data: itself, buffers of the kernel's requests, threads, and what the allocator
/// keeps for itself.
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

fn sixteen_requests_at_once_stay_within_the_budget(target: &Target) {
    const REQUESTS: u64 = 16;
    const PART: u64 = 11 * MEBI;
    // The least with which so many are made.
    let budget = 8 * REQUESTS * CONNECTION;
    assert_eq!(Division::of(budget, 16).requests, 16);
    let original = target.file("original");
    // Zeros that take no room on the disk.
    File::create(&original).unwrap().set_len(PART).unwrap();
    let demo = target.person("demo");
    let ids: Vec<_> = (0..REQUESTS).map(|_| target.filled_from(&demo, &json!({}), &original)).collect();
    let mount = target.mount_with("demo", &[&format!("--memory={budget}")]);
    let (idle, mut most) = (mount.sockets(), 0);
    let files: Vec<_> = ids.iter().map(|id| File::open(mount.data(id)).unwrap()).collect();
    // So long that all have asked before the first is answered.
    target.behave(|behaviour| behaviour.latency = Duration::from_millis(300));
    std::thread::scope(|scope| {
        let read = |mut file| scope.spawn(move || std::io::copy(&mut file, &mut std::io::sink()).unwrap());
        let readers: Vec<_> = files.into_iter().map(read).collect();
        while !readers.iter().all(ScopedJoinHandle::is_finished) {
            most = most.max(mount.sockets() - idle);
            std::thread::yield_now();
        }
    });
    let peak = mount.memory("VmHWM");
    let besides = peak.saturating_sub(budget);
    println!("{most} connections; {} MiB beside the budget of {} MiB", besides / MEBI, budget / MEBI);
    assert!(most >= REQUESTS, "{most} connections");
    // Connections are in the budget: there is room to spare beside it.
    assert!(besides < BESIDES - 8 * MEBI, "{} MiB", besides / MEBI);
    mount.end();
}

fn twenty_uploads_at_once_stay_within_the_budget(target: &Target) {
    const UPLOADS: usize = 20;
    let (demo, bytes) = (target.person("demo"), noise(60, 16 << 20));
    let source = target.file_with("source", &bytes);
    let ids: Vec<_> = (0..UPLOADS).map(|_| target.image(&demo, &json!({}))).collect();
    // Reading has filled what it may hold.
    let image = target.filled(&demo, &json!({}), &noise(61, 40 << 20));
    let mount = target.mount_with("demo", &["--memory=32MiB"]);
    read_all(&mount, &[image], &[noise(61, 40 << 20)]);
    let before = mount.memory("VmHWM");
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| printed("cp", [source.as_path(), &mount.data(id)]));
        }
    });
    let peak = mount.memory("VmHWM");
    println!("{} MiB before, at most {} MiB with a budget of 32 MiB", before / MEBI, peak / MEBI);
    assert!(peak < BUDGET + BESIDES, "{} MiB", peak / MEBI);
    for id in &ids {
        assert_eq!(target.wait(demo.show(id))["status"], "active");
    }
    mount.end();
}

fn read_all(mount: &Mount, ids: &[String], images: &[Vec<u8>]) {
    std::thread::scope(|scope| {
        for (id, data) in ids.iter().zip(images) {
            scope.spawn(move || assert_same(&std::fs::read(mount.data(id)).unwrap(), data, id));
        }
    });
}
