//! What images hold: noise that is the same each time, and readers that compare with it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// `length` bytes that no two seeds share and no compression makes smaller.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Fails at the first byte that differs, and does not print the rest.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: the length differs");
    if let Some(at) = found.iter().zip(expected).position(|(left, right)| left != right) {
        panic!("{what}: byte {at} is {} and not {}", found[at], expected[at]);
    }
}

/// Reads parts of random places and lengths, also beyond the end, and compares each with `expected`.
#[track_caller]
pub(crate) fn compare_at_random(file: &Path, expected: &[u8], reads: usize, seed: u64) {
    let part = |at: u64, length: usize| {
        let from = expected.len().min(usize::try_from(at).unwrap());
        expected[from..expected.len().min(from + length)].to_vec()
    };
    compare_parts(file, expected.len() as u64, part, reads, seed);
}

/// The same with a file for comparison, for images that memory does not hold.
#[track_caller]
pub(crate) fn compare_with_file_at_random(file: &Path, original: &Path, reads: usize, seed: u64) {
    let original = File::open(original).unwrap();
    let part = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        let count = original.read_at(&mut bytes, at).unwrap();
        bytes.truncate(count);
        bytes
    };
    compare_parts(file, original.metadata().unwrap().len(), part, reads, seed);
}

/// Where to read and how much: mostly little, sometimes more than what the kernel asks for at once.
fn draw(random: &mut fastrand::Rng, size: u64) -> (u64, usize) {
    let at = random.u64(..=size + 5000);
    let longest = 1 << random.u32(0..=18);
    (at, random.usize(1..=longest))
}

/// Reads as [`compare_at_random`] does, and takes `errno` for an answer. Tells how often it was one.
#[track_caller]
pub(crate) fn compare_where_it_can_be_read(file: &File, expected: &[u8], reads: usize, seed: u64, errno: i32) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let outcome = |_| {
        let (at, length) = draw(&mut random, expected.len() as u64);
        let mut found = vec![0; length];
        let from = expected.len().min(usize::try_from(at).unwrap());
        match file.read_at(&mut found, at) {
            Ok(count) => {
                let part = &expected[from..expected.len().min(from + count)];
                assert_same(&found[..count], part, &format!("{length} bytes at {at}, seed {seed}"));
                assert!(count > 0 || from == expected.len(), "nothing at {at}, seed {seed}");
                false
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(errno), "{length} bytes at {at}, seed {seed}: {error}");
                true
            }
        }
    };
    (0..reads).map(outcome).filter(|failed| *failed).count()
}

#[track_caller]
fn compare_parts(file: &Path, size: u64, part: impl Fn(u64, usize) -> Vec<u8>, reads: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let open = File::open(file).unwrap();
    for _ in 0..reads {
        let (at, length) = draw(&mut random, size);
        let mut found = vec![0; length];
        let count = open.read_at(&mut found, at).unwrap();
        assert_same(&found[..count], &part(at, length), &format!("{length} bytes at {at}, seed {seed}"));
    }
}
