//! The cache: blocks by their names, and buffers out of the budget.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout_at};

use super::block::{Block, BlockKey, Buffer, Identity, Room};
use super::lock;
use crate::budget::{Budget, Exhausted};
use crate::image::ImageId;

/// How often those who wait for memory look again without having been woken: memory that other parts of the program
/// give back to the budget wakes nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Blocks in memory, and the place where memory for more of them is had.
#[derive(Debug)]
pub struct Cache {
    budget: Budget,
    room: Arc<Room>,
    /// The only lock; nothing is locked while it is held, and no block is given back to the allocator under it.
    blocks: Mutex<LruCache<BlockKey, Block>>,
}

impl Cache {
    /// An empty cache that lives on `budget`.
    pub fn new(budget: Budget) -> Self {
        let room = Arc::new(Room::new(budget.total()));
        Self { budget, room, blocks: Mutex::new(LruCache::unbounded()) }
    }

    /// The block `key`, where it is here; it then is the most recently used one.
    pub fn get(&self, key: &BlockKey) -> Option<Block> {
        lock(&self.blocks).get(key).cloned()
    }

    /// Whether the block is here; this is not a use of it.
    pub fn has(&self, key: &BlockKey) -> bool {
        lock(&self.blocks).contains(key)
    }

    /// Keeps a block.
    pub fn put(&self, block: Block) {
        let replaced = lock(&self.blocks).put(block.key().clone(), block);
        drop(replaced);
    }

    /// Drops all blocks of an image, in whichever version.
    pub fn forget_image(&self, image: ImageId) {
        self.forget(|key| key.content.image() == image);
    }

    /// Drops all blocks of one version of an image.
    pub fn forget_content(&self, content: &Identity) {
        self.forget(|key| key.content == *content);
    }

    fn forget(&self, doomed: impl Fn(&BlockKey) -> bool) {
        let mut blocks = lock(&self.blocks);
        let keys: Vec<BlockKey> = blocks.iter().map(|(key, _)| key).filter(|key| doomed(key)).cloned().collect();
        let dropped: Vec<Option<Block>> = keys.iter().map(|key| blocks.pop(key)).collect();
        drop(blocks);
        drop(dropped);
    }

    /// The number of blocks here.
    pub fn count(&self) -> usize {
        lock(&self.blocks).len()
    }

    /// A buffer of `length` bytes, for which cached blocks make room where they must and can.
    pub fn try_buffer(&self, length: u64) -> Result<Buffer, Exhausted> {
        loop {
            match self.budget.reserve(length) {
                Ok(reservation) => return Ok(Buffer::new(reservation, Arc::clone(&self.room))),
                Err(refused) if length > self.budget.total() || !self.evict() => return Err(refused),
                Err(_) => {}
            }
        }
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

    /// Drops the least recently used block that nobody holds. `false` when there is none.
    fn evict(&self) -> bool {
        let mut blocks = lock(&self.blocks);
        for _ in 0..blocks.len() {
            match blocks.pop_lru() {
                // What somebody holds would free nothing; being in use, it goes to the other end.
                Some((key, block)) if block.is_shared() => drop(blocks.put(key, block)),
                Some(victim) => {
                    drop(blocks);
                    drop(victim);
                    return true;
                }
                None => return false,
            }
        }
        false
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BLOCK;
    use crate::image::Checksums;

    fn content(blocks: u64) -> Identity {
        Identity::new(ImageId::random(), blocks * BLOCK, Checksums::default())
    }

    fn block(cache: &Cache, key: BlockKey) -> Block {
        let mut buffer = cache.try_buffer(key.length()).unwrap();
        let tag = u8::try_from(key.index).unwrap();
        buffer.whole().fill(tag);
        Block::new(key, buffer).unwrap()
    }

    #[test]
    fn a_block_gives_its_bytes_only_to_those_who_name_it() {
        let cache = Cache::new(Budget::new(8 * BLOCK));
        let (one, two) = (content(2), content(2));
        let kept = block(&cache, one.block(1));
        assert!(kept.bytes_of(&one.block(1)).is_some());
        assert!(kept.bytes_of(&one.block(0)).is_none());
        assert!(kept.bytes_of(&two.block(1)).is_none());
        assert!(kept.share(&two.block(1), 0..1).is_none());
    }

    #[test]
    fn a_block_of_the_wrong_length_is_none() {
        let cache = Cache::new(Budget::new(8 * BLOCK));
        let buffer = cache.try_buffer(10).unwrap();
        assert!(Block::new(content(1).block(0), buffer).is_none());
    }

    #[test]
    fn the_least_recently_used_block_makes_room() {
        let cache = Cache::new(Budget::new(3 * BLOCK));
        let content = content(4);
        for index in 0..3 {
            cache.put(block(&cache, content.block(index)));
        }
        assert!(cache.get(&content.block(0)).is_some());
        cache.put(block(&cache, content.block(3)));
        let here: Vec<bool> = (0..4).map(|index| cache.has(&content.block(index))).collect();
        assert_eq!(here, [true, false, true, true]);
        assert_eq!(cache.budget().peak(), 3 * BLOCK);
    }

    #[test]
    fn memory_is_held_for_as_long_as_a_reply_lives() {
        let cache = Cache::new(Budget::new(2 * BLOCK));
        let content = content(2);
        let kept = block(&cache, content.block(0));
        let reply = kept.share(&content.block(0), 0..100_000).unwrap();
        drop(kept);
        assert_eq!(cache.budget().held(), BLOCK);
        drop(reply);
        assert_eq!(cache.budget().held(), 0);
    }

    #[test]
    fn a_small_reply_keeps_no_block_in_memory() {
        let cache = Cache::new(Budget::new(BLOCK));
        let content = content(1);
        let reply = block(&cache, content.block(0)).share(&content.block(0), 5..4101).unwrap();
        assert_eq!((reply.len(), cache.budget().held()), (4096, 0));
    }

    #[test]
    fn blocks_that_somebody_holds_are_not_evicted_in_vain() {
        let cache = Cache::new(Budget::new(2 * BLOCK));
        let content = content(3);
        let held: Vec<Block> = (0..2).map(|index| block(&cache, content.block(index))).collect();
        for block in &held {
            cache.put(block.clone());
        }
        assert!(cache.try_buffer(BLOCK).is_err());
        assert_eq!(cache.count(), 2);
        drop(held);
        assert!(cache.try_buffer(BLOCK).is_ok());
    }

    #[test]
    fn forgetting_an_image_gives_its_memory_back() {
        let cache = Cache::new(Budget::new(8 * BLOCK));
        let (one, two) = (content(2), content(2));
        cache.put(block(&cache, one.block(0)));
        cache.put(block(&cache, two.block(0)));
        cache.forget_image(one.image());
        assert_eq!((cache.count(), cache.budget().held()), (1, BLOCK));
        cache.forget_content(&two);
        assert_eq!(cache.budget().held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_memory_gets_it_when_a_buffer_is_given_back() {
        let cache = Arc::new(Cache::new(Budget::new(BLOCK)));
        let held = cache.try_buffer(BLOCK).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let waiting = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.buffer(BLOCK, deadline).await.map(|buffer| buffer.missing()) }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.unwrap().is_ok());
        assert!(Instant::now() < deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_memory_ends_at_the_deadline() {
        let cache = Cache::new(Budget::new(BLOCK));
        let _held = cache.try_buffer(BLOCK).unwrap();
        let refused = cache.buffer(1, Instant::now() + Duration::from_secs(5)).await.unwrap_err();
        assert_eq!((refused.wanted, refused.left), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_given_back_by_another_part_of_the_program_is_found() {
        let budget = Budget::new(BLOCK);
        let cache = Cache::new(budget.clone());
        let foreign = budget.reserve(BLOCK).unwrap();
        assert_eq!(cache.held_by_others(), BLOCK);
        let give_back = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(foreign);
        };
        let (buffer, ()) = tokio::join!(cache.buffer(BLOCK, Instant::now() + Duration::from_secs(5)), give_back);
        assert!(buffer.is_ok());
    }
}
