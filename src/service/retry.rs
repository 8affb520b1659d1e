//! When to try again: back-off with jitter and `Retry-After`, as a pure structure with injected randomness.

use std::time::Duration;

/// How often and how patiently a call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// The pause after the first failure; it doubles after each further one.
    pub first_pause: Duration,
    /// The longest pause, also where the service asks for a longer one.
    pub longest_pause: Duration,
}

impl Patience {
    /// For calls that a person waits for: 6 tries, at most about 8 s of pauses. A restart of a Glance worker takes less;
    /// what lasts longer should be told rather than waited for.
    pub const CALL: Self =
        Self { tries: 6, first_pause: Duration::from_millis(250), longest_pause: Duration::from_secs(10) };
}

impl Patience {
    /// The pause after `failed` tries have failed, or `None` when no try is left.
    ///
    /// `asked` is what the service wants (`Retry-After`); `chance` in `0.0..1.0` spreads the pauses of many clients over
    /// the upper half of the interval.
    pub fn pause(&self, failed: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << failed.saturating_sub(1).min(20));
        let own = doubled.min(self.longest_pause).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        Some(asked.map_or(own, |wish| wish.max(own)).min(self.longest_pause))
    }
}

/// The tries of one call.
#[derive(Debug)]
pub struct Tries {
    patience: Patience,
    failed: u32,
}

impl Tries {
    /// No try made yet.
    pub fn new(patience: Patience) -> Self {
        Self { patience, failed: 0 }
    }

    /// Counts a failed try. Answers how long to pause before the next one: see [`Patience::pause`].
    pub fn failed(&mut self, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        self.patience.pause(self.failed, asked, chance)
    }

    /// Forgets the failures: the call made progress since.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// How many tries failed since the last progress.
    pub fn failures(&self) -> u32 {
        self.failed
    }
}

/// The pause that a `Retry-After` header asks for: whole seconds (RFC 9110, section 10.2.3). The form with a date needs
/// the other side's clock, and no Image service sends it: it counts as absent.
pub fn retry_after(header: &str) -> Option<Duration> {
    header.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { tries: 4, first_pause: Duration::from_millis(100), longest_pause: Duration::from_millis(350) };

    #[test]
    fn pauses_double_up_to_the_longest_and_then_end() {
        let mut tries = Tries::new(PATIENCE);
        let pauses: Vec<_> = std::iter::from_fn(|| tries.failed(None, 1.0)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 350]);
    }

    #[test]
    fn chance_spreads_a_pause_over_its_upper_half() {
        assert_eq!(Tries::new(PATIENCE).failed(None, 0.0), Some(Duration::from_millis(50)));
        assert_eq!(Tries::new(PATIENCE).failed(None, 0.5), Some(Duration::from_millis(75)));
    }

    #[test]
    fn retry_after_lengthens_a_pause_but_not_beyond_the_longest() {
        let mut tries = Tries::new(PATIENCE);
        assert_eq!(tries.failed(Some(Duration::from_millis(300)), 0.0), Some(Duration::from_millis(300)));
        assert_eq!(tries.failed(Some(Duration::from_hours(1)), 0.0), Some(Duration::from_millis(350)));
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn progress_gives_all_tries_back() {
        let mut tries = Tries::new(PATIENCE);
        assert!(tries.failed(None, 0.0).is_some());
        tries.progressed();
        assert_eq!(std::iter::from_fn(|| tries.failed(None, 0.0)).count(), 3);
    }
}
