//! What is to be sent next, and how long to wait after a failure: pure, with time and chance from outside.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::image::ImageId;

/// Images with the times at which their turn comes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By time, and at the same time in the order in which they came.
    order: BTreeSet<(Timestamp, u64, ImageId)>,
    places: HashMap<ImageId, (Timestamp, u64)>,
    came: u64,
}

impl Queue {
    /// Gives `image` its turn at `due`, instead of the one that it may have.
    pub(super) fn put(&mut self, image: ImageId, due: Timestamp) {
        self.remove(image);
        self.came += 1;
        self.order.insert((due, self.came, image));
        self.places.insert(image, (due, self.came));
    }

    /// Takes `image` out. Answers whether it was in.
    pub(super) fn remove(&mut self, image: ImageId) -> bool {
        let place = self.places.remove(&image);
        place.is_some_and(|(due, came)| self.order.remove(&(due, came, image)))
    }

    /// Takes out the first image whose turn has come.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<ImageId> {
        let &(_, _, image) = self.order.first().filter(|(due, ..)| *due <= now)?;
        self.remove(image);
        Some(image)
    }

    /// When the next turn comes; it may be over already.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, ..)| *due)
    }
}

/// How often and how patiently an upload is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// The pause after the first failure; it doubles after each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Patience {
    /// Where a program waits in `close`: nine tries with three minutes of pauses in all. What lasts longer than a
    /// restart of the service should be told rather than waited for.
    pub const CLOSE: Self =
        Self { tries: 9, first_pause: Duration::from_secs(1), longest_pause: Duration::from_mins(1) };

    /// Where nobody waits: until it succeeds, also over a night without the service.
    pub const BEHIND: Self =
        Self { tries: u32::MAX, first_pause: Duration::from_secs(1), longest_pause: Duration::from_mins(5) };

    /// The pause after `failed` tries have failed, or `None` when no try is left. `asked` is what the service wants
    /// (`Retry-After`); `chance` in `0.0..1.0` spreads the pauses of many over the upper half of the interval.
    pub(super) fn pause(&self, failed: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << failed.saturating_sub(1).min(20));
        let own = doubled.min(self.longest_pause).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        Some(own.max(asked.unwrap_or_default().min(self.longest_pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn turns_come_in_the_order_of_their_times_and_then_of_arrival() {
        let [a, b, c, d] = std::array::from_fn(|_| ImageId::random());
        let mut queue = Queue::default();
        for (image, due) in [(a, 5), (b, 3), (c, 3), (d, 9)] {
            queue.put(image, at(due));
        }
        assert_eq!(queue.next(), Some(at(3)));
        assert_eq!(
            [queue.take(at(2)), queue.take(at(7)), queue.take(at(7)), queue.take(at(7))],
            [None, Some(b), Some(c), Some(a)]
        );
        assert_eq!((queue.take(at(8)), queue.next()), (None, Some(at(9))));
    }

    #[test]
    fn an_image_has_one_turn_and_can_lose_it() {
        let image = ImageId::random();
        let mut queue = Queue::default();
        queue.put(image, at(1));
        queue.put(image, at(5));
        assert_eq!(queue.take(at(4)), None);
        assert!(queue.remove(image));
        assert!(!queue.remove(image));
        assert_eq!((queue.take(at(9)), queue.next()), (None, None));
    }

    #[test]
    fn pauses_double_up_to_the_longest_until_no_try_is_left() {
        let patience =
            Patience { tries: 5, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(3) };
        let pauses = [1, 2, 3, 4, 5].map(|failed| patience.pause(failed, None, 1.0).map(|pause| pause.as_secs()));
        assert_eq!(pauses, [Some(1), Some(2), Some(3), Some(3), None]);
        assert_eq!(patience.pause(1, None, 0.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_service_may_ask_for_a_longer_pause_but_not_beyond_the_longest() {
        let patience = Patience::CLOSE;
        assert_eq!(patience.pause(1, Some(Duration::from_secs(7)), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(patience.pause(1, Some(Duration::from_hours(7)), 0.0), Some(patience.longest_pause));
    }

    #[test]
    fn behind_the_writer_the_queue_never_gives_up() {
        assert!(Patience::BEHIND.pause(1_000_000, None, 0.5).is_some());
    }
}
