//! What proves a block: a CRC32C of its place and its bytes.

use std::num::NonZeroU32;

use super::{BLOCK, Identity};
use crate::cache::Sparse;

/// The proof of one block, as it is stored beside the data. Zero stands for a block that is absent, which is what a
/// sparse file holds where nothing was written.
///
/// All 32 bits are the checksum's: a bit kept aside for "present" would make the checksum weaker for every block. The
/// one block in four milliards whose checksum is zero is stored as all ones, as UDP does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(NonZeroU32);

impl Tag {
    /// The tags of neighbouring blocks from `first` on, whose bytes are `bytes`.
    pub(in crate::cache) fn all(first: u64, bytes: &[u8]) -> Vec<Self> {
        let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        (first..).zip(bytes.chunks(block)).map(|(index, bytes)| Self::of(index, bytes)).collect()
    }

    /// The tag of block `index`, which holds `bytes`. The place is part of it, so that a block that lands in another
    /// one's place is noticed.
    pub(super) fn of(index: u64, bytes: &[u8]) -> Self {
        let mut sum = Sum::new(index);
        sum.feed(bytes);
        sum.tag()
    }

    fn from_crc(crc: u32) -> Self {
        Self(NonZeroU32::new(crc).unwrap_or(NonZeroU32::MAX))
    }

    /// What is stored for the block.
    pub(super) fn stored(tag: Option<Self>) -> u32 {
        tag.map_or(0, |tag| tag.0.get())
    }

    /// The tag that was stored.
    pub(super) fn from_stored(stored: u32) -> Option<Self> {
        NonZeroU32::new(stored).map(Self)
    }
}

/// The tag of a block whose bytes come in portions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u32);

impl Sum {
    /// For block `index`, none of whose bytes was seen yet.
    pub(super) fn new(index: u64) -> Self {
        Self(crc32c::crc32c(&index.to_le_bytes()))
    }

    /// The next bytes of the block.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The tag of the block that was fed.
    pub(super) fn tag(self) -> Tag {
        Tag::from_crc(self.0)
    }
}

/// The tags of an image's blocks, as somebody got them and as they went into the hash of the whole: the same for both, or a
/// verdict on the one would say nothing of the other. [`DiskImage::seal`](super::DiskImage::seal) holds the file to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    content: Identity,
    /// By block; `None` for one of which nothing is known.
    known: Sparse<Option<Tag>>,
    /// So many blocks went into the hash, from the first one on.
    hashed: u64,
}

impl Proof {
    /// For the blocks of `content`, none of which was seen yet.
    pub fn new(content: &Identity) -> Self {
        Self { content: content.clone(), known: Sparse::default(), hashed: 0 }
    }

    /// Whether blocks with these tags, from `first` on, are those that are known, as far as they are.
    pub fn agrees(&self, first: u64, tags: &[Tag]) -> bool {
        (first..).zip(tags).all(|(index, tag)| self.known.get(index).is_none_or(|known| known == *tag))
    }

    /// What is known, with the blocks around it: pieces of the image in their order, each with its first block.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &[Option<Tag>])> {
        self.known.pieces().map(|(first, piece)| {
            let left = usize::try_from(self.content.blocks().saturating_sub(first)).unwrap_or(usize::MAX);
            (first, piece.get(..left).unwrap_or(piece))
        })
    }

    /// Bytes of memory that it takes: 32 KiB for each GiB of which something is known.
    pub fn bytes(&self) -> usize {
        self.known.bytes()
    }

    /// Somebody got the blocks with these tags, from `first` on. `false` where one of them was another before.
    pub fn note(&mut self, first: u64, tags: &[Tag]) -> bool {
        let end = first.saturating_add(tags.len() as u64);
        if end > self.content.blocks() || !self.agrees(first, tags) {
            return false;
        }
        (first..).zip(tags).for_each(|(index, tag)| self.known.change(index, |known| *known = Some(*tag)));
        true
    }

    /// The blocks with these tags, from `first` on, went into the hash. `false` where they are not the next ones, or one
    /// of them was another before.
    pub fn feed(&mut self, first: u64, tags: &[Tag]) -> bool {
        let fits = first == self.hashed && self.note(first, tags);
        if fits {
            self.hashed = first.saturating_add(tags.len() as u64);
        }
        fits
    }

    /// The tags of all blocks. `None` where not all of `content` went into the hash.
    pub(super) fn tags(&self, content: &Identity) -> Option<Vec<Tag>> {
        let whole = self.content == *content && self.hashed == content.blocks();
        whole.then(|| (0..self.hashed).map(|index| self.known.get(index)).collect()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{content, fill};
    use super::*;

    #[test]
    fn blocks_that_somebody_got_are_told_from_others_and_nothing_is_said_of_the_rest() {
        let bytes = fill(1, 2 * BLOCK + 77);
        let tags = Tag::all(0, &bytes);
        let mut proof = Proof::new(&content(bytes.len() as u64));
        assert!(proof.agrees(0, &tags) && proof.note(1, &tags[1..2]) && proof.agrees(0, &tags));
        for at in 0..3 {
            let mut other = bytes.clone();
            other[at * usize::try_from(BLOCK).unwrap() + 5] ^= 1;
            let others = Tag::all(0, &other);
            assert_eq!(proof.agrees(0, &others), at != 1, "block {at}");
            assert_eq!(proof.clone().note(0, &others), at != 1, "block {at}");
            assert_eq!(proof.clone().feed(0, &others), at != 1, "block {at}");
        }
        assert!(proof.feed(0, &tags) && proof.note(0, &tags), "it is still the same");
        assert!(!proof.note(2, &tags[..2]), "it has no more blocks");
    }

    #[test]
    fn what_is_known_of_the_end_of_an_image_of_any_claimed_size_takes_little_memory() {
        let content = content(u64::MAX);
        let mut proof = Proof::new(&content);
        let (last, tags) = (content.blocks() - 1, Tag::all(content.blocks() - 1, b"end"));
        assert!(proof.note(last, &tags) && proof.agrees(last, &tags));
        assert!(proof.bytes() <= 4096);
        let (first, known) = proof.pieces().next().unwrap();
        assert_eq!(known.last().copied().flatten().map(|tag| vec![tag]), Some(tags));
        assert_eq!(first + known.len() as u64, content.blocks(), "and not beyond the end");
        assert!(!proof.note(content.blocks(), &Tag::all(content.blocks(), b"more")));
    }

    #[test]
    fn any_flipped_bit_and_any_other_place_changes_the_tag() {
        let mut bytes = fill(3, 4096);
        let tag = Tag::of(7, &bytes);
        assert_ne!(tag, Tag::of(8, &bytes));
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(tag, Tag::of(7, &bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(tag, Tag::of(7, &bytes));
    }

    #[test]
    fn a_checksum_of_zero_is_told_from_an_absent_block() {
        assert_ne!(Tag::stored(Some(Tag::from_crc(0))), Tag::stored(None));
        assert_eq!(Tag::from_stored(Tag::stored(None)), None);
        assert_eq!(Tag::from_stored(Tag::stored(Some(Tag::from_crc(0)))), Some(Tag::from_crc(0)));
    }

    #[test]
    fn a_proof_has_the_tags_of_the_blocks_once_all_of_them_went_into_the_hash() {
        let content = content(2 * BLOCK + 5);
        let tags = Tag::all(0, &fill(1, content.size()));
        let mut proof = Proof::new(&content);
        assert!(proof.note(0, &tags) && proof.tags(&content).is_none(), "to be got by somebody is not enough");
        assert!(!proof.feed(1, &tags[1..]), "they are not the next ones");
        assert!(proof.feed(0, &tags[..1]) && proof.feed(1, &tags[1..2]) && proof.tags(&content).is_none());
        assert!(proof.feed(2, &tags[2..]));
        assert_eq!(proof.tags(&content).unwrap(), tags);
        assert!(!proof.feed(0, &tags[..1]), "once");
        assert!(proof.tags(&super::super::testing::content(BLOCK + 5)).is_none());
    }
}
