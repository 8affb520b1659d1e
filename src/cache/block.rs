//! A block, what names it, and the memory it lives in.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use super::spare::Spares;
use crate::budget::Reservation;
use crate::image::{Checksums, ImageId};

/// Bytes in a block; the last one of an image may be shorter.
///
/// A request costs the service some 11 ms whatever its size, so larger blocks cost less; but a small read may touch two
/// blocks and the kernel asks for up to 1 MiB at once, which touches three. With 512 KiB all of these stay below 2 MiB.
pub const BLOCK: u64 = 512 * 1024;

/// What is read: an image's bytes in one version. Bytes under the same identity never change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    image: ImageId,
    size: u64,
    checksums: Checksums,
}

impl Identity {
    /// The identity of an image's bytes: its id, its length in bytes and the hashes that the service shows.
    pub fn new(image: ImageId, size: u64, checksums: Checksums) -> Self {
        Self(Arc::new(Parts { image, size, checksums }))
    }

    /// The image.
    pub fn image(&self) -> ImageId {
        self.0.image
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The hashes that the service shows for it.
    pub fn checksums(&self) -> &Checksums {
        &self.0.checksums
    }

    /// Its number of blocks.
    pub fn blocks(&self) -> u64 {
        self.0.size.div_ceil(BLOCK)
    }

    /// The name of its block `index`.
    pub fn block(&self, index: u64) -> BlockKey {
        BlockKey { content: self.clone(), index }
    }
}

/// The name of a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// Of what it is a block.
    pub content: Identity,
    /// Its place, counted in blocks.
    pub index: u64,
}

impl BlockKey {
    /// Its place in the image, in bytes.
    pub fn offset(&self) -> u64 {
        self.index.saturating_mul(BLOCK).min(self.content.size())
    }

    /// Its length in bytes, 0 beyond the end of the image.
    pub fn length(&self) -> u64 {
        (self.content.size() - self.offset()).min(BLOCK)
    }
}

/// Memory out of the budget, filled from front to back.
///
/// It gives its bytes back to the budget when it is dropped, and then wakes those who wait for memory.
pub struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    reservation: Option<Reservation>,
    room: Arc<Room>,
}

/// What all buffers of one cache tell it.
#[derive(Debug)]
pub(super) struct Room {
    /// Fires whenever a buffer was given back.
    pub(super) freed: Notify,
    /// Bytes in all buffers.
    pub(super) held: AtomicU64,
    spares: Spares,
}

/// The share of the budget that memory without an owner may have on top of it.
const SPARE_SHARE: u64 = 16;

impl Room {
    /// The room of a cache with a budget of `total` bytes.
    pub(super) fn new(total: u64) -> Self {
        let spare = usize::try_from(total / SPARE_SHARE).unwrap_or(usize::MAX);
        Self { freed: Notify::default(), held: AtomicU64::default(), spares: Spares::new(spare) }
    }
}

impl Buffer {
    pub(super) fn new(reservation: Reservation, room: Arc<Room>) -> Self {
        room.held.fetch_add(reservation.bytes(), Ordering::AcqRel);
        // A reservation larger than the address space cannot be had, so that this conversion never cuts.
        let length = usize::try_from(reservation.bytes()).unwrap_or(usize::MAX);
        Self { bytes: room.spares.take(length), length, reservation: Some(reservation), room }
    }

    /// Bytes that are still to come.
    pub fn missing(&self) -> usize {
        self.length - self.bytes.len()
    }

    /// Appends as much of `more` as fits, and answers how many bytes those were.
    pub fn fill(&mut self, more: &[u8]) -> usize {
        let fits = more.get(..self.missing()).unwrap_or(more);
        self.bytes.extend_from_slice(fits);
        fits.len()
    }

    /// All its memory, zeroed where nothing was filled in, to be written to in place.
    pub fn whole(&mut self) -> &mut [u8] {
        self.bytes.resize(self.length, 0);
        &mut self.bytes
    }

    /// The bytes filled in, for a reader; the memory is held for as long as the answer or a part of it lives.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Buffer({} of {})", self.bytes.len(), self.length)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // First the memory, then the reservation, then the wake-up: who wakes finds both.
        self.room.spares.give(std::mem::take(&mut self.bytes));
        if let Some(reservation) = self.reservation.take() {
            self.room.held.fetch_sub(reservation.bytes(), Ordering::AcqRel);
        }
        self.room.freed.notify_waiters();
    }
}

/// One block of an image, complete. A clone shares the bytes.
#[derive(Clone, Debug)]
pub struct Block {
    key: BlockKey,
    buffer: Arc<Buffer>,
}

/// A holder of a block's memory inside `Bytes`.
struct Held(Arc<Buffer>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

/// Replies up to this length, in bytes, are copies that no reservation stands for: a small reply would otherwise keep a
/// whole block in memory.
const SMALL: usize = 64 * 1024;

impl Block {
    /// The block `key` out of its bytes. `None` where these are not as many as the block has.
    pub fn new(key: BlockKey, buffer: Buffer) -> Option<Self> {
        let fits = u64::try_from(buffer.as_ref().len()) == Ok(key.length());
        fits.then(|| Self { key, buffer: Arc::new(buffer) })
    }

    /// Its name.
    pub fn key(&self) -> &BlockKey {
        &self.key
    }

    /// Its bytes, for those who know which block they want: `None` for another one.
    pub fn bytes_of(&self, key: &BlockKey) -> Option<&[u8]> {
        (self.key == *key).then(|| self.buffer.as_ref().as_ref())
    }

    /// The bytes `part` of the block `key`, kept in memory for as long as the answer lives.
    pub fn share(&self, key: &BlockKey, part: Range<usize>) -> Option<Bytes> {
        let bytes = self.bytes_of(key)?.get(part.clone())?;
        if bytes.len() <= SMALL {
            return Some(Bytes::copy_from_slice(bytes));
        }
        Some(Bytes::from_owner(Held(Arc::clone(&self.buffer))).slice(part))
    }

    /// Whether anybody beside this one holds the bytes.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.buffer) > 1
    }
}
