//! How many requests for one reader pay: a pure controller with injected time.
//!
//! On a fast service close by, one request fills the line, and each further one costs the service 11 ms of its
//! processor. Over a long or capped path, twelve requests bring twelve times the bytes. What pays is measured: while a
//! reader waits for bytes, the number of requests is doubled for a trial, or more where that has brought twice as much; it
//! stays where the rate grew with it, and falls back where it did not. From time to time it is tried with half of them.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// A trial takes at least so long, and at least [`TRIAL_BYTES`]: shorter ones measure how buffers fill.
const TRIAL: Duration = Duration::from_millis(50);
const TRIAL_BYTES: u64 = 4 << 20;

/// A trial ends after so long whatever has arrived: a line that brings less than that many bytes is slow enough to be
/// judged by what it brought.
const LONG_TRIAL: Duration = Duration::from_secs(2);

/// So long after a change nothing is counted, in times of the latency: what was asked for before still arrives.
const SETTLING: u32 = 2;

/// The rate that twice the requests must reach to be kept. Less is noise, or other readers' loss.
const PAYS: f64 = 1.25;

/// So many times as many requests are tried; and so many where the last ones brought each as much as those before.
const STEP: u64 = 2;
const LEAP: u64 = 4;

/// The share of the rate that half of the requests must keep to be enough.
const ENOUGH: f64 = 0.9;

/// So many requests are halved when nobody waits, whatever half of them may bring: that is tried again soon.
const FEW: u64 = 2;

/// The share of a trial in which somebody must have waited for bytes. A reader who does not wait shows how fast he is
/// and not how fast the service is.
const HUNGRY: f64 = 0.5;

/// Trials passed before the next experiment, after the first one that failed; doubled for each further one up to the
/// second number. The first may have failed because its connections were new.
const REST: u32 = 2;
const LONGEST_REST: u32 = 256;

/// A point in time, counted from any beginning.
pub(super) type Moment = Duration;

/// The controller of one mount.
#[derive(Debug)]
pub(super) struct Pace {
    most: u64,
    lanes: u64,
    experiment: Option<Experiment>,
    /// The rate with the present number, in bytes a second; the last trials count most.
    rate: f64,
    /// What the present number brings at least, as far as is known.
    least: f64,
    /// The most requests that have paid.
    proven: u64,
    rest: u32,
    /// Trials to pass before the next experiment.
    pause: u32,
    /// What to try next, once a higher number has failed.
    down_next: bool,
    /// Trials in which nobody had to wait, since the number was changed.
    calm: u32,
    latency: Duration,
    trial: Trial,
    /// In the last trial nobody had to wait for long.
    calm_now: bool,
    waiting: u32,
}

/// A number of requests that is being tried, and what was before.
#[derive(Clone, Copy, Debug)]
struct Experiment {
    before: u64,
    rate: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    /// Nothing counts before this.
    from: Moment,
    bytes: u64,
    hungry: Duration,
    /// Since when somebody waits.
    since: Moment,
}

impl Pace {
    /// One request to begin with, and never more than `most`.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most: most.max(1),
            lanes: 1,
            experiment: None,
            rate: 0.0,
            least: 0.0,
            proven: 1,
            rest: REST,
            pause: 0,
            down_next: false,
            calm: 0,
            latency: Duration::ZERO,
            trial: Trial::default(),
            calm_now: false,
            waiting: 0,
        }
    }

    /// Requests that are worth making at once for one reader.
    pub(super) fn lanes(&self) -> u64 {
        self.lanes
    }

    /// Whether the number is not about to change: a long request that has to share its way is cut off, and what of it
    /// was under way is lost.
    pub(super) fn is_settled(&self) -> bool {
        self.experiment.is_none() && (self.pause > 0 || self.calm > 0)
    }

    /// Whether bytes come in time, so that they may gather for a moment before they are taken.
    pub(super) fn is_calm(&self) -> bool {
        self.waiting == 0 && self.calm_now
    }

    /// The time from a request to its first byte, as of late.
    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    /// A request was answered `latency` after it was made.
    pub(super) fn answered(&mut self, latency: Duration) {
        self.latency = if self.latency.is_zero() { latency } else { (self.latency * 3 + latency) / 4 };
    }

    /// A reader begins to wait.
    pub(super) fn wait(&mut self, now: Moment) {
        if self.waiting == 0 {
            self.trial.since = now;
            if self.trial.bytes == 0 && self.trial.hungry.is_zero() {
                // Nobody wanted anything so far, which says nothing about the line.
                self.trial.from = self.trial.from.max(now);
            }
        }
        self.waiting += 1;
    }

    /// A reader has what he waited for, or gave up.
    pub(super) fn served(&mut self, now: Moment) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.hunger(now);
        }
    }

    /// Bytes arrived.
    pub(super) fn arrived(&mut self, now: Moment, bytes: u64) {
        let Some(took) = now.checked_sub(self.trial.from) else { return };
        self.trial.bytes += bytes;
        if (took < TRIAL || self.trial.bytes < TRIAL_BYTES) && took < LONG_TRIAL {
            return;
        }
        if self.waiting > 0 {
            self.hunger(now);
            self.trial.since = now;
        }
        let hungry = self.trial.hungry.as_secs_f64() >= took.as_secs_f64() * HUNGRY;
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = self.trial.bytes as f64 / took.as_secs_f64();
        self.judge(rate, hungry, now);
    }

    fn hunger(&mut self, now: Moment) {
        let since = self.trial.since.max(self.trial.from);
        self.trial.hungry += now.saturating_sub(since);
    }

    fn judge(&mut self, rate: f64, hungry: bool, now: Moment) {
        let before = self.lanes;
        self.calm_now = !hungry;
        match self.experiment.take() {
            Some(experiment) => self.conclude(experiment, rate, hungry),
            // Nobody waits: nothing is learnt, and nothing is lost with what there was before.
            None if !hungry => self.ease(rate),
            None => {
                self.rate = if self.rate > 0.0 { f64::midpoint(self.rate, rate) } else { rate };
                self.least = rate;
                self.pause = self.pause.saturating_sub(1);
                if self.pause == 0 {
                    self.begin(STEP);
                }
            }
        }
        let settling = if self.lanes == before { Duration::ZERO } else { self.latency * SETTLING };
        self.trial = Trial { from: now + settling, bytes: 0, hungry: Duration::ZERO, since: now };
    }

    /// Who does not wait with so many requests, and takes `rate`, may not have to with fewer, which cost the service less.
    /// Half of many bring half as much at least; where that is too little, nothing need be tried.
    fn ease(&mut self, rate: f64) {
        self.calm += 1;
        let half = self.least / 2.0;
        let enough = self.lanes <= FEW || rate < half * ENOUGH;
        if self.calm >= self.rest && self.lanes > 1 && enough {
            self.lanes /= 2;
            (self.calm, self.pause, self.rate, self.least) = (0, 0, 0.0, half);
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
    }

    /// Begins an experiment with half of the requests, or with `step` times as many.
    fn begin(&mut self, step: u64) {
        let down = (self.down_next || self.lanes == self.most) && self.lanes > 1;
        let tried = if down { self.lanes / 2 } else { (self.lanes * step).min(self.most) };
        if tried != self.lanes {
            self.experiment = Some(Experiment { before: self.lanes, rate: self.rate });
            self.lanes = tried;
        }
    }

    fn conclude(&mut self, experiment: Experiment, rate: f64, hungry: bool) {
        let up = self.lanes > experiment.before;
        if rate < experiment.rate * if up { PAYS } else { ENOUGH } {
            (self.lanes, self.least) = (experiment.before, experiment.rate);
            self.down_next = up;
            if !hungry {
                // A reader who does not wait shows nothing about the number.
                return;
            }
        } else {
            (self.rate, self.least) = (rate, rate);
            self.down_next = !up;
            if self.lanes > self.proven {
                (self.proven, self.rest) = (self.lanes, REST);
            }
            if up && self.lanes < self.most {
                // What brought more may bring more again; at once, since a reader waits.
                #[expect(clippy::cast_precision_loss, reason = "at most 64")]
                let times = self.lanes as f64 / experiment.before as f64;
                return self.begin(if rate >= experiment.rate * times * ENOUGH { LEAP } else { STEP });
            }
        }
        self.pause = self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}
