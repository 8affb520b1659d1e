//! The tags of one image in memory, so that asking whether a block is here costs no system call and no lock.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::tag::Tag;

/// Tags in a page: a page of the map, 4 KiB.
pub(super) const PAGE: u64 = 1024;

/// The largest image that is cached, in blocks. At this size, 8 TiB with blocks of 128 KiB, the table of an empty image
/// takes 1 MiB of memory; a service may claim any size.
pub(super) const BLOCKS_AT_MOST: u64 = 1 << 26;

type Page = Box<[AtomicU32]>;

/// A tag a block; pages of absent blocks take no memory. Those who change tags hold the image's lock for writing.
#[derive(Debug)]
pub(super) struct Tags {
    blocks: u64,
    pages: Box<[OnceLock<Page>]>,
    present: AtomicU64,
}

impl Tags {
    /// The tags of an image without any of its `blocks`, which are at most [`BLOCKS_AT_MOST`].
    pub(super) fn new(blocks: u64) -> Self {
        let pages = (0..blocks.div_ceil(PAGE)).map(|_| OnceLock::new()).collect();
        Self { blocks, pages, present: AtomicU64::new(0) }
    }

    /// The number of blocks, present or not.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The number of blocks that are present.
    pub(super) fn present(&self) -> u64 {
        self.present.load(Ordering::Acquire)
    }

    fn page(&self, index: u64) -> Option<&OnceLock<Page>> {
        self.pages.get(usize::try_from(index / PAGE).ok()?)
    }

    fn cell(page: &Page, index: u64) -> Option<&AtomicU32> {
        page.get(usize::try_from(index % PAGE).ok()?)
    }

    /// The tag of block `index`; `None` where it is absent or there is no such block.
    pub(super) fn get(&self, index: u64) -> Option<Tag> {
        let cell = Self::cell(self.page(index)?.get()?, index)?;
        Tag::from_stored(cell.load(Ordering::Acquire))
    }

    /// Puts what is known of block `index`.
    pub(super) fn set(&self, index: u64, tag: Option<Tag>) {
        let Some(page) = self.page(index).filter(|_| index < self.blocks) else { return };
        if tag.is_none() && page.get().is_none() {
            return;
        }
        let page = page.get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
        let Some(cell) = Self::cell(page, index) else { return };
        let before = Tag::from_stored(cell.swap(Tag::stored(tag), Ordering::AcqRel));
        match (before, tag) {
            (None, Some(_)) => self.present.fetch_add(1, Ordering::AcqRel),
            (Some(_), None) => self.present.fetch_sub(1, Ordering::AcqRel),
            _ => return,
        };
    }

    /// Puts what is known of the blocks from `first` on.
    pub(super) fn set_run(&self, first: u64, tags: &[Option<Tag>]) {
        (first..).zip(tags).for_each(|(index, tag)| self.set(index, *tag));
    }

    /// Whether the blocks from `first` on have exactly these tags.
    pub(super) fn are(&self, first: u64, tags: &[Tag]) -> bool {
        (first..).zip(tags).all(|(index, tag)| self.get(index) == Some(*tag))
    }

    /// Up to `want` present blocks as runs of neighbours, from `hand` on and around, and where to go on the next time.
    pub(super) fn pick(&self, hand: u64, want: u64) -> (Vec<Range<u64>>, u64) {
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut left = want.min(self.present());
        let start = if hand < self.blocks { hand } else { 0 };
        let mut next = start;
        for index in (start..self.blocks).chain(0..start) {
            if left == 0 {
                break;
            }
            next = index + 1;
            if self.get(index).is_none() {
                continue;
            }
            left -= 1;
            match runs.last_mut() {
                Some(run) if run.end == index => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        (runs, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(index: u64) -> Tag {
        Tag::of(index, b"")
    }

    #[test]
    fn blocks_are_absent_until_they_are_put_and_none_are_beyond_the_end() {
        let tags = Tags::new(2000);
        for index in [0, 1023, 1024, 1999] {
            assert_eq!(tags.get(index), None);
            tags.set(index, Some(tag(index)));
            tags.set(index, Some(tag(index)));
            assert_eq!(tags.get(index), Some(tag(index)));
        }
        tags.set(2000, Some(tag(2000)));
        tags.set(u64::MAX, Some(tag(2000)));
        assert_eq!((tags.present(), tags.get(2000), tags.get(u64::MAX)), (4, None, None));
        tags.set(1024, None);
        tags.set(1024, None);
        assert_eq!((tags.present(), tags.get(1024)), (3, None));
    }

    #[test]
    fn blocks_to_be_dropped_are_picked_in_turn() {
        let tags = Tags::new(10);
        for index in [1, 2, 3, 7, 9] {
            tags.set(index, Some(tag(index)));
        }
        let pick = |tags: &Tags, hand, want| {
            let (runs, next) = tags.pick(hand, want);
            (runs.into_iter().map(|run| (run.start, run.end)).collect::<Vec<_>>(), next)
        };
        assert_eq!(pick(&tags, 0, 2), (vec![(1, 3)], 3));
        assert_eq!(pick(&tags, 3, 3), (vec![(3, 4), (7, 8), (9, 10)], 10));
        assert_eq!(pick(&tags, 10, 1), (vec![(1, 2)], 2));
        assert_eq!(pick(&tags, 8, 100).0, [(9, 10), (1, 4), (7, 8)]);
        assert_eq!(pick(&Tags::new(10), 5, 1).0, []);
        assert_eq!(pick(&Tags::new(0), 5, 1).0, []);
    }
}
