//! Reading and writing the blocks of one image.

use std::io;
use std::os::unix::fs::FileExt;

use super::image::{DiskImage, Kept};
use super::space::Space;
use super::tag::{Proof, Sum, Tag};
use super::tags::PAGE;
use super::{BLOCK, lock};

/// Bytes that are read at once where a block is only looked at.
const PORTION: usize = 64 * 1024;

impl DiskImage {
    /// Whether block `block` is here, also where another process has put or dropped it and this one did not hear of it.
    /// Worth a look before it is fetched: it costs two small reads of a file, and finds the neighbours too.
    pub fn look(&self, block: u64) -> bool {
        let kept = self.kept.as_ref().filter(|_| block < self.tags.blocks() && !self.is_lost());
        // Whoever has the lock for long seals, and has all blocks.
        if let (Some(kept), Ok(_hand)) = (kept, self.hand.try_lock()) {
            let looked = match self.adopt_seal(kept) {
                Ok(None) => self.refresh(kept, block, 1),
                adopted => adopted.map(|_| ()),
            };
            if let Err(error) = looked {
                self.complain("look", &error);
            }
        }
        self.has(block)
    }

    /// Reads the blocks from `first` on into `into`, which has the length of one or several whole blocks; the last
    /// block of an image may be shorter. `false` where not all of them are here and sound: then `into` holds nothing
    /// that may be used. What is not sound is dropped.
    pub fn read(&self, first: u64, into: &mut [u8]) -> bool {
        let Some(count) = self.count(first, into.len()).filter(|count| self.run(first, *count) == *count) else {
            return false;
        };
        let sealed = self.is_sealed();
        match self.data.read_exact_at(into, first.saturating_mul(BLOCK)) {
            Ok(()) if self.agrees(first, into) => return true,
            Ok(()) => {}
            Err(error) => self.complain("read", &error),
        }
        if sealed {
            self.lose();
        } else if let Err(error) = self.doubt(first, count) {
            self.complain("check", &error);
            // Who asks whether they are here would be sent to this disk for ever.
            (first..first.saturating_add(count)).for_each(|block| self.tags.set(block, None));
        }
        false
    }

    /// Whether blocks from `first` on with these bytes are those that were written. The tags of a sealed image are not kept
    /// in memory: mostly the kernel reads it, and asks nobody.
    fn agrees(&self, first: u64, bytes: &[u8]) -> bool {
        let tags = Tag::all(first, bytes);
        match &self.kept {
            Some(kept) if self.is_sealed() => {
                let stored = kept.map.tags(first, tags.len() as u64).inspect_err(|error| self.complain("check", error));
                stored.is_ok_and(|stored| stored.into_iter().eq(tags.into_iter().map(Some)))
            }
            _ => self.tags.are(first, &tags),
        }
    }

    /// Whether this image is sealed, and what `proof` knows are blocks of it: they were compared with the hash of the whole
    /// then. Reads a part of the map.
    pub fn vouches_for(&self, proof: &Proof) -> bool {
        let Some(kept) = self.kept.as_ref().filter(|_| self.is_sealed()) else { return false };
        proof.pieces().all(|(first, known)| {
            let stored = kept.map.tags(first, known.len() as u64).inspect_err(|error| self.complain("check", error));
            let is_stored = |(known, stored): (&Option<_>, &_)| known.is_none() || known == stored;
            stored.is_ok_and(|stored| known.iter().zip(&stored).all(is_stored))
        })
    }

    /// Keeps the blocks from `first` on, whose bytes are `bytes`, cut as for [`read`](Self::read). `false` where they
    /// were not kept, because the disk or the cache is full or the disk fails: a reader has its bytes all the same.
    pub fn write(&self, first: u64, bytes: &[u8]) -> bool {
        self.write_pieces(first, &[bytes])
    }

    /// The same where the bytes are in several pieces, each of which is one or several whole blocks.
    pub fn write_pieces(&self, first: u64, pieces: &[&[u8]]) -> bool {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.is_lost() || self.count(first, length).is_none() {
            return false;
        }
        self.is_sealed() || (self.is_admitted(length as u64) && self.try_put(first, pieces))
    }

    fn try_put(&self, first: u64, pieces: &[&[u8]]) -> bool {
        self.put(first, pieces).unwrap_or_else(|error| {
            self.complain("write", &error);
            false
        })
    }

    /// A write that did not ask for room.
    #[cfg(test)]
    pub(super) fn put_unasked(&self, first: u64, bytes: &[u8]) -> bool {
        self.try_put(first, &[bytes])
    }

    fn is_admitted(&self, bytes: u64) -> bool {
        match &self.kept {
            Some(kept) => kept.home.admit(bytes),
            None => Space::of(&self.data).is_ok_and(|space| space.lacks(None, bytes) == 0),
        }
    }

    fn put(&self, first: u64, pieces: &[&[u8]]) -> io::Result<bool> {
        let Some(tags) = tags_of_pieces(first, pieces) else { return Ok(false) };
        let stored: Vec<Option<Tag>> = tags.iter().copied().map(Some).collect();
        let _hand = lock(&self.hand);
        let Some(kept) = &self.kept else {
            self.tags.set_run(first, &vec![None; stored.len()]);
            self.put_data(first, pieces)?;
            self.tags.set_run(first, &stored);
            return Ok(true);
        };
        let Some(_held) = kept.map.share()? else { return Ok(false) };
        if let Some(sound) = self.adopt_seal(kept)? {
            return Ok(sound);
        }
        self.refresh(kept, first, stored.len() as u64)?;
        if self.tags.are(first, &tags) {
            return Ok(true);
        }
        self.forget_blocks(first, stored.len() as u64)?;
        self.put_data(first, pieces)?;
        kept.map.put_tags(first, &stored)?;
        self.tags.set_run(first, &stored);
        Ok(true)
    }

    fn put_data(&self, first: u64, pieces: &[&[u8]]) -> io::Result<()> {
        let mut at = first.saturating_mul(BLOCK);
        for piece in pieces {
            self.data.write_all_at(piece, at)?;
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Makes `count` blocks from `first` on absent. The caller holds the locks.
    pub(super) fn forget_blocks(&self, first: u64, count: u64) -> io::Result<()> {
        let any = (first..first.saturating_add(count)).any(|block| self.tags.get(block).is_some());
        if any {
            (first..first.saturating_add(count)).for_each(|block| self.tags.set(block, None));
            self.kept.as_ref().map_or(Ok(()), |kept| kept.map.clear(first, count))?;
        }
        Ok(())
    }

    /// Looks at what other processes did to the tags around these blocks. The caller holds the locks.
    fn refresh(&self, kept: &Kept, first: u64, count: u64) -> io::Result<()> {
        let start = first - first % PAGE;
        let end = first.saturating_add(count).max(start.saturating_add(PAGE)).min(self.tags.blocks());
        self.tags.set_run(start, &kept.map.tags(start, end.saturating_sub(start))?);
        Ok(())
    }

    /// Looks again at blocks that did not agree with their tags, now that nobody else changes them, and drops those
    /// that still do not.
    fn doubt(&self, first: u64, count: u64) -> io::Result<()> {
        let _hand = lock(&self.hand);
        let held = self.kept.as_ref().map(|kept| kept.map.own()).transpose()?;
        if matches!(held, Some(None)) {
            (first..first.saturating_add(count)).for_each(|block| self.tags.set(block, None));
            return Ok(());
        }
        if let Some(kept) = &self.kept {
            if self.adopt_seal(kept)?.is_some() {
                return Ok(());
            }
            self.refresh(kept, first, count)?;
        }
        for block in first..first.saturating_add(count) {
            let here = self.tags.get(block);
            if here.is_some() && here != self.tag_on_disk(block).ok() {
                tracing::warn!(image = %self.content.image(), block, "a block in the cache on disk is damaged");
                self.forget_blocks(block, 1)?;
            }
        }
        Ok(())
    }

    /// The tag that the bytes on disk have.
    pub(super) fn tag_on_disk(&self, block: u64) -> io::Result<Tag> {
        let mut buffer = vec![0; PORTION];
        let mut sum = Sum::new(block);
        let (mut at, end) = self.bounds(block);
        while at < end {
            let portion = usize::try_from(end - at).unwrap_or(PORTION).min(PORTION);
            let portion = buffer.get_mut(..portion).unwrap_or_default();
            self.data.read_exact_at(portion, at)?;
            sum.feed(portion);
            at += portion.len() as u64;
        }
        Ok(sum.tag())
    }

    /// Where block `block` begins and ends, in bytes.
    pub(super) fn bounds(&self, block: u64) -> (u64, u64) {
        let start = block.saturating_mul(BLOCK);
        (start, start.saturating_add(BLOCK).min(self.content.size()))
    }

    /// The number of blocks that `length` bytes from block `first` on are, where they are whole ones.
    fn count(&self, first: u64, length: usize) -> Option<u64> {
        let length = length as u64;
        let end = first.checked_mul(BLOCK)?.checked_add(length)?;
        let whole = end == self.content.size() || (end < self.content.size() && length.is_multiple_of(BLOCK));
        (length > 0 && whole).then(|| length.div_ceil(BLOCK))
    }
}

/// The tags of blocks in several pieces. `None` where a piece ends within a block that is not the last one.
fn tags_of_pieces(first: u64, pieces: &[&[u8]]) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut whole = true;
    for piece in pieces {
        if !whole {
            return None;
        }
        whole = (piece.len() as u64).is_multiple_of(BLOCK);
        tags.extend(Tag::all(first.saturating_add(tags.len() as u64), piece));
    }
    Some(tags)
}
