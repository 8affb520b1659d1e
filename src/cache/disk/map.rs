//! The file beside the data: the header, the seal and the tags on disk, and the lock of those who change the data.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::header::{self, HEADER, SEAL, SEAL_AT, Seal};
use super::tag::Tag;
use super::{BLOCK, Identity};

/// An open map.
///
/// Its file lock is held shared by a process that writes a block, and alone by one that punches holes or seals. So no
/// one writes into a file that another has sealed, and no one seals what another is about to punch. Within a process
/// the image's mutex comes first, because a file lock belongs to all threads at once.
#[derive(Debug)]
pub(super) struct Map {
    file: File,
    /// The first page, without the seal.
    header: Vec<u8>,
}

/// A held file lock, given back on drop.
pub(super) struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Nothing can be done about it here, and closing the file gives the lock back too.
        let _ = self.0.unlock();
    }
}

/// `None` where another process has the lock.
fn held(file: &File, taken: Result<(), TryLockError>) -> io::Result<Option<Held<'_>>> {
    match taken {
        Ok(()) => Ok(Some(Held(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Map {
    /// Bytes in the map of an image of `size` bytes.
    pub(super) fn length(size: u64) -> u64 {
        HEADER.saturating_add(size.div_ceil(BLOCK).saturating_mul(4))
    }

    /// The map in `file`, and whose it is. `None` for what is no map of this version, whole and sound.
    pub(super) fn open(file: File) -> io::Result<Option<(Self, Identity)>> {
        let length = file.metadata()?.len();
        if length < HEADER {
            return Ok(None);
        }
        let mut header = vec![0; usize::try_from(HEADER).unwrap_or_default()];
        file.read_exact_at(&mut header, 0)?;
        let content = header::decode(&header).filter(|content| length == Self::length(content.size()));
        Ok(content.map(|content| (Self { file, header }, content)))
    }

    /// Makes `file`, which is empty, the map of `content` without any block.
    pub(super) fn create(file: &File, content: &Identity) -> io::Result<()> {
        file.write_all_at(&header::encode(content)?, 0)?;
        file.set_len(Self::length(content.size()))
    }

    /// The right to write blocks. `None` while another process punches or seals.
    pub(super) fn share(&self) -> io::Result<Option<Held<'_>>> {
        held(&self.file, self.file.try_lock_shared())
    }

    /// The right to punch and to seal. `None` while another process has either right.
    pub(super) fn own(&self) -> io::Result<Option<Held<'_>>> {
        held(&self.file, self.file.try_lock())
    }

    /// The same for work that is not done again soon: waits for those who write at the moment.
    pub(super) fn own_patiently(&self) -> io::Result<Option<Held<'_>>> {
        const TRIES: u32 = 200;
        for _ in 0..TRIES {
            if let Some(held) = self.own()? {
                return Ok(Some(held));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    /// The seal, where there is one.
    pub(super) fn seal(&self) -> io::Result<Option<Seal>> {
        let mut bytes = [0; SEAL];
        self.file.read_exact_at(&mut bytes, SEAL_AT)?;
        Ok(Seal::decode(&self.header, &bytes))
    }

    /// Seals, durably. What the seal vouches for is durable already.
    pub(super) fn put_seal(&self, seal: &Seal) -> io::Result<()> {
        self.file.write_all_at(&seal.encode(&self.header), SEAL_AT)?;
        self.file.sync_data()
    }

    /// The stored tags of `count` blocks from `first` on.
    pub(super) fn tags(&self, first: u64, count: u64) -> io::Result<Vec<Option<Tag>>> {
        let mut bytes = vec![0; usize::try_from(count.saturating_mul(4)).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, place(first))?;
        let (tags, _) = bytes.as_chunks::<4>();
        Ok(tags.iter().map(|stored| Tag::from_stored(u32::from_le_bytes(*stored))).collect())
    }

    /// Stores the tags of the blocks from `first` on.
    pub(super) fn put_tags(&self, first: u64, tags: &[Option<Tag>]) -> io::Result<()> {
        let bytes: Vec<u8> = tags.iter().flat_map(|tag| Tag::stored(*tag).to_le_bytes()).collect();
        self.file.write_all_at(&bytes, place(first))
    }

    /// Stores that `count` blocks from `first` on are absent.
    pub(super) fn clear(&self, first: u64, count: u64) -> io::Result<()> {
        self.put_tags(first, &vec![None; usize::try_from(count).map_err(io::Error::other)?])
    }

    /// Notes that the image is used now: eviction goes by the map's time of change.
    pub(super) fn touch(&self) {
        // A disk that takes no times evicts in another order, and works.
        let _ = self.file.set_modified(std::time::SystemTime::now());
    }
}

/// Where the tag of block `index` is.
fn place(index: u64) -> u64 {
    HEADER.saturating_add(index.saturating_mul(4))
}
