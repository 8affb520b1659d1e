//! Readers that seek to and fro in an image of 2 GiB.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::content::{assert_same, noise};
use crate::lot::seed;
use crate::target::Target;

crate::promises![Embedded:
    a_reader_who_seeks_wildly_over_a_large_image_gets_its_bytes,
    readers_who_share_a_handle_and_seek_wildly_get_their_bytes,
];

const SIZE: u64 = (2 << 30) + 12_345;
/// Bytes of an island of noise; all around it is a sea of zeros, which takes no room on the disk.
const ISLAND: usize = 20_000;

/// An image of 2 GiB, and where in it there is noise.
struct Large {
    original: PathBuf,
    islands: Vec<u64>,
    id: String,
    seed: u64,
}

impl Large {
    fn new(target: &Target) -> Self {
        let seed = seed();
        let mut random = fastrand::Rng::with_seed(seed);
        let last = SIZE - ISLAND as u64;
        let islands: Vec<_> = [0, last].into_iter().chain((0..300).map(|_| random.u64(..last))).collect();
        let original = target.file("large.raw");
        let file = File::create(&original).unwrap();
        file.set_len(SIZE).unwrap();
        for island in &islands {
            file.write_all_at(&noise(*island, ISLAND), *island).unwrap();
        }
        let id = plant(target, &original);
        Self { original, islands, id, seed }
    }

    /// A place to read at and how much: at the beginning, in the middle or at the end of an island.
    fn draw(&self, random: &mut fastrand::Rng) -> (u64, usize) {
        let island = *random.choice(&self.islands).unwrap();
        let at = island.saturating_sub(random.u64(..5000)) + random.u64(..ISLAND as u64);
        let longest = 1 << random.u32(0..=19);
        (at, random.usize(1..=longest))
    }

    #[track_caller]
    fn compare(&self, at: u64, found: &[u8], original: &File) {
        let mut expected = vec![0; found.len()];
        let count = original.read_at(&mut expected, at).unwrap();
        assert_same(found, &expected[..count], &format!("{} bytes at {at}, seed {}", found.len(), self.seed));
    }
}

/// Puts a file in the place of an image's bytes, without sending it. Its hash stays that of others, which only a reader
/// of the whole would notice.
fn plant(target: &Target, file: &Path) -> String {
    let id = target.filled(&target.person("demo"), &json!({}), b"x");
    let settings = target.stop();
    let folder = settings.folder.join("images").join(&id);
    fs::remove_file(folder.join("data")).unwrap();
    fs::hard_link(file, folder.join("data")).unwrap();
    let record = folder.join("image.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    document["data"]["size"] = json!(file.metadata().unwrap().len());
    fs::write(record, document.to_string()).unwrap();
    target.start(settings);
    id
}

fn reads() -> usize {
    if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 10_000 } else { 150 }
}

fn a_reader_who_seeks_wildly_over_a_large_image_gets_its_bytes(target: &Target) {
    let large = Large::new(target);
    let mount = target.mount("demo");
    let mut file = File::open(mount.data(&large.id)).unwrap();
    let original = File::open(&large.original).unwrap();
    let mut random = fastrand::Rng::with_seed(large.seed);
    for _ in 0..reads() {
        let (at, length) = large.draw(&mut random);
        // Some go on for a while where they are, so that a sequence is begun and left again.
        for piece in 0..random.u64(1..4) {
            let at = at + piece * length as u64;
            let mut found = Vec::new();
            file.seek(SeekFrom::Start(at)).unwrap();
            (&file).take(length as u64).read_to_end(&mut found).unwrap();
            let due = usize::try_from(SIZE.saturating_sub(at)).unwrap().min(length);
            assert_eq!(found.len(), due, "{length} bytes at {at}, seed {}", large.seed);
            large.compare(at, &found, &original);
        }
    }
    drop(file);
    mount.end();
}

fn readers_who_share_a_handle_and_seek_wildly_get_their_bytes(target: &Target) {
    let large = Large::new(target);
    // Little memory, so that blocks are given up while others read.
    let mount = target.mount_with("demo", &["--memory=32MiB"]);
    let file = File::open(mount.data(&large.id)).unwrap();
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (large, file) = (&large, &file);
            scope.spawn(move || {
                let original = File::open(&large.original).unwrap();
                let mut random = fastrand::Rng::with_seed(large.seed.wrapping_add(reader));
                for _ in 0..reads() / 3 {
                    let (at, length) = large.draw(&mut random);
                    let mut found = vec![0; length];
                    let count = file.read_at(&mut found, at).unwrap();
                    large.compare(at, &found[..count], &original);
                }
            });
        }
    });
    drop(file);
    mount.end();
}
