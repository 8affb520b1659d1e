//! A change of the number of requests, until those that are under way have followed it.
//!
//! A reader asks for more with his next read, a long request with little left is not cut off for others, and what is under
//! way goes on when fewer are wanted: on a slow line that takes seconds, in which the line shows nothing of the new number.

use std::time::Duration;

use super::Moment;

/// More requests have not come about when so much has arrived, and so long has passed: one that is too short to be cut off
/// for others is over by then.
const MORE_BYTES: u64 = 32 << 20;
const MORE: Duration = Duration::from_millis(250);

/// The share of a change that makes it one at a moment: of several requests, one is always about to begin or to end.
pub(super) const MOST: f64 = 0.75;

/// And the share that makes it one on average.
const HALF: f64 = 0.5;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Requests under way.
    old: f64,
    new: f64,
    since: Moment,
    /// Bytes that may arrive before it is given up.
    left: u64,
}

impl Change {
    /// From `old` to `new` requests under way. The old ones bring `length` bytes at most.
    pub(super) fn new(old: f64, new: f64, length: u64, since: Moment) -> Self {
        // Where fewer are made, they arrive beside the old ones.
        let left = if new > old { MORE_BYTES } else { length.saturating_mul(2) };
        Self { old, new, since, left }
    }

    /// Whether it is one to more requests.
    pub(super) fn is_more(&self) -> bool {
        self.new > self.old
    }

    /// Whether it has come about with so many requests under way.
    pub(super) fn is_followed(&self, under_way: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        self.is_passed(under_way as f64, MOST)
    }

    /// Whether it had come about when there were so many on average.
    pub(super) fn is_shown(&self, under_way: f64) -> bool {
        self.is_passed(under_way, HALF)
    }

    fn is_passed(&self, under_way: f64, share: f64) -> bool {
        let bound = self.old + (self.new - self.old) * share;
        if self.is_more() { under_way >= bound } else { under_way <= bound }
    }

    /// `bytes` arrived meanwhile. Whether it will not come about any more.
    pub(super) fn is_overdue(&mut self, bytes: u64, now: Moment) -> bool {
        self.left = self.left.saturating_sub(bytes);
        self.left == 0 && now.saturating_sub(self.since) >= MORE
    }
}
