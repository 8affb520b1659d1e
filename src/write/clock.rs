//! The time: of the wall when the mount began, and from then on what passed.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock that nobody sets, so that no turn of the queue is put off for an hour by a correction. Tests that pause
/// tokio's time own it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    wall: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        let wall = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { began: Instant::now(), wall }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.after(self.began.elapsed())
    }

    /// So long after now.
    pub(super) fn later(&self, pause: Duration) -> Timestamp {
        self.after(self.began.elapsed().saturating_add(pause))
    }

    fn after(&self, passed: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// The moment of `time`, for a timer.
    pub(super) fn instant(&self, time: Timestamp) -> Instant {
        let passed = Duration::try_from(time.duration_since(self.wall)).unwrap_or_default();
        // A timer of more than a day is set again anyway.
        self.began + passed.min(self.began.elapsed().saturating_add(Duration::from_hours(24)))
    }
}
