//! Where nobody waits: what readers take, and when fewer requests are due.

use std::time::Duration;

use super::decide::{LONGEST_REST, REST};
use super::trial::TRIAL;

/// What is taken is averaged over about so many trials.
const LATEST: u32 = 8;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    /// Trials without a wait since the number was changed; and what was taken in the last ones of these, in bytes a second.
    trials: u32,
    taken: f64,
    /// Trials to pass before the number is lowered: twice as many where that was in vain, and half as many where not.
    patience: u32,
    /// It was lowered, and nothing has shown so far that this was in vain.
    lowered: bool,
}

impl Calm {
    pub(super) fn new() -> Self {
        Self { trials: 0, taken: 0.0, patience: REST, lowered: false }
    }

    /// A trial in which readers took so many bytes a second.
    pub(super) fn pass(&mut self, taken: f64) {
        self.trials = self.trials.saturating_add(1);
        self.taken += (taken - self.taken) / f64::from(self.trials.min(LATEST));
    }

    /// Whether fewer requests are due, and not before so much time has passed.
    pub(super) fn is_due(&self, earliest: Duration) -> bool {
        self.trials >= self.patience && TRIAL * self.trials >= earliest
    }

    /// Bytes a second that readers have taken of late.
    pub(super) fn taken(&self) -> f64 {
        self.taken
    }

    /// The number is lowered.
    pub(super) fn lower(&mut self) {
        if self.lowered {
            self.patience = (self.patience / 2).max(REST);
        }
        self.lowered = true;
    }

    /// The requests that were given up are needed.
    pub(super) fn regret(&mut self) {
        if std::mem::take(&mut self.lowered) {
            self.patience = (self.patience * 2).min(LONGEST_REST);
        }
    }

    /// The number was changed.
    pub(super) fn restart(&mut self) {
        self.trials = 0;
    }
}
