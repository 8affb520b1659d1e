//! Daemons of the real binary, killed with SIGKILL at moments that a seed chooses: from the first write until after the
//! verification. Each time the next mount has to find everything that was acknowledged, and nothing that is half made.
//!
//! `scripts/kill-test` runs many more moments than the tests of every day, which have `GLANCEFS_KILL_MOMENTS` for a
//! number and `GLANCEFS_KILL_SEED` for a seed. `GLANCEFS_KILL_ROUND` repeats one round.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a promise that does not hold ends with a panic, which the harness reports with what was printed"
)]

mod check;
mod folder;
mod killer;
mod plan;
#[path = "../cli/process.rs"]
mod process;
#[expect(dead_code, reason = "shared with the tests of the mount, which ask for more")]
#[path = "../mount/proxy.rs"]
mod proxy;
mod round;
#[expect(dead_code, reason = "shared with the tests of the command, which ask for more")]
#[path = "../cli/support.rs"]
mod support;
#[expect(dead_code, reason = "shared with the contracts, which ask for more")]
#[path = "../api/wire.rs"]
mod wire;
mod writer;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use plan::Plan;
use round::{Histogram, Outcome};
use tokio::runtime::Runtime;

/// So many moments are few, as they are tried each time.
const FEW: usize = 24;

/// With so many, each state is met.
const MANY: usize = 200;

/// Rounds that are played at once.
const LANES: usize = 3;

/// The states that a kill has to fall into where there are many.
const STATES: [&str; 10] =
    ["no image", "no spool", "writing", "sealed", "sending", "verifying", "waiting", "removing", "done", "making"];

fn main() -> ExitCode {
    let trial = Trial::test("nothing_is_lost_or_half_made_whenever_the_daemon_is_killed", || {
        match number("GLANCEFS_KILL_ROUND") {
            Some(seed) => repeat(seed),
            None => all(),
        }
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|why| panic!("{variable}={text}: {why}")))
}

/// Plays one round, as often as it takes to learn how long it lasts.
fn repeat(seed: u64) {
    let campaign = Campaign::new();
    let plan = Plan::draw(seed);
    println!("{plan:#?}");
    for _ in 0..2 {
        println!("{:?}", campaign.play(&plan));
    }
}

fn all() {
    let seed = number("GLANCEFS_KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let moments = number("GLANCEFS_KILL_MOMENTS").map_or(FEW, |number| usize::try_from(number).unwrap());
    println!("{moments} moments from the seed {seed}");
    let (campaign, next, failed, began) =
        (Campaign::new(), AtomicUsize::new(0), AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while !failed.load(Ordering::Acquire) {
                    let round = next.fetch_add(1, Ordering::AcqRel);
                    if round >= moments {
                        break;
                    }
                    let plan = Plan::draw(seed.wrapping_add(round as u64));
                    if catch_unwind(AssertUnwindSafe(|| campaign.play(&plan))).is_err() {
                        eprintln!("round {round} failed: repeat it with GLANCEFS_KILL_ROUND={}\n{plan:#?}", plan.seed);
                        failed.store(true, Ordering::Release);
                    }
                }
            });
        }
    });
    campaign.report(seed, began.elapsed());
    assert!(!failed.load(Ordering::Acquire), "a round failed");
    if moments >= MANY {
        let states = campaign.states.lock().unwrap();
        let missed: Vec<_> = STATES.iter().filter(|state| !states.contains_key(**state)).collect();
        assert!(missed.is_empty(), "no kill fell into {missed:?}");
    }
}

/// What all rounds share.
struct Campaign {
    runtime: Runtime,
    /// How long rounds take that nothing disturbs, by class.
    usual: Mutex<HashMap<(bool, bool, bool, bool), Duration>>,
    states: Mutex<Histogram>,
    kills: AtomicUsize,
}

impl Campaign {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, usual: Mutex::default(), states: Mutex::default(), kills: AtomicUsize::new(0) }
    }

    fn play(&self, plan: &Plan) -> Outcome {
        let class = plan.class();
        let usual = self.usual.lock().unwrap().get(&class).copied();
        let outcome = round::play(plan, &self.runtime, usual);
        if let Some(took) = outcome.took {
            let mut known = self.usual.lock().unwrap();
            let longest = known.entry(class).or_default();
            *longest = took.max(*longest);
        }
        for (state, count) in &outcome.states {
            *self.states.lock().unwrap().entry(state.clone()).or_default() += count;
        }
        self.kills.fetch_add(outcome.kills, Ordering::AcqRel);
        outcome
    }

    fn report(&self, seed: u64, took: Duration) {
        let kills = self.kills.load(Ordering::Acquire);
        println!("{kills} kills in {} s from the seed {seed}; uploads were then", took.as_secs());
        for (state, count) in self.states.lock().unwrap().iter() {
            println!("{count:>6} {state}");
        }
    }
}
