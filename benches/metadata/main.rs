//! How quick folders of many images are, beside `curl` and beside real files.
//!
//! `scripts/bench metadata` runs it with what it needs installed. The images are in the embedded service on loopback; those
//! that are compared take turns in one run. The table goes to standard output, what happens meanwhile to standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and its figures are rounded anyway"
)]

#[expect(dead_code, reason = "each bench uses a part of it")]
#[path = "../common/mod.rs"]
mod common;
mod first;
mod growth;
mod images;
mod known;
mod options;
mod refresh;
mod scene;
mod start;
mod twin;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use common::rounds::Series;
use common::scratch::Scratch;
use common::table::Row;
use options::Options;
use scene::{Plan, Scene};

/// How long one command may take: a first `find` through a hundred thousand images asks a million times.
const LIMIT: Duration = Duration::from_mins(15);

/// What all works are given.
pub(crate) struct Bench<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    options: &'a common::options::Options,
}

impl Bench<'_> {
    /// Whether a part of a work was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.options.wants(name)
    }

    /// A work as the table names it.
    pub(crate) fn work(&self, name: &str) -> String {
        format!("{name}, {} images", self.scene.count)
    }
}

/// What a work gives.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) times: Vec<Times>,
}

/// Seconds by the image.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) work: &'static str,
    pub(crate) images: usize,
    pub(crate) rival: String,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
}

impl Times {
    /// `None` where one side failed.
    pub(crate) fn of(bench: &Bench<'_>, work: &'static str, ours: &Series, theirs: &Series) -> Option<Self> {
        let images = bench.scene.count;
        let each = |series: &Series| series.failed.is_none().then(|| series.seconds() / images as f64);
        Some(Self { work, images, rival: theirs.name.clone(), ours: each(ours)?, theirs: each(theirs)? })
    }
}

/// Works that share a mount: what can be asked for with `--only`, and what runs them.
type Works = (&'static [&'static str], fn(&Bench<'_>) -> Result<Found>);

const WORKS: &[Works] = &[
    (&["start"], start::works),
    (&["first"], first::listing),
    (&["ls", "find", "stat", "memory"], known::works),
    (&["refresh", "idle"], refresh::works),
];

fn main() -> ExitCode {
    common::exit(run())
}

/// Runs what was asked for; answers whether all of it could be measured.
fn run() -> Result<bool> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        let names: Vec<_> = WORKS.iter().flat_map(|(names, _)| *names).copied().collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let common = &options.common;
    let chosen: Vec<_> = WORKS.iter().filter(|(names, _)| names.iter().any(|name| common.wants(name))).collect();
    ensure!(!chosen.is_empty(), "no work is called so; --list names them");
    let cache = common.cache()?;
    let scratch = Scratch::make(&cache)?;
    let plan = Plan { binary: &common.binary, options: common.mount(), cache: &cache, scratch: scratch.path() };
    let (mut rows, mut times, mut complete) = (Vec::new(), Vec::new(), true);
    for images in &options.sizes {
        let scene = Scene::set(&plan, *images).context("the scene could not be set")?;
        let bench = Bench { scene: &scene, rounds: common.rounds, quick: common.quick, options: common };
        for (names, work) in &chosen {
            let found = work(&bench).map(|found| {
                times.extend(found.times);
                found.rows
            });
            let more = common::rows_of(&names.join(", "), found);
            complete &= more.is_some();
            rows.extend(more.unwrap_or_default());
        }
    }
    rows.extend(growth::rows(&times));
    common::report(&rows, common)?;
    Ok(complete)
}
