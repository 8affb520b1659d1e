//! What is seen of a line for a while.

use std::time::Duration;

use super::Moment;

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

    /// What it has shown in the time that it `took`, where somebody waited for at least this share of it.
    pub(super) fn shown(&self, took: Duration, hungry: f64) -> Shown {
        let took = took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = |bytes: u64| bytes as f64 / took;
        let hungry = self.hungry.as_secs_f64() >= took * hungry;
        Shown { rate: rate(self.bytes), taken: rate(self.taken), hungry, under_way: self.flow / took }
    }
}
