//! Where nobody waits: what readers take, and when fewer requests are due.

use super::{LONGEST_REST, REST};

/// What is taken is averaged over about so many trials.
const LATEST: u32 = 8;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    /// Trials since the number was changed.
    trials: u32,
    taken: f64,
    /// Trials to pass before the number is lowered; doubled each time, so that one that is lowered in vain again and again
    /// is seldom.
    patience: u32,
}

impl Calm {
    pub(super) fn new() -> Self {
        Self { trials: 0, taken: 0.0, patience: REST }
    }

    /// A trial in which readers took so many bytes a second. Whether fewer requests are due.
    pub(super) fn pass(&mut self, taken: f64) -> bool {
        self.trials = self.trials.saturating_add(1);
        self.taken += (taken - self.taken) / f64::from(self.trials.min(LATEST));
        self.trials >= self.patience
    }

    /// Bytes a second that readers have taken of late.
    pub(super) fn taken(&self) -> f64 {
        self.taken
    }

    /// The number is lowered.
    pub(super) fn lower(&mut self) {
        self.patience = (self.patience * 2).min(LONGEST_REST);
    }

    /// The number was changed.
    pub(super) fn restart(&mut self) {
        self.trials = 0;
    }
}
