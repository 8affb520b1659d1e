//! Single flight: a block that several want is fetched once.
//!
//! Look into the cache, lock the table, look again, and either join the flight that is under way or claim the block. A
//! claim publishes its block into the cache first and leaves the table then, so that a block is always in one of both.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::error::ReadError;
use crate::cache::{Block, BlockKey, Cache, Identity, lock};

/// What becomes of a flight.
#[derive(Clone, Debug)]
pub(super) enum Arrival {
    /// Under way.
    Awaited,
    /// The block. Waiters get it from here and not from the cache, which may have dropped it again.
    Landed(Block),
    /// It will not come.
    Failed(ReadError),
}

/// The blocks under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Under this lock the cache's own lock is taken, never the other way round.
    table: Mutex<HashMap<BlockKey, watch::Receiver<Arrival>>>,
}

/// The duty to fetch one block. Dropped without a landing, it makes room for another try, and waiters look again.
#[derive(Debug)]
pub(super) struct Claim {
    key: BlockKey,
    sender: watch::Sender<Arrival>,
    flights: Arc<Flights>,
}

/// Where a block is.
#[derive(Debug)]
pub(super) enum Place {
    /// In memory.
    Here(Block),
    /// Under way.
    Coming(watch::Receiver<Arrival>),
    /// Neither: it must be claimed.
    Absent,
}

impl Flights {
    /// Where the block is; in the cache this is a use of it.
    pub(super) fn find(&self, cache: &Cache, key: &BlockKey) -> Place {
        if let Some(block) = cache.get(key) {
            return Place::Here(block);
        }
        let table = lock(&self.table);
        if let Some(flight) = table.get(key) {
            return Place::Coming(flight.clone());
        }
        cache.get(key).map_or(Place::Absent, Place::Here)
    }

    /// Claims those of the blocks `range` that are neither cached nor under way, as runs of neighbours.
    pub(super) fn claim(self: &Arc<Self>, cache: &Cache, content: &Identity, range: Range<u64>) -> Vec<Vec<Claim>> {
        let mut runs: Vec<Vec<Claim>> = Vec::new();
        let mut table = lock(&self.table);
        for index in range {
            let key = content.block(index);
            if table.contains_key(&key) || cache.has(&key) {
                continue;
            }
            let (sender, receiver) = watch::channel(Arrival::Awaited);
            table.insert(key.clone(), receiver);
            let claim = Claim { key, sender, flights: Arc::clone(self) };
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| last.key.index + 1 == index) => run.push(claim),
                _ => runs.push(vec![claim]),
            }
        }
        runs
    }

    /// The number of blocks under way.
    pub(super) fn count(&self) -> usize {
        lock(&self.table).len()
    }
}

impl Claim {
    /// The block that is to be fetched.
    pub(super) fn key(&self) -> &BlockKey {
        &self.key
    }

    /// Waits with the others.
    pub(super) fn join(&self) -> watch::Receiver<Arrival> {
        self.sender.subscribe()
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        // The table holds one receiver.
        self.sender.receiver_count() > 1
    }

    /// Keeps the block and gives it to all waiters.
    pub(super) fn land(self, cache: &Cache, block: Block) {
        cache.put(block.clone());
        self.sender.send_replace(Arrival::Landed(block));
    }

    /// Tells all waiters that it failed.
    pub(super) fn fail(self, error: ReadError) {
        self.sender.send_replace(Arrival::Failed(error));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let gone = lock(&self.flights.table).remove(&self.key);
        drop(gone);
    }
}
