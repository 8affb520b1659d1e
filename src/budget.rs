//! Memory as guards: what is held above 64 KiB is held through a [`Reservation`], and given back when that is dropped.

use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};

/// A number of bytes that all holders of one mount share.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    total: u64,
    held: AtomicU64,
    peak: AtomicU64,
}

/// The budget has fewer bytes left than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes were asked for and {left} of the {total} of --memory are left")]
pub struct Exhausted {
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes that were left at that moment.
    pub left: u64,
    /// The size of the whole budget, in bytes.
    pub total: u64,
}

impl Budget {
    /// A budget of `total` bytes, none of them held.
    pub fn new(total: u64) -> Self {
        Self(Arc::new(Pool { total, held: AtomicU64::new(0), peak: AtomicU64::new(0) }))
    }

    /// Takes `wanted` bytes out of the budget for as long as the answer lives, or nothing at all.
    pub fn reserve(&self, wanted: u64) -> Result<Reservation, Exhausted> {
        let pool = &self.0;
        let grow = |held: u64| held.checked_add(wanted).filter(|sum| *sum <= pool.total);
        match pool.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow) {
            Ok(before) => {
                pool.peak.fetch_max(before + wanted, Ordering::AcqRel);
                Ok(Reservation { pool: Arc::clone(pool), bytes: wanted })
            }
            Err(held) => Err(Exhausted { wanted, left: pool.total.saturating_sub(held), total: pool.total }),
        }
    }

    /// The size of the whole budget, in bytes.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Acquire)
    }

    /// The most bytes that were ever held at once.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Acquire)
    }
}

/// Bytes taken out of a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Reservation {
    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_given_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).unwrap();
        assert_eq!(budget.reserve(41).unwrap_err(), Exhausted { wanted: 41, left: 40, total: 100 });
        drop(first);
        assert_eq!((budget.held(), budget.peak()), (0, 60));
        assert!(budget.reserve(100).is_ok());
    }

    #[test]
    fn an_absurd_wish_is_refused_and_does_not_wrap_around() {
        let budget = Budget::new(100);
        let _held = budget.reserve(1).unwrap();
        assert!(budget.reserve(u64::MAX).is_err());
        assert_eq!(budget.held(), 1);
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod interleavings {
    use shuttle::thread;

    use super::*;
    use crate::sync::interleave;

    #[test]
    fn holders_of_a_budget_never_hold_more_than_it_and_give_all_back() {
        interleave(2000, || {
            let budget = Budget::new(100);
            let holders = [40, 50, 30].map(|bytes| {
                let budget = budget.clone();
                thread::spawn(move || {
                    let reservation = budget.reserve(bytes);
                    assert!(budget.held() <= budget.total());
                    reservation.is_ok()
                })
            });
            let had = holders.map(|holder| holder.join().unwrap());
            // 30 and 40, 30 and 50 or 40 and 50 fit at once, so that two of three are refused by nobody.
            assert!(had.iter().filter(|had| **had).count() >= 2);
            assert_eq!(budget.held(), 0);
            assert!(budget.peak() <= budget.total());
        });
    }
}
