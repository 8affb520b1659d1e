//! What is done to an image as a whole: sealing it, and dropping blocks of it to save space.

use std::io;

use super::header::Seal;
use super::image::{DiskImage, Kept};
use super::map::Held;
use super::name::Names;
use super::tag::{Proof, Tag};
use super::{BLOCK, entry, lock, space};

impl DiskImage {
    /// Seals the image, where all its blocks are here and are the bytes that `proof` saw. The caller knows that the
    /// hash of the bytes that `proof` saw is the one that the service shows.
    ///
    /// It reads the whole file once more, because nobody compares it with anything later on. Answers whether the image
    /// is sealed now; blocks that `proof` does not agree with were dropped.
    ///
    /// # Errors
    /// Where the disk fails. The image then goes on without a seal.
    pub fn seal(&self, proof: &Proof) -> io::Result<bool> {
        if self.is_lost() || self.is_sealed() {
            return Ok(!self.is_lost());
        }
        let Some(proven) = proof.tags(&self.content) else { return Ok(false) };
        let _hand = lock(&self.hand);
        let held = self.kept.as_ref().map(|kept| kept.map.own_patiently()).transpose()?;
        match (&self.kept, held) {
            (None, _) => Ok(self.is_proven(&proven)? && self.become_sealed().is_ok()),
            (Some(kept), Some(Some(held))) => self.seal_kept(kept, &held, &proven),
            (Some(_), _) => Ok(false),
        }
    }

    fn seal_kept(&self, kept: &Kept, _alone: &Held<'_>, proven: &[Tag]) -> io::Result<bool> {
        if let Some(sound) = self.adopt_seal(kept)? {
            return Ok(sound);
        }
        if !self.is_proven(proven)? {
            return Ok(false);
        }
        // First what the seal vouches for, then the seal. The time of change is part of that.
        self.data.sync_all()?;
        kept.map.put_seal(&Seal::of(&self.data)?)?;
        self.become_sealed()?;
        self.share(kept);
        Ok(true)
    }

    /// Whether the blocks on disk have these tags; those that have not are dropped.
    fn is_proven(&self, proven: &[Tag]) -> io::Result<bool> {
        if !self.is_complete() {
            return Ok(false);
        }
        let mut sound = true;
        for (block, tag) in (0..).zip(proven) {
            if self.tag_on_disk(block)? != *tag {
                self.forget_blocks(block, 1)?;
                sound = false;
            }
        }
        Ok(sound)
    }

    /// Lets other images with the same bytes find this one, which is sealed.
    pub(super) fn share(&self, kept: &Kept) {
        let Ok(Names { shared: Some(shared), .. }) = Names::of(&self.content) else { return };
        let mut path = lock(&kept.path);
        let to = path.with_file_name(shared);
        if !entry::is_of(&path, &self.data) {
            return;
        }
        match entry::rename(&path, &to) {
            Ok(true) => *path = to,
            // Another image brought the same bytes: one copy is enough, and this one lives until it is closed.
            Ok(false) => drop(entry::remove(&path)),
            Err(error) => self.complain("rename", &error),
        }
    }

    /// Drops blocks until about `want` bytes are free, in turn, so that those go first that came first. Answers how
    /// many bytes are. A sealed image keeps all of its blocks, since its readers look at no tags.
    pub(super) fn punch(&self, want: u64) -> u64 {
        self.try_punch(want).unwrap_or_else(|error| {
            self.complain("punch a hole", &error);
            0
        })
    }

    fn try_punch(&self, want: u64) -> io::Result<u64> {
        let Some(kept) = self.kept.as_ref().filter(|_| !self.is_lost() && !self.is_sealed()) else { return Ok(0) };
        // Whoever seals has it for long, and all who write wait for the one who makes room.
        let Ok(mut hand) = self.hand.try_lock() else { return Ok(0) };
        let Some(_alone) = kept.map.own()? else { return Ok(0) };
        if self.adopt_seal(kept)?.is_some() {
            return Ok(0);
        }
        let (runs, next) = self.tags.pick(*hand, want.div_ceil(BLOCK));
        *hand = next;
        let mut freed = 0;
        for run in runs {
            // First the tags: a reader who is late finds zeros that his tag does not agree with.
            self.forget_blocks(run.start, run.end.saturating_sub(run.start))?;
            let (start, end) = (self.bounds(run.start).0, self.bounds(run.end.saturating_sub(1)).1);
            // The page that has the end of the image is freed only as a whole.
            space::punch(&self.data, start..end.next_multiple_of(4096))?;
            freed += end.saturating_sub(start);
        }
        Ok(freed)
    }
}
