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
    let mut random = fastrand::Rng::with_seed(seed);
    let open = File::open(file).unwrap();
    for _ in 0..reads {
        let at = random.usize(..=expected.len() + 5000);
        // Mostly small, some larger than what the kernel asks for at once.
        let length = 1 << random.u32(0..=18);
        let length = random.usize(1..=length);
        let mut found = vec![0; length];
        let count = open.read_at(&mut found, at as u64).unwrap();
        let from = at.min(expected.len());
        let to = (from + length).min(expected.len());
        assert_same(&found[..count], &expected[from..to], &format!("{length} bytes at {at}, seed {seed}"));
    }
}
