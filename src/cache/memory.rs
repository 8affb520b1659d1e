//! The cache: runs of blocks by their places, and buffers out of the budget.

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod interleavings;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::block::{Buffer, Identity, Room, Run};
use super::lock;
use crate::budget::{Budget, Exhausted, Reservation};
use crate::image::ImageId;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use shard::{Place, Shard};

/// How often those who wait for memory look again without having been woken: memory that other parts of the program
/// give back to the budget wakes nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Parts that are locked by themselves. Two cores look up while two others put; more parts would make "the least
/// recently used" a matter of chance.
const SHARDS: usize = 8;

/// What a reader does with a block that it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It may come back: the block is the most recently used one now.
    Kept,
    /// It passes through from one end to the other, and will hardly come back.
    Passing,
}

/// Blocks in memory, and the place where memory for more of them is had.
#[derive(Debug)]
pub struct Cache {
    budget: Budget,
    room: Arc<Room>,
    /// Each lock is taken alone; nothing is locked while it is held, and no run is given back to the allocator under it.
    shards: Vec<Mutex<Shard>>,
    /// The shard that is asked first to make room.
    turn: AtomicUsize,
}

impl Cache {
    /// An empty cache that lives on `budget`.
    pub fn new(budget: Budget) -> Self {
        Self::with_shards(budget, SHARDS)
    }

    fn with_shards(budget: Budget, shards: usize) -> Self {
        let room = Arc::new(Room::new(budget.total()));
        let shards = (0..shards.max(1)).map(|_| Mutex::default()).collect();
        Self { budget, room, shards, turn: AtomicUsize::new(0) }
    }

    /// The run that has the block `block` of `content`, where it is here.
    pub fn get(&self, content: &Identity, block: u64, how: Use) -> Option<Run> {
        let place = Place::of(content, block);
        self.shard(&place)?.get(&place, block, how)
    }

    /// Whether the block is here; this is not a use of it.
    pub fn has(&self, content: &Identity, block: u64) -> bool {
        let place = Place::of(content, block);
        self.shard(&place).is_some_and(|shard| shard.has(&place, block))
    }

    /// Keeps a run.
    pub fn put(&self, run: Run) {
        let place = Place::of(run.content(), run.blocks().start);
        let replaced = self.shard(&place).map(|mut shard| shard.put(place, run));
        drop(replaced);
    }

    /// Hears that a passing reader has left the run `run` behind: it goes before all that others came back to.
    pub fn passed(&self, run: &Run) {
        let place = Place::of(run.content(), run.blocks().start);
        let replaced = self.shard(&place).and_then(|mut shard| shard.passed(place));
        drop(replaced);
    }

    /// Drops all blocks of an image, in whichever version.
    pub fn forget_image(&self, image: ImageId) {
        self.forget(|content| content.image() == image);
    }

    /// Drops all blocks of one version of an image.
    pub fn forget_content(&self, doomed: &Identity) {
        self.forget(|content| content == doomed);
    }

    fn forget(&self, doomed: impl Fn(&Identity) -> bool) {
        for shard in &self.shards {
            let dropped = lock(shard).forget(&doomed);
            drop(dropped);
        }
    }

    /// The number of blocks here.
    pub fn count(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).count()).sum()
    }

    /// A buffer of `length` bytes, for which cached blocks make room where they must and can.
    pub fn try_buffer(&self, length: u64) -> Result<Buffer, Exhausted> {
        loop {
            match self.budget.reserve(length) {
                Ok(reservation) => return self.map(reservation),
                Err(refused) if length > self.budget.total() || !self.evict() => return Err(refused),
                Err(_) => {}
            }
        }
    }

    fn map(&self, reservation: Reservation) -> Result<Buffer, Exhausted> {
        let wanted = reservation.bytes();
        Buffer::new(reservation, Arc::clone(&self.room)).map_err(|error| {
            tracing::error!(%error, wanted, "the system has no memory");
            Exhausted { wanted, left: 0, total: self.budget.total() }
        })
    }

    /// The same, and where no cached block can make room: waits for others to give memory back, until `deadline`.
    pub async fn buffer(&self, length: u64, deadline: Instant) -> Result<Buffer, Exhausted> {
        loop {
            let freed = self.room.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on a wake-up is not missed, also one between the look and the wait.
            freed.as_mut().enable();
            let refused = match self.try_buffer(length) {
                Ok(buffer) => return Ok(buffer),
                Err(refused) => refused,
            };
            if length > self.budget.total() || Instant::now() >= deadline {
                return Err(refused);
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), freed).await;
        }
    }

    /// Drops the blocks of one span that nobody holds: of those that were passed the oldest, else of all the least
    /// recently used ones, as far as one shard knows. `false` when there are none.
    fn evict(&self) -> bool {
        let begin = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = |step: usize| self.shards.get((begin + step) % self.shards.len());
        let shards = || (0..self.shards.len()).filter_map(in_turn);
        let passed = shards().find_map(|shard| lock(shard).give_up_passed());
        let victim = passed.or_else(|| shards().find_map(|shard| lock(shard).give_up_any()));
        victim.is_some()
    }

    fn shard(&self, place: &Place) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(place.number() % self.shards.len()).map(lock)
    }

    /// Bytes of the budget that others than this cache and its buffers hold.
    pub fn held_by_others(&self) -> u64 {
        self.budget.held().saturating_sub(self.room.held.load(Ordering::Acquire))
    }

    /// The budget it lives on.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}
