//! Who kills, and what tells him that the moment has come.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::plan::{At, Moment};
use crate::process::Watched;
use crate::proxy::{Act, Request, Step};

/// One daemon, and when it is to be killed.
pub(crate) struct Killer {
    daemon: OnceLock<Watched>,
    pub(crate) moment: Moment,
    has_fired: AtomicBool,
    /// How often it was asked what the moment waits for.
    asked: AtomicUsize,
    /// Which request that was.
    number: AtomicUsize,
}

impl Killer {
    pub(crate) fn new(moment: Moment) -> Self {
        Self {
            daemon: OnceLock::new(),
            moment,
            has_fired: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            number: AtomicUsize::new(usize::MAX),
        }
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.has_fired.load(Ordering::Acquire)
    }

    /// This is the daemon. Its moment may have come while it was started.
    pub(crate) fn is_for(&self, daemon: Watched) {
        let daemon = self.daemon.get_or_init(|| daemon);
        if self.has_fired() {
            daemon.signal(libc::SIGKILL);
        }
    }

    /// Kills.
    pub(crate) fn fire(&self) {
        self.has_fired.store(true, Ordering::Release);
        if let Some(daemon) = self.daemon.get() {
            daemon.signal(libc::SIGKILL);
        }
    }

    /// Kills after `delay`, which is shorter than a thread sleeps.
    fn fire_after(&self, delay: Duration) {
        let began = Instant::now();
        while began.elapsed() < delay {
            std::hint::spin_loop();
        }
        self.fire();
    }

    /// Waits until the daemon has ended.
    pub(crate) fn ended(&self) {
        self.daemon.get().unwrap().ended();
    }

    /// A writer is somewhere.
    pub(crate) fn writer_is(&self, image: usize, at: At) {
        if self.moment == Moment::Writer(image, at) {
            self.fire();
        }
    }

    /// The folder of uploads has changed for the nth time; `removal` says of how many removals this is the last.
    pub(crate) fn folder_changed(&self, nth: usize, removal: Option<usize>) {
        match self.moment {
            Moment::Journal(wanted, delay) if wanted == nth => self.fire_after(delay),
            Moment::Removal(wanted, delay) if Some(wanted) == removal => self.fire_after(delay),
            _ => {}
        }
    }

    /// A request is at a step. One that is to be killed at stays there.
    pub(crate) fn judge(&self, request: &Request, step: Step) -> Act {
        let Moment::Asked(asked, nth, wanted, delay) = self.moment else { return Act::Pass };
        if !asked.is(request) {
            return Act::Pass;
        }
        if step == Step::Begun && self.asked.fetch_add(1, Ordering::AcqRel) == nth {
            self.number.store(request.number, Ordering::Release);
        }
        let is_there = match (wanted, step) {
            (Step::Sent(wanted), Step::Sent(sent)) => sent >= wanted,
            _ => wanted == step,
        };
        if !is_there || self.number.load(Ordering::Acquire) != request.number {
            return Act::Pass;
        }
        if wanted == Step::Told {
            self.fire_after(delay);
            return Act::Pass;
        }
        self.fire();
        Act::Hang
    }
}
