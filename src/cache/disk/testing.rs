//! What the tests of this module share.

use std::path::PathBuf;
use std::sync::Arc;

use super::{BLOCK, DiskCache, DiskImage, DiskSettings, Identity, Proof};
use crate::image::{Checksums, ImageId};

/// No blocks.
pub(super) const NONE: [u64; 0] = [];

/// Plenty for any test that is not about room.
pub(super) const PLENTY: u64 = 1 << 30;

/// A new image of `size` bytes without a hash.
pub(super) fn content(size: u64) -> Identity {
    Identity::new(ImageId::random(), size, Checksums::default())
}

/// An image with a second hash.
pub(super) fn hashed(image: ImageId, size: u64, algorithm: &str, value: &str) -> Identity {
    let checksums = Checksums { md5: None, algorithm: Some(algorithm.into()), value: Some(value.into()) };
    Identity::new(image, size, checksums)
}

/// `length` bytes that depend on `seed`.
pub(super) fn fill(seed: u64, length: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    random.fill(&mut bytes);
    bytes
}

/// A folder for a cache, removed at the end of the test.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    /// What a process that uses the folder has.
    pub(super) fn open(&self, size: u64) -> DiskCache {
        DiskCache::open(&DiskSettings { folder: self.folder(), size, floor: Some(0) }).unwrap()
    }

    /// The folders of images, by name.
    pub(super) fn entries(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(self.folder().join("images")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// The only folder of an image.
    pub(super) fn entry(&self) -> PathBuf {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }
}

/// An image and the bytes that it is to have.
pub(super) struct Sample {
    pub(super) content: Identity,
    pub(super) bytes: Vec<u8>,
}

impl Sample {
    pub(super) fn of(content: Identity, seed: u64) -> Self {
        let bytes = fill(seed, content.size());
        Self { content, bytes }
    }

    /// An image of `size` bytes without a hash.
    pub(super) fn new(size: u64) -> Self {
        Self::of(content(size), size)
    }

    /// The bytes of `count` blocks from `first` on.
    pub(super) fn run(&self, first: u64, count: u64) -> &[u8] {
        let at = |block: u64| usize::try_from((block * BLOCK).min(self.content.size())).unwrap();
        &self.bytes[at(first)..at(first + count)]
    }

    /// The bytes of one block.
    pub(super) fn block(&self, block: u64) -> &[u8] {
        self.run(block, 1)
    }

    /// Writes all blocks, each of which has to be kept.
    pub(super) fn write_all(&self, image: &DiskImage) {
        (0..self.content.blocks()).for_each(|block| assert!(image.write(block, self.block(block)), "block {block}"));
    }

    /// What is read of a run: its bytes, which have to be right, or nothing.
    #[track_caller]
    pub(super) fn reads_run(&self, image: &DiskImage, first: u64, count: u64) -> bool {
        let expected = self.run(first, count);
        let mut bytes = vec![0xAA; expected.len()];
        let here = image.read(first, &mut bytes);
        assert!(!here || bytes == expected, "wrong bytes in {count} blocks from {first} on");
        here
    }

    /// What is read of a block: its bytes, which have to be right, or nothing.
    #[track_caller]
    pub(super) fn reads(&self, image: &DiskImage, block: u64) -> bool {
        self.reads_run(image, block, 1)
    }

    /// The blocks that are read, of all.
    #[track_caller]
    pub(super) fn readable(&self, image: &DiskImage) -> Vec<u64> {
        (0..self.content.blocks()).filter(|block| self.reads(image, *block)).collect()
    }

    /// The proof of the right bytes.
    pub(super) fn proof(&self) -> Proof {
        let mut proof = Proof::new(&self.content);
        assert!(proof.feed(0, &super::Tag::all(0, &self.bytes)));
        proof
    }

    /// The image in `cache`, written and sealed.
    pub(super) fn sealed_in(&self, cache: &DiskCache) -> Arc<DiskImage> {
        let image = cache.image(&self.content).unwrap();
        self.write_all(&image);
        assert!(image.seal(&self.proof()).unwrap());
        image
    }
}
