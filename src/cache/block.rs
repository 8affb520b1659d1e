//! Blocks, the runs that they come in, and the memory these live in.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;

use super::disk::Tag;
use super::spare::{Memory, Spares};
use crate::budget::Reservation;
use crate::image::{Checksums, ImageId};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Bytes in a block, the least that is fetched; the last one of an image may be shorter.
///
/// Who reads at random pays for a block at each place, so it is small; the kernel reads 128 KiB at once where nothing
/// else is asked for.
pub const BLOCK: u64 = 128 * 1024;

/// Blocks in a span. Spans divide an image as blocks do; neighbours that arrive together share one buffer within a span.
/// 1 MiB is the most that the kernel asks for at once, which is then one piece of memory.
pub const SPAN: u64 = 8;

/// What is read: an image's bytes in one version. Bytes under the same identity never change.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    image: ImageId,
    size: u64,
    checksums: Checksums,
    /// The hash of the other fields: an identity is looked up far more often than it is made.
    hash: u64,
}

impl Identity {
    /// The identity of an image's bytes: its id, its length in bytes and the hashes that the service shows.
    pub fn new(image: ImageId, size: u64, checksums: Checksums) -> Self {
        let mut hasher = DefaultHasher::new();
        (image, size, &checksums).hash(&mut hasher);
        Self(Arc::new(Parts { image, size, checksums, hash: hasher.finish() }))
    }

    /// The image.
    pub fn image(&self) -> ImageId {
        self.0.image
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The hashes that the service shows.
    pub fn checksums(&self) -> &Checksums {
        &self.0.checksums
    }

    /// A number that differs from that of most other contents.
    pub(super) fn number(&self) -> u64 {
        self.0.hash
    }

    /// Its number of blocks.
    pub fn blocks(&self) -> u64 {
        self.0.size.div_ceil(BLOCK)
    }

    /// Where the blocks `blocks` are, in bytes; cut at the end of the image.
    pub fn bytes(&self, blocks: &Range<u64>) -> Range<u64> {
        let place = |block: u64| block.saturating_mul(BLOCK).min(self.0.size);
        place(blocks.start)..place(blocks.end)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let key = |parts: &Parts| (parts.hash, parts.image, parts.size);
        Arc::ptr_eq(&self.0, &other.0) || (key(&self.0) == key(&other.0) && self.0.checksums == other.0.checksums)
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

/// The block that holds the byte at `offset`.
pub fn block_at(offset: u64) -> u64 {
    offset / BLOCK
}

/// The block behind the span that holds `block`.
pub fn span_end(block: u64) -> u64 {
    (block / SPAN + 1) * SPAN
}

/// Memory out of the budget, filled from front to back.
///
/// It gives its bytes back to the budget when it is dropped, and then wakes those who wait for memory.
pub struct Buffer {
    memory: Option<Memory>,
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

/// The share of the budget that memory without an owner may have on top of it, and bytes that are enough for it: what is
/// given back is mostly taken again at once.
const SPARE_SHARE: u64 = 16;
const ENOUGH_SPARE: u64 = 4 << 20;

impl Room {
    /// The room of a cache with a budget of `total` bytes.
    pub(super) fn new(total: u64) -> Self {
        let spare = usize::try_from((total / SPARE_SHARE).min(ENOUGH_SPARE)).unwrap_or(usize::MAX);
        Self { freed: Notify::default(), held: AtomicU64::default(), spares: Spares::new(spare) }
    }
}

impl Buffer {
    /// Memory for what was reserved.
    ///
    /// # Errors
    /// Where the system has none.
    pub(super) fn new(reservation: Reservation, room: Arc<Room>) -> io::Result<Self> {
        // A reservation larger than the address space cannot be had, so that this conversion never cuts.
        let length = usize::try_from(reservation.bytes()).unwrap_or(usize::MAX);
        // Counted before the memory is there, which takes its time: meanwhile it must not look like somebody else's.
        room.held.fetch_add(reservation.bytes(), Ordering::AcqRel);
        let mut buffer = Self { memory: None, reservation: Some(reservation), room };
        buffer.memory = Some(buffer.room.spares.take(length)?);
        Ok(buffer)
    }

    /// Bytes that are still to come.
    pub fn missing(&self) -> usize {
        self.memory.as_ref().map_or(0, Memory::missing)
    }

    /// Appends as much of `more` as fits, and answers how many bytes those were.
    pub fn fill(&mut self, more: &[u8]) -> usize {
        self.memory.as_mut().map_or(0, |memory| memory.fill(more))
    }

    /// All its memory, zeroed where nothing was filled in, to be written to in place.
    pub fn whole(&mut self) -> &mut [u8] {
        self.memory.as_mut().map(Memory::whole).unwrap_or_default()
    }

    /// The bytes filled in, for a reader; the memory is held for as long as the answer or a part of it lives.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map(Memory::bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Buffer({} bytes, {} to come)", self.as_ref().len(), self.missing())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // First the memory, then the reservation, then the wake-up: who wakes finds both.
        if let Some(memory) = self.memory.take() {
            self.room.spares.give(memory);
        }
        if let Some(reservation) = self.reservation.take() {
            self.room.held.fetch_sub(reservation.bytes(), Ordering::AcqRel);
        }
        self.room.freed.notify_waiters();
    }
}

/// Neighbouring blocks of one content within one span, complete. A clone shares the bytes.
#[derive(Clone, Debug)]
pub struct Run {
    content: Identity,
    first: u64,
    end: u64,
    buffer: Arc<Buffer>,
    /// Computed for the first who asks.
    tags: Arc<OnceLock<Vec<Tag>>>,
}

/// A holder of a run's memory inside `Bytes`.
struct Held(Arc<Buffer>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

/// Replies up to this length, in bytes, are copies that no reservation stands for: a small reply would otherwise keep a
/// whole run in memory.
const SMALL: usize = 64 * 1024;

impl Run {
    /// The blocks `blocks` of `content` out of their bytes. `None` where these are not as many as the blocks have, or
    /// the blocks are none, or lie in two spans.
    pub fn new(content: &Identity, blocks: Range<u64>, buffer: Buffer) -> Option<Self> {
        let bytes = content.bytes(&blocks);
        let fits = u64::try_from(buffer.as_ref().len()) == Ok(bytes.end - bytes.start);
        let placed = !blocks.is_empty() && blocks.end <= span_end(blocks.start).min(content.blocks());
        let (content, buffer) = (content.clone(), Arc::new(buffer));
        let tags = Arc::default();
        (fits && placed).then_some(Self { content, first: blocks.start, end: blocks.end, buffer, tags })
    }

    /// Of what these are blocks.
    pub fn content(&self) -> &Identity {
        &self.content
    }

    /// Which blocks these are.
    pub fn blocks(&self) -> Range<u64> {
        self.first..self.end
    }

    /// Which bytes of the image these are.
    pub fn range(&self) -> Range<u64> {
        self.content.bytes(&self.blocks())
    }

    /// The tags of the blocks `blocks`; none where not all of these are here. They cost a fiftieth of a hash, once.
    pub fn tags(&self, blocks: &Range<u64>) -> &[Tag] {
        let tags = self.tags.get_or_init(|| Tag::all(self.first, self.buffer.as_ref().as_ref()));
        let place = |block: u64| block.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let places = place(blocks.start).zip(place(blocks.end));
        places.and_then(|(start, end)| tags.get(start..end)).unwrap_or_default()
    }

    /// Whether it has the block `block`.
    pub fn has(&self, block: u64) -> bool {
        self.blocks().contains(&block)
    }

    /// The bytes `range` of the image `content`, for those who know what they want: `None` unless all of them are here.
    pub fn bytes_of(&self, content: &Identity, range: &Range<u64>) -> Option<&[u8]> {
        if self.content != *content {
            return None;
        }
        self.buffer.as_ref().as_ref().get(self.place(range)?)
    }

    /// The same, kept in memory for as long as the answer lives.
    pub fn share(&self, content: &Identity, range: &Range<u64>) -> Option<Bytes> {
        let bytes = self.bytes_of(content, range)?;
        if bytes.len() <= SMALL {
            return Some(Bytes::copy_from_slice(bytes));
        }
        Some(Bytes::from_owner(Held(Arc::clone(&self.buffer))).slice(self.place(range)?))
    }

    fn place(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let own = self.range();
        let start = range.start.checked_sub(own.start)?;
        let end = range.end.checked_sub(own.start)?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// Whether anybody beside this one holds the bytes.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.buffer) > 1
    }
}
