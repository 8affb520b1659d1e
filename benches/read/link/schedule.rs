//! When bytes that enter a link leave it: pure, the time comes from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far ahead of its rate a link takes bytes in: some pieces, so that it seldom sleeps between two.
const AHEAD: Duration = Duration::from_millis(4);

/// One direction of one connection: bytes enter, wait for their turn at the rate, travel for the delay, and leave.
#[derive(Debug)]
pub(crate) struct Schedule {
    delay: Duration,
    /// Bytes a second; `None` is as many as come.
    rate: Option<u64>,
    /// When the last byte taken in will have passed the narrow place.
    free: Instant,
    /// What is under way: when it leaves, and how many bytes it is.
    travelling: VecDeque<(Instant, usize)>,
    held: usize,
}

impl Schedule {
    /// A direction through which nothing passes before `begun`.
    pub(crate) fn new(delay: Duration, rate: Option<u64>, begun: Instant) -> Self {
        Self { delay, rate, free: begun, travelling: VecDeque::new(), held: 0 }
    }

    /// Takes in what has been there since `arrived`.
    pub(crate) fn take(&mut self, arrived: Instant, bytes: usize) {
        self.free = self.free.max(arrived) + self.duration(bytes);
        self.travelling.push_back((self.free + self.delay, bytes));
        self.held += bytes;
    }

    /// Lets go of what has travelled far enough by `now`, and answers how many bytes it is.
    pub(crate) fn leave(&mut self, now: Instant) -> usize {
        let mut leaving = 0;
        while self.next().is_some_and(|due| due <= now) {
            leaving += self.travelling.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        self.held -= leaving;
        leaving
    }

    /// When the next bytes leave.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.travelling.front().map(|(due, _)| *due)
    }

    /// From when on more can be taken in.
    pub(crate) fn open_from(&self) -> Instant {
        self.free.checked_sub(AHEAD).unwrap_or(self.free)
    }

    /// Bytes that are under way.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    fn duration(&self, bytes: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let nanoseconds = (bytes as u128) * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}
