//! What follows from a trial that is over: another number, tried or kept.

use std::time::Duration;

use super::calm::Calm;
use super::change::MOST;
use super::trial::{Shown, Trial};
use super::{Moment, Pace};

/// The rate that more requests must reach to be kept. Less is noise, or other readers' loss.
const PAYS: f64 = 1.25;

/// So many times as many requests are tried; and so many where the last ones brought each nearly as much as those before.
const STEP: u64 = 2;
const LEAP: u64 = 4;

/// The share of the rate that half of the requests must keep to be enough.
const ENOUGH: f64 = 0.9;

/// What is taken is as much as what arrived before from this share on: the read in whose midst a trial ends does not count.
const AS_MUCH: f64 = 0.95;

/// So many requests are halved without a trial when nobody waits, whatever half of them may bring: who waits then has them
/// again soon.
const FEW: u64 = 2;

/// A trial with fewer requests in vain empties the way, which is slow to fill again: it comes after so many times the latency
/// at the earliest.
pub(super) const REFILLS: u32 = 200;

/// Where fewer long requests are under way on average, readers want single blocks.
const FEWEST: f64 = 0.5;

/// Trials passed before the next experiment, after the first one that is over; doubled for each further one, up to the last
/// number. The first may have failed because its connections were new. With a single request they are four times as many,
/// and grow fourfold: it is a long one, and the several ones of an experiment cost the service many times what it does.
pub(super) const REST: u32 = 2;
const SELDOM: u32 = 4;
pub(super) const LONGEST_REST: u32 = 256;

/// A number of requests that is being tried, and what was before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Experiment {
    pub(super) before: u64,
    /// Bytes a second that arrived; or that were taken, where nobody waited.
    pub(super) rate: f64,
    /// Nobody waited, and fewer may do.
    pub(super) calm: bool,
}

impl Pace {
    /// A trial is over.
    pub(super) fn judge(&mut self, seen: Shown, now: Moment) {
        let (lanes, window) = (self.lanes, self.lanes * self.part());
        self.calm_now = !seen.hungry;
        if seen.hungry && !self.is_of_the_number(seen, now) {
            return;
        }
        self.change = None;
        match self.experiment.take() {
            Some(experiment) => self.conclude(experiment, seen),
            None if !seen.hungry => self.ease(seen.taken),
            None => self.learn(seen.rate),
        }
        self.trial = Trial::new(now);
        if self.lanes == lanes {
            self.surplus = 0;
            return;
        }
        self.calm.restart();
        if self.lanes < lanes && self.waiting == 0 && !seen.hungry {
            // Beyond what is too much, as much again: the requests that stay have to be made anew first.
            self.surplus = window;
        }
        self.change_from(lanes, window, now);
    }

    /// Whether a trial in which somebody waited shows what the present number of requests brings. Where it does not, another
    /// one has begun.
    fn is_of_the_number(&mut self, seen: Shown, now: Moment) -> bool {
        if seen.under_way < FEWEST {
            // Readers of single blocks, to whom the number is nothing.
            self.lanes = self.experiment.take().map_or(self.lanes, |experiment| experiment.before);
            self.change = None;
            self.trial = Trial::new(now);
            return false;
        }
        if let Some(change) = self.change.as_mut().filter(|change| !change.is_shown(seen.under_way)) {
            // It was followed for a moment only.
            change.await_again();
            if change.is_overdue(0, now) {
                self.give_change_up(now);
            } else {
                self.follow(now);
            }
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let for_each = seen.under_way / self.lanes as f64;
        let like = for_each >= self.for_each * MOST && for_each * MOST <= self.for_each;
        if self.experiment.is_none() && !like {
            // A reader begins, or is about to end; or what was under way before is not over. What stays is usual in the end.
            self.for_each = f64::midpoint(self.for_each, for_each);
            self.trial = Trial::new(now);
            return false;
        }
        (self.for_each, self.each) = (for_each, seen.rate / seen.under_way.max(1.0));
        true
    }

    /// The present number brings `rate`, and somebody waits for more.
    fn learn(&mut self, rate: f64) {
        self.rate = if self.rate > 0.0 { f64::midpoint(self.rate, rate) } else { rate };
        self.least = self.rate;
        self.usual = rate.max(self.usual - (self.usual - rate) / 8.0);
        self.known = self.known.max(self.usual);
        if self.usual * 2.0 < self.known {
            (self.known, self.down_next) = (self.usual, false);
            self.pause = self.pause.min(self.seldom(REST));
            self.calm = Calm::new();
        }
        self.pause = self.pause.saturating_sub(1);
        self.passed = self.passed.saturating_add(1);
        if self.pause == 0 {
            self.begin(STEP, rate);
        }
    }

    /// Who does not wait with so many requests, and takes `taken`, may not have to with fewer, which cost the service less.
    /// Half of many bring at least half as much. Where that is enough, half are made; elsewhere half are tried.
    fn ease(&mut self, taken: f64) {
        self.calm.pass(taken);
        let half = self.least / 2.0;
        // Who takes little in one trial may have paused.
        let unsure = self.lanes > FEW && taken.max(self.calm.taken()) >= half * ENOUGH;
        let costs = if unsure { self.latency * REFILLS } else { Duration::ZERO };
        if self.lanes == 1 || !self.calm.is_due(costs) {
            return;
        }
        self.calm.lower();
        if unsure {
            self.experiment = Some(Experiment { before: self.lanes, rate: self.calm.taken(), calm: true });
        } else {
            self.spare(half);
        }
        self.lanes /= 2;
    }

    /// Fewer requests are left, which bring `least` bytes a second at least. Who waits for more is given more again.
    fn spare(&mut self, least: f64) {
        (self.pause, self.down_next) = (0, false);
        (self.rate, self.least) = (0.0, least);
        (self.usual, self.known) = (0.0, 0.0);
    }

    fn rest_longer(&mut self) {
        let longer = if self.lanes == 1 { self.seldom(self.rest) } else { self.rest * 2 };
        self.rest = longer.min(LONGEST_REST);
    }

    /// How many trials to pass where `trials` would do for several requests.
    pub(super) fn seldom(&self, trials: u32) -> u32 {
        if self.lanes == 1 { trials * SELDOM } else { trials }
    }

    /// Begins an experiment with half of the requests, or with `step` times as many, which are not to be credited with the
    /// end of a falter: the last trial brought `last`.
    fn begin(&mut self, step: u64, last: f64) {
        let down = (self.down_next || self.lanes == self.most) && self.lanes > 1;
        let tried = if down { self.lanes / 2 } else { (self.lanes * step).min(self.most) };
        if tried != self.lanes {
            let rate = if down { self.rate } else { self.rate.max(last) };
            self.experiment = Some(Experiment { before: self.lanes, rate, calm: false });
            self.lanes = tried;
        }
    }

    fn conclude(&mut self, experiment: Experiment, seen: Shown) {
        // What was here already is taken, too.
        let lasting = if seen.hungry { seen.rate } else { seen.rate.min(seen.taken) };
        if experiment.calm {
            if lasting >= experiment.rate * ENOUGH {
                self.spare(lasting);
            } else {
                // They were needed, and fewer are not what a reader who waits needs next.
                (self.lanes, self.down_next) = (experiment.before, false);
                self.calm.regret();
            }
            return;
        }
        let up = self.lanes > experiment.before;
        (self.passed, self.futile) = (0, self.futile && !up);
        let pays = match (up, seen.hungry) {
            (true, true) => seen.rate >= experiment.rate * PAYS,
            // Nobody waits any more. Those before would do where they brought as much as is taken; and a single one where
            // little more is taken, because it can be long and several cannot.
            (true, false) => seen.taken >= experiment.rate * if experiment.before == 1 { PAYS } else { AS_MUCH },
            (false, _) => lasting >= experiment.rate * ENOUGH,
        };
        if pays {
            self.rate = if seen.hungry { seen.rate } else { 0.0 };
            (self.usual, self.known) = (self.rate, self.rate);
            // A reader who does not wait shows less than there is.
            self.least = if up { seen.rate.max(experiment.rate) } else { seen.rate };
            self.down_next = !up;
            if up {
                self.calm.regret();
            }
            if self.lanes > self.proven || !up {
                // What was tried before was tried under other circumstances.
                (self.proven, self.rest) = (self.proven.max(self.lanes), REST);
            }
            if up && seen.hungry && self.lanes < self.most {
                // What brought more may bring more again; at once, since a reader waits.
                #[expect(clippy::cast_precision_loss, reason = "at most 64")]
                let times = self.lanes as f64 / experiment.before as f64;
                let step = if seen.rate >= experiment.rate * times * ENOUGH { LEAP } else { STEP };
                return self.begin(step, seen.rate);
            }
        } else {
            self.lanes = experiment.before;
            self.down_next = up && seen.hungry;
            if up && !seen.hungry && seen.taken < experiment.rate / 2.0 {
                // He has stopped, which says nothing about the number.
                return;
            }
        }
        self.pause = if self.futile { self.seldom(REST) } else { self.seldom(self.rest).min(LONGEST_REST) };
        self.rest_longer();
    }
}
