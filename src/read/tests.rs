//! Reading, from a service in memory.

mod damage;
mod flights;
mod kept;
mod leaving;
mod lines;
mod memory;
mod plain;
mod streams;

use std::sync::Arc;

use super::testing::{Fake, Shared};
use super::*;

/// A mount's worth of reading.
struct Bench {
    fake: Arc<Fake>,
    budget: Budget,
    reads: Arc<Reads>,
}

const MIB: u64 = 1 << 20;

fn bench_with(budget: u64, settings: Settings) -> Bench {
    let (fake, budget) = (Arc::new(Fake::new()), Budget::new(budget));
    let reads = Reads::new(Arc::new(Shared(Arc::clone(&fake))), budget.clone(), settings).unwrap();
    Bench { fake, budget, reads }
}

fn bench() -> Bench {
    bench_with(64 * MIB, Settings::default())
}

impl Bench {
    /// Bytes that may have been under way when requests were cut short: a chunk of each.
    fn cut_off(&self) -> u64 {
        (self.fake.log().len() * testing::CHUNK) as u64
    }

    fn open(&self, content: &Content) -> Reader {
        self.reads.open(content.clone()).unwrap()
    }
}

/// Reads all of it in reads of `step` bytes.
async fn read_all(reader: &Reader, step: u32) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    loop {
        let part = reader.read(all.len() as u64, step).await?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&part);
    }
}

/// Reads at random places, and compares with what is there.
async fn read_at_random(reader: &Reader, expected: &[u8], reads: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..reads {
        let offset = random.usize(..expected.len() + 10);
        let len = if random.bool() { random.usize(..5000) } else { random.usize(..2 << 20) };
        let got = reader.read(offset as u64, u32::try_from(len).unwrap()).await.unwrap();
        let start = offset.min(expected.len());
        let end = (offset + len).min(expected.len());
        assert!(got == expected[start..end.max(start)], "seed {seed}: {len} bytes at {offset} differ");
    }
}
