//! How many requests for one reader pay, and how long ones: a pure controller with injected time.
//!
//! On a fast service close by, one request fills the line, and each further one costs the service 11 ms of its
//! processor. Over a long or capped path, sixteen requests bring sixteen times the bytes. What pays is measured: while a
//! reader waits for bytes, the number of requests is doubled for a trial, or more where that has brought twice as much; it
//! stays where the rate grew with it, and falls back where it did not. From time to time it is tried with half of them.
//! Where nobody waits, what readers take says how many are needed, and not what arrives, which depends on how much is here
//! already: half of them are made where these surely bring that, and tried elsewhere.

mod calm;
mod change;
mod decide;
#[cfg(test)]
mod tests;
mod trial;

use std::time::Duration;

use calm::Calm;
use change::Change;
use decide::{Experiment, LONGEST_REST, REST};
use trial::{LONG_TRIAL, TRIAL, TRIAL_BYTES, Trial};

/// The length of each of several requests that share a way: what a connection brings in this time, in seconds, between the
/// two lengths, in bytes. A request costs the service 11 ms and a further 0.5 ms a MiB, so shorter ones are mostly cost; of
/// longer ones a reader has only the first to read while all arrive.
const PART_TAKES: f64 = 0.08;
pub(super) const PART: u64 = 8 << 20;
pub(super) const LONGEST_PART: u64 = 32 << 20;

/// A part is shorter where a connection would take longer for it, in seconds, down to this length; and where there is little
/// memory for several.
const PART_TAKES_LONG: f64 = 1.0;
pub(super) const SHORTEST_PART: u64 = 4 << 20;

/// Who has read nothing for so long begins anew.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// Where a reader begins, so many bytes come in short requests, one after the other, and do not count.
const BEGINNING: u64 = 2 << 20;

/// About as many trials as would have passed while more requests were waited for in vain.
#[expect(clippy::cast_possible_truncation, reason = "a few")]
const MORE_TRIALS: u32 = (change::MORE_BYTES / TRIAL_BYTES) as u32;

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
    /// What it has brought at its best, of which an eighth of the difference is forgotten with each trial.
    usual: f64,
    /// The most that `usual` has been. Where it is less than half of that, the line is another one.
    known: f64,
    /// What the present number brings at least, as far as is known.
    least: f64,
    /// What each request brought in the last trial that counted, in bytes a second.
    each: f64,
    /// Requests under way; and how many there were on average when somebody last waited, for each that was worth making.
    under_way: u64,
    for_each: f64,
    /// The number was changed, and no trial has shown what that brings.
    change: Option<Change>,
    /// The most requests that have paid.
    proven: u64,
    /// Trials to pass after an experiment in vain.
    rest: u32,
    /// Trials to pass before somebody who waits is given another number for a trial, and passed since the last one that has
    /// shown something.
    pause: u32,
    passed: u32,
    /// When more requests were tried last, they did not come about.
    futile: bool,
    /// What to try next is a lower number: a higher one has failed, or a lower one has paid.
    down_next: bool,
    calm: Calm,
    /// What readers have yet to take before fewer requests can be missed, in bytes: what more of them have brought.
    surplus: u64,
    latency: Duration,
    trial: Trial,
    /// In the last trial nobody had to wait for long.
    calm_now: bool,
    waiting: u32,
    /// When something was last heard of a reader.
    heard: Moment,
}

impl Pace {
    /// One request to begin with, and never more than `most`.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most: most.max(1),
            lanes: 1,
            experiment: None,
            rate: 0.0,
            usual: 0.0,
            known: 0.0,
            least: 0.0,
            each: 0.0,
            under_way: 0,
            for_each: 1.0,
            change: None,
            proven: 1,
            rest: REST,
            pause: 0,
            passed: 0,
            futile: false,
            down_next: false,
            calm: Calm::new(),
            surplus: 0,
            latency: Duration::ZERO,
            trial: Trial::behind(BEGINNING, Duration::ZERO),
            calm_now: false,
            waiting: 0,
            heard: Duration::ZERO,
        }
    }

    /// Requests that are worth making at once for one reader.
    pub(super) fn lanes(&self) -> u64 {
        self.lanes
    }

    /// The length of each of several requests, in bytes, and how much is fetched ahead by a single one.
    pub(super) fn part(&self) -> u64 {
        if self.lanes == 1 {
            return PART;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and bounded below")]
        let [part, long] = [PART_TAKES, PART_TAKES_LONG].map(|time| (self.each * time) as u64);
        part.clamp(long.clamp(SHORTEST_PART, PART), LONGEST_PART)
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

    /// A request for what is fetched ahead begins to bring bytes, or will as soon as it is answered.
    pub(super) fn begins(&mut self, now: Moment) {
        self.trial.flow(now, self.under_way);
        self.under_way += 1;
        self.follow(now);
    }

    /// A request has brought what is wanted of it.
    pub(super) fn ends(&mut self, now: Moment) {
        self.trial.flow(now, self.under_way);
        self.under_way = self.under_way.saturating_sub(1);
        self.follow(now);
    }

    /// Where the requests have followed a change, a trial begins, once those that were made for it are answered.
    fn follow(&mut self, now: Moment) {
        if self.change.as_mut().is_some_and(|change| change.follow(self.under_way)) {
            self.trial = Trial::new(now + self.latency);
        }
    }

    /// The number was changed from `before`, with which `ahead` bytes were fetched ahead of a reader.
    #[expect(clippy::cast_precision_loss, reason = "at most 64")]
    fn change_from(&mut self, before: u64, ahead: u64, now: Moment) {
        // Beside those of each reader there may be one that is about to end.
        let readers = if self.for_each < 1.0 { self.for_each } else { self.for_each.floor() };
        let old = self.for_each * before as f64;
        let new = old + (self.lanes as f64 - before as f64) * readers;
        // All readers together have no more than the mount may.
        let [old, new] = [old, new].map(|requests| requests.clamp(1.0, self.most as f64));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most 64")]
        let ahead = ahead.saturating_mul(self.for_each.ceil() as u64);
        self.change = Some(Change::new(old, new, ahead, now));
        self.follow(now);
    }

    /// `bytes` arrived since the number was changed. Whether its trial is still to come.
    fn awaits_change(&mut self, bytes: u64, now: Moment) -> bool {
        let Some(change) = &mut self.change else { return false };
        let awaited = !change.is_followed();
        if change.is_overdue(bytes, now) && awaited {
            self.give_change_up(now);
        }
        awaited
    }

    /// The requests do not follow a change of their number. More of them have shown nothing then.
    fn give_change_up(&mut self, now: Moment) {
        let more = self.change.take().is_some_and(|change| change.is_more());
        if let Some(experiment) = self.experiment.take_if(|_| more) {
            self.lanes = experiment.before;
            // It has cost nothing, and the next image may be longer. Fewer are tried as seldom as they would be else.
            self.passed = self.passed.saturating_add(MORE_TRIALS);
            (self.futile, self.down_next) = (true, self.passed >= self.rest);
            self.pause = if self.lanes > 1 { REST } else { self.seldom(self.rest).min(LONGEST_REST) };
        }
        self.trial = Trial::new(now);
    }

    /// A reader begins to wait.
    pub(super) fn wait(&mut self, now: Moment) {
        let idle = now.saturating_sub(self.heard);
        if self.waiting == 0 {
            if idle > LONG_PAUSE {
                self.begin_anew(now);
            } else if idle > TRIAL || self.surplus > 0 {
                // Nobody wanted anything so far, which says nothing about the line; or has taken what there was.
                self.surplus = 0;
                self.trial = Trial::behind(self.trial.beginning, now.max(self.trial.from));
            }
            self.trial.since = now;
        }
        self.waiting += 1;
    }

    /// A reader has what he waited for, or gave up.
    pub(super) fn served(&mut self, now: Moment) {
        self.heard = now;
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.trial.hunger(now);
        }
    }

    /// Something is heard. Where readers have paused for long without a wait, nothing has been shown.
    fn hear(&mut self, now: Moment) {
        if self.waiting == 0 && now.saturating_sub(self.heard) > LONG_TRIAL {
            self.trial = Trial::behind(self.trial.beginning, now.max(self.trial.from));
        }
        self.heard = now;
    }

    /// Readers have taken bytes.
    pub(super) fn taken(&mut self, now: Moment, bytes: u64) {
        self.hear(now);
        if self.surplus == 0 {
            self.trial.taken += if now > self.trial.from { bytes } else { 0 };
            return;
        }
        self.surplus = self.surplus.saturating_sub(bytes);
        if self.surplus == 0 {
            self.trial = Trial::new(now.max(self.trial.from));
        }
    }

    /// Bytes arrived.
    pub(super) fn arrived(&mut self, now: Moment, bytes: u64) {
        self.hear(now);
        if self.awaits_change(bytes, now) {
            return;
        }
        let Some(took) = now.checked_sub(self.trial.from) else { return };
        if self.surplus > 0 || self.trial.beginning > 0 {
            self.trial.beginning = self.trial.beginning.saturating_sub(bytes);
            if (self.surplus == 0 && self.trial.beginning == 0) || took >= LONG_TRIAL {
                self.surplus = 0;
                self.trial = Trial::new(now);
            }
            return;
        }
        if took.is_zero() {
            // It was on its way before.
            return;
        }
        self.trial.bytes += bytes;
        if !self.trial.is_over(took) {
            return;
        }
        if self.waiting > 0 {
            self.trial.hunger(now);
            self.trial.since = now;
        }
        self.trial.flow(now, self.under_way);
        self.judge(self.trial.shown(took), now);
    }

    /// Somebody reads after a pause: what was being tried has shown nothing, what has failed may not fail again, and the line
    /// may be another one.
    fn begin_anew(&mut self, now: Moment) {
        if let Some(experiment) = self.experiment.take() {
            self.lanes = experiment.before;
        }
        (self.rate, self.usual, self.known, self.least, self.for_each) = (0.0, 0.0, 0.0, 0.0, 1.0);
        (self.surplus, self.down_next, self.futile, self.change) = (0, false, false, None);
        (self.rest, self.pause, self.passed, self.calm) = (REST, self.pause.min(REST), 0, Calm::new());
        self.trial = Trial::behind(BEGINNING, now);
    }
}
