//! What is to be sent next, and how long to wait after a failure: pure, with time and chance from outside.

use std::collections::{BTreeSet, HashMap};

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
}
