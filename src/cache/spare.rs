//! Memory for blocks, and what of it was given back and waits to be filled again.
//!
//! It is mapped and not allocated: an allocator would keep pages of what is freed between what is not, and a budget held
//! in bytes would be exceeded in pages. A fresh page costs a fault, which is dearer than what it is filled with; so the
//! pages of a piece are had at once, and given back pieces are used again.

use std::collections::VecDeque;
use std::io;

use memmap2::{MmapMut, MmapOptions};

use crate::sync::{Mutex, lock};

/// A piece of memory of a fixed length, filled from front to back.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None` when the length is 0, of which there is no mapping.
    map: Option<MmapMut>,
    filled: usize,
}

impl Memory {
    fn map(length: usize) -> io::Result<Self> {
        let map = (length > 0).then(|| MmapOptions::new().len(length).populate().map_anon()).transpose()?;
        Ok(Self { map, filled: 0 })
    }

    /// The bytes that it has room for.
    pub(super) fn length(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.len())
    }

    /// The bytes filled in.
    pub(super) fn bytes(&self) -> &[u8] {
        self.map.as_ref().and_then(|map| map.get(..self.filled)).unwrap_or_default()
    }

    /// Bytes that are still to come.
    pub(super) fn missing(&self) -> usize {
        self.length() - self.filled
    }

    /// Appends as much of `more` as fits, and answers how many bytes those were.
    pub(super) fn fill(&mut self, more: &[u8]) -> usize {
        let fits = more.get(..self.missing()).unwrap_or(more);
        let room = self.map.as_mut().and_then(|map| map.get_mut(self.filled..self.filled + fits.len()));
        room.unwrap_or_default().copy_from_slice(fits);
        self.filled += fits.len();
        fits.len()
    }

    /// All of it, zeroed where nothing was filled in, to be written to in place.
    pub(super) fn whole(&mut self) -> &mut [u8] {
        let rest = self.filled..self.length();
        self.filled = rest.end;
        let Some(map) = &mut self.map else { return Default::default() };
        map.get_mut(rest).unwrap_or_default().fill(0);
        map
    }
}

/// Memory without an owner, the pieces given back last at the end. The budget does not count them, so they are few.
#[derive(Debug)]
pub(super) struct Spares {
    limit: usize,
    pieces: Mutex<VecDeque<Memory>>,
}

impl Spares {
    /// Room for `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, pieces: Mutex::default() }
    }

    /// Empty memory for `length` bytes. A spare piece is taken only where it is exactly that large: a larger one would
    /// hold more memory than is paid for.
    ///
    /// # Errors
    /// Where the system has none.
    pub(super) fn take(&self, length: usize) -> io::Result<Memory> {
        self.find(length).map_or_else(|| Memory::map(length), Ok)
    }

    fn find(&self, length: usize) -> Option<Memory> {
        let mut pieces = lock(&self.pieces);
        let place = pieces.iter().rposition(|piece| piece.length() == length)?;
        pieces.remove(place)
    }

    /// Takes a piece back; the oldest ones go for good where there is no room for all.
    pub(super) fn give(&self, mut piece: Memory) {
        if !(1..=self.limit).contains(&piece.length()) {
            return;
        }
        piece.filled = 0;
        let mut pieces = lock(&self.pieces);
        pieces.push_back(piece);
        let mut held: usize = pieces.iter().map(Memory::length).sum();
        let mut gone = Vec::new();
        while held > self.limit {
            let Some(oldest) = pieces.pop_front() else { break };
            held -= oldest.length();
            gone.push(oldest);
        }
        // Giving memory back to the system takes its time, which nobody should wait for.
        drop(pieces);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn held(spares: &Spares) -> Vec<usize> {
        lock(&spares.pieces).iter().map(Memory::length).collect()
    }

    #[test]
    fn memory_is_used_again_empty_and_only_for_its_own_length() {
        let spares = Spares::new(1024 * KIB);
        let mut piece = spares.take(512 * KIB).unwrap();
        piece.fill(b"somebody else's bytes");
        let place = piece.bytes().as_ptr();
        spares.give(piece);
        assert_eq!(spares.take(256 * KIB).unwrap().length(), 256 * KIB);
        assert_eq!(held(&spares), [512 * KIB]);
        let mut again = spares.take(512 * KIB).unwrap();
        assert_eq!(again.bytes(), b"");
        again.fill(b"own");
        assert_eq!((again.bytes(), again.bytes().as_ptr()), (&b"own"[..], place));
        assert!(held(&spares).is_empty());
    }

    #[test]
    fn what_was_not_filled_in_is_zero_also_in_memory_that_is_used_again() {
        let spares = Spares::new(1024 * KIB);
        let mut piece = spares.take(4 * KIB).unwrap();
        piece.whole().fill(7);
        spares.give(piece);
        let mut again = spares.take(4 * KIB).unwrap();
        again.fill(&[1]);
        assert_eq!(again.whole().iter().map(|byte| u64::from(*byte)).sum::<u64>(), 1);
    }

    #[test]
    fn no_more_is_filled_in_than_there_is_room() {
        let spares = Spares::new(0);
        let mut piece = spares.take(5).unwrap();
        assert_eq!((piece.fill(b"abc"), piece.fill(b"defgh"), piece.missing()), (3, 2, 0));
        assert_eq!(piece.bytes(), b"abcde");
        assert_eq!(spares.take(0).unwrap().whole(), b"");
    }

    #[test]
    fn spare_memory_stays_within_its_limit_and_the_oldest_goes() {
        let spares = Spares::new(1024 * KIB);
        for length in [128, 256, 512, 640, 2048, 1] {
            spares.give(spares.take(length * KIB).unwrap());
        }
        assert_eq!(held(&spares), [640 * KIB, KIB]);
    }
}
