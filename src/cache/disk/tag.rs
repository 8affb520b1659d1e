//! What proves a block: a CRC32C of its place and its bytes.

use std::num::NonZeroU32;

use super::{BLOCK, Identity};

/// The proof of one block, as it is stored beside the data. Zero stands for a block that is absent, which is what a
/// sparse file holds where nothing was written.
///
/// All 32 bits are the checksum's: a bit kept aside for "present" would make the checksum weaker for every block. The
/// one block in four milliards whose checksum is zero is stored as all ones, as UDP does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(NonZeroU32);

impl Tag {
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

/// The tags of bytes whose hash is being compared: what [`DiskImage::seal`](super::DiskImage::seal) holds the file to.
///
/// Whoever computes the hash of an image feeds the same bytes to this, from the first to the last. It costs a fiftieth
/// of the hash.
#[derive(Clone, Debug)]
pub struct Proof {
    content: Identity,
    done: Vec<Tag>,
    /// The block under way, and its length so far.
    sum: Sum,
    length: u64,
}

impl Proof {
    /// For the bytes of `content`, none of which was seen yet.
    pub fn new(content: &Identity) -> Self {
        Self { content: content.clone(), done: Vec::new(), sum: Sum::new(0), length: 0 }
    }

    /// The next bytes of the image, in whatever portions they come.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.length).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.sum.feed(now);
            self.length += now.len() as u64;
            if self.length == BLOCK {
                self.finish_block();
            }
            bytes = later;
        }
    }

    fn finish_block(&mut self) {
        self.done.push(self.sum.tag());
        self.length = 0;
        self.sum = Sum::new(self.done.len() as u64);
    }

    /// Whether `bytes`, from the block `first` on, are those that went by before, as far as whole blocks of them have.
    pub fn agrees(&self, first: u64, bytes: &[u8]) -> bool {
        let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        (first..).zip(bytes.chunks(block)).all(|(index, bytes)| {
            let done = usize::try_from(index).ok().and_then(|index| self.done.get(index));
            let last = index == self.done.len() as u64 && self.length == bytes.len() as u64;
            done.copied().or_else(|| last.then(|| self.sum.tag())).is_none_or(|tag| tag == Tag::of(index, bytes))
        })
    }

    /// The tags of all blocks. `None` where not exactly the bytes of `content` went by.
    pub(super) fn tags(&self, content: &Identity) -> Option<Vec<Tag>> {
        let seen = (self.done.len() as u64).checked_mul(BLOCK)?.checked_add(self.length)?;
        if self.content != *content || seen != content.size() {
            return None;
        }
        let last = (self.length > 0).then(|| self.sum.tag());
        Some(self.done.iter().copied().chain(last).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{content, fill};
    use super::*;

    #[test]
    fn bytes_that_went_by_are_told_from_others_and_nothing_is_said_of_the_rest() {
        let bytes = fill(1, 2 * BLOCK + 77);
        let (first, rest) = bytes.split_at(usize::try_from(BLOCK).unwrap());
        let mut proof = Proof::new(&content(bytes.len() as u64));
        proof.feed(first);
        assert!(proof.agrees(0, first) && proof.agrees(0, &bytes) && proof.agrees(1, first));
        proof.feed(rest);
        assert!(proof.agrees(0, &bytes) && proof.agrees(1, rest));
        for at in [0, first.len() + 5, bytes.len() - 1] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(!proof.agrees(0, &other), "byte {at}");
        }
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
    fn a_proof_has_the_tags_of_the_blocks_whatever_the_portions() {
        let content = content(2 * BLOCK + 5);
        let bytes = fill(1, content.size());
        let expected: Vec<Tag> = bytes
            .chunks(usize::try_from(BLOCK).unwrap())
            .zip(0..)
            .map(|(block, index)| Tag::of(index, block))
            .collect();
        for portion in [bytes.len(), 100_000, 65_536, 4097] {
            let mut proof = Proof::new(&content);
            bytes.chunks(portion).for_each(|portion| proof.feed(portion));
            assert_eq!(proof.tags(&content).unwrap(), expected);
        }
    }

    #[test]
    fn a_proof_that_saw_too_little_too_much_or_something_else_is_none() {
        let content = content(BLOCK + 5);
        let bytes = fill(1, content.size());
        let mut proof = Proof::new(&content);
        proof.feed(&bytes[1..]);
        assert!(proof.tags(&content).is_none());
        proof.feed(&bytes[..1]);
        assert!(proof.tags(&content).is_some());
        assert!(proof.tags(&super::super::testing::content(BLOCK + 5)).is_none());
        proof.feed(&bytes[..1]);
        assert!(proof.tags(&content).is_none());
    }
}
