//! What is seen of a line for a while.

use std::time::Duration;

use super::Moment;

/// A trial takes at least so long, and at least [`TRIAL_BYTES`]: shorter ones measure how buffers fill.
pub(super) const TRIAL: Duration = Duration::from_millis(50);
pub(super) const TRIAL_BYTES: u64 = 4 << 20;

/// A trial ends after so long whatever has arrived: a line that brings less than that many bytes is slow enough to be
/// judged by what it brought.
pub(super) const LONG_TRIAL: Duration = Duration::from_millis(500);

/// The share of a trial in which somebody must have waited for bytes. A reader who does not wait shows how fast he is
/// and not how fast the service is.
const HUNGRY: f64 = 0.5;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trial {
    /// Nothing counts before this.
    pub(super) from: Moment,
    /// Bytes that are to arrive before it begins.
    pub(super) beginning: u64,
    /// Bytes that arrived, and that readers took.
    pub(super) bytes: u64,
    pub(super) taken: u64,
    hungry: Duration,
    /// Since when somebody waits.
    pub(super) since: Moment,
    /// Requests under way, times the seconds, up to a moment.
    flow: f64,
    flowed: Moment,
}

/// What a trial has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Bytes a second that arrived.
    pub(super) rate: f64,
    /// Bytes a second that readers took.
    pub(super) taken: f64,
    /// Somebody had to wait for most of the time.
    pub(super) hungry: bool,
    /// Requests under way on average.
    pub(super) under_way: f64,
}

impl Trial {
    /// One that begins at `from`.
    pub(super) fn new(from: Moment) -> Self {
        Self { from, since: from, flowed: from, ..Self::default() }
    }

    /// One that begins when so many bytes have arrived, and not before `from`.
    pub(super) fn behind(beginning: u64, from: Moment) -> Self {
        Self { beginning, ..Self::new(from) }
    }

    /// Somebody has waited until now.
    pub(super) fn hunger(&mut self, now: Moment) {
        self.hungry += now.saturating_sub(self.since.max(self.from));
    }

    /// So many requests were under way until now.
    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    pub(super) fn flow(&mut self, now: Moment, under_way: u64) {
        let since = self.flowed.max(self.from);
        self.flow += now.saturating_sub(since).as_secs_f64() * under_way as f64;
        self.flowed = now;
    }

    /// Whether it has shown something in the time that it `took` so far.
    pub(super) fn is_over(&self, took: Duration) -> bool {
        took >= LONG_TRIAL || (took >= TRIAL && self.bytes >= TRIAL_BYTES)
    }

    /// What it has shown in the time that it `took`.
    pub(super) fn shown(&self, took: Duration) -> Shown {
        let took = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = |bytes: u64| bytes as f64 / took;
        let hungry = self.hungry.as_secs_f64() >= took * HUNGRY;
        Shown { rate: rate(self.bytes), taken: rate(self.taken), hungry, under_way: self.flow / took }
    }
}
