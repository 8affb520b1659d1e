//! Threads and real processes that share a folder, and are killed in the middle of what they do.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::super::testing::{Sample, hashed};
use super::super::{BLOCK, DiskCache, DiskImage, DiskSettings};

/// Tells a child its folder and its seed.
const FOLDER: &str = "GLANCEFS_TEST_DISK_FOLDER";
const SEED: &str = "GLANCEFS_TEST_DISK_SEED";

/// Less than all samples together, and than the largest alone: there is eviction and punching.
const SIZE: u64 = 20 * BLOCK;

/// The images that the children read and write: the first two have the same bytes, the last is too large for the cache.
fn samples() -> Vec<Sample> {
    let sample = |number: u64, bytes: u64, size: u64| {
        let image = format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap();
        Sample::of(hashed(image, size, "sha512", &format!("{bytes:0>128x}")), bytes)
    };
    vec![
        sample(1, 7, 5 * BLOCK + 5),
        sample(2, 7, 5 * BLOCK + 5),
        sample(3, 8, 2 * BLOCK),
        sample(4, 9, 24 * BLOCK + 4097),
    ]
}

fn cache(folder: &Path) -> DiskCache {
    DiskCache::open(&DiskSettings { folder: folder.to_owned(), size: SIZE, floor: Some(0) }).unwrap()
}

/// One thing that a reader's program may do with an image; whatever it reads has to be right.
fn step(cache: &DiskCache, sample: &Sample, image: &DiskImage, random: &mut fastrand::Rng) {
    let first = random.u64(..sample.content.blocks());
    let count = random.u64(1..=8).min(sample.content.blocks() - first);
    match random.u32(..100) {
        0..45 => _ = sample.reads_run(image, first, count),
        45..90 => _ = image.write(first, sample.run(first, count)),
        90..95 => _ = image.write(0, &sample.bytes),
        95..98 => drop(image.seal(&sample.proof())),
        98 => _ = image.punch(random.u64(..10 * BLOCK)),
        _ => cache.forget(&sample.content),
    }
}

/// What a child does until it is killed, or for so many steps; each is told to the parent.
fn play(cache: &DiskCache, samples: &[Sample], seed: u64, steps: u32, told: &mut dyn Write) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut open: Vec<Option<Arc<DiskImage>>> = vec![None; samples.len()];
    for _ in 0..steps {
        let number = random.usize(..samples.len());
        if random.u32(..8) == 0 {
            open[number] = None;
        }
        if open[number].is_none() {
            open[number] = cache.image(&samples[number].content).ok();
        }
        if let Some(image) = &open[number] {
            step(cache, &samples[number], image, &mut random);
        }
        told.write_all(b".").unwrap();
    }
}

/// Not a promise of its own: where a test beside it starts this program again, this is the child.
#[test]
fn child() {
    if let (Some(folder), Ok(seed)) = (std::env::var_os(FOLDER), std::env::var(SEED)) {
        let (cache, told) = (cache(Path::new(&folder)), &mut std::io::stderr());
        play(&cache, &samples(), seed.parse().unwrap(), 150, told);
    }
}

/// A running child.
struct Player {
    child: Child,
    seed: u64,
}

impl Player {
    fn start(folder: &Path, seed: u64) -> Self {
        let name = concat!(module_path!(), "::child").split_once("::").unwrap().1;
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(FOLDER, folder)
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, seed }
    }

    /// Waits until it has done so many steps, or has ended.
    fn after(&mut self, steps: usize) {
        let told = self.child.stderr.as_mut().unwrap();
        let mut byte = [0];
        for _ in 0..steps {
            if told.read(&mut byte).unwrap() == 0 {
                return;
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, which is a good one.
    fn end(self) {
        let seed = self.seed;
        let end = self.child.wait_with_output().unwrap();
        assert!(end.status.success(), "the child with seed {seed} says: {}", String::from_utf8_lossy(&end.stderr));
    }
}

/// Reads everything that is in the folder, which has to be right. Answers the number of blocks that were there.
fn check(folder: &Path, samples: &[Sample]) -> usize {
    let cache = cache(folder);
    let here = |sample: &Sample| cache.image(&sample.content).map_or(0, |image| sample.readable(&image).len());
    samples.iter().map(here).sum()
}

fn rounds(short: u64, long: u64) -> std::ops::Range<u64> {
    let rounds = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { long } else { short };
    let first = fastrand::u64(..1 << 32);
    println!("seeds from {first} on");
    first..first + rounds
}

#[test]
fn a_killed_process_leaves_no_block_that_reads_wrongly() {
    let place = tempfile::tempdir().unwrap();
    let (folder, samples) = (place.path().join("cache"), samples());
    let mut here = 0;
    for seed in rounds(8, 100) {
        let mut player = Player::start(&folder, seed);
        player.after(fastrand::Rng::with_seed(seed).usize(1..100));
        player.kill();
        here += check(&folder, &samples);
    }
    assert!(here > 0, "there was something to check");
}

#[test]
fn threads_that_share_an_image_never_read_wrong_bytes() {
    let place = tempfile::tempdir().unwrap();
    let (cache, samples) = (cache(&place.path().join("cache")), samples());
    for seed in rounds(2, 40) {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (cache, samples) = (&cache, &samples);
                scope.spawn(move || play(cache, samples, 4 * seed + thread, 100, &mut std::io::sink()));
            }
        });
        let used = cache.usage().unwrap();
        assert!(used.bytes <= SIZE + SIZE / 2, "{used:?}, seed {seed}");
    }
}

#[test]
fn processes_that_share_a_folder_never_read_wrong_bytes_also_when_one_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let (folder, samples) = (place.path().join("cache"), samples());
    for seed in rounds(3, 40) {
        let mut killed = Player::start(&folder, 3 * seed);
        let others = [1, 2].map(|other| Player::start(&folder, 3 * seed + other));
        killed.after(fastrand::Rng::with_seed(seed).usize(1..100));
        killed.kill();
        others.into_iter().for_each(Player::end);
        check(&folder, &samples);
        let used = cache(&folder).usage().unwrap();
        assert!(used.bytes <= SIZE + SIZE / 2, "{used:?}, seed {seed}");
    }
}
