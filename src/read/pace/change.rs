//! A change of the number of requests, until those that are under way have followed it.
//!
//! A reader asks for more with his next read, a long request with little left is not cut off for others, and what is under
//! way goes on when fewer are wanted: on a slow line that takes seconds, in which the line shows nothing of the new number.

use std::time::Duration;

use super::Moment;

/// More requests have not come about when so much has arrived, and so long has passed. One that is too short to be cut off for
/// others (`board.rs`) has so little left by then that the next ones have begun behind it.
pub(super) const MORE_BYTES: u64 = 32 << 20;
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
    /// It has come about.
    followed: bool,
}

impl Change {
    /// From `old` to `new` requests under way. The old ones bring `ahead` bytes at most.
    pub(super) fn new(old: f64, new: f64, ahead: u64, since: Moment) -> Self {
        // Where fewer are made, they arrive beside the old ones.
        let left = if new > old { MORE_BYTES } else { ahead.saturating_mul(2) };
        Self { old, new, since, left, followed: false }
    }

    /// Whether it is one to more requests.
    pub(super) fn is_more(&self) -> bool {
        self.new > self.old
    }

    /// Whether it comes about now, with so many requests under way.
    pub(super) fn follow(&mut self, under_way: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let comes = !self.followed && self.is_passed(under_way as f64, MOST);
        self.followed |= comes;
        comes
    }

    /// Whether it has come about.
    pub(super) fn is_followed(&self) -> bool {
        self.followed
    }

    /// It has to come about once more.
    pub(super) fn await_again(&mut self) {
        self.followed = false;
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_change_is_followed_by_most_of_the_requests_and_shown_by_half_of_them_on_average() {
        let mut more = Change::new(4.0, 16.0, 32 * MIB, Duration::ZERO);
        assert!(more.is_more() && !more.follow(12) && more.follow(13) && !more.follow(14) && more.is_followed());
        assert!(!more.is_shown(9.9) && more.is_shown(10.0));
        let mut fewer = Change::new(16.0, 8.0, 128 * MIB, Duration::ZERO);
        assert!(!fewer.is_more() && !fewer.follow(11) && fewer.follow(10) && fewer.is_followed());
        fewer.await_again();
        assert!(!fewer.follow(11) && fewer.follow(10));
        assert!(!fewer.is_shown(12.1) && fewer.is_shown(12.0));
    }

    #[test]
    fn more_requests_are_awaited_for_the_rest_of_a_long_one_and_not_less_than_a_moment() {
        let mut change = Change::new(1.0, 2.0, 8 * MIB, Duration::ZERO);
        assert!(!change.is_overdue(MORE_BYTES, MORE.mul_f64(0.99)), "a moment");
        let mut change = Change::new(1.0, 2.0, 8 * MIB, Duration::ZERO);
        assert!(!change.is_overdue(MORE_BYTES - 1, MORE), "its rest");
        assert!(change.is_overdue(1, MORE));
    }

    #[test]
    fn fewer_requests_are_awaited_until_the_old_ones_must_be_over() {
        let mut change = Change::new(16.0, 8.0, 128 * MIB, Duration::ZERO);
        assert!(!change.is_overdue(256 * MIB - 1, 10 * MORE));
        assert!(change.is_overdue(1, 10 * MORE));
    }
}
