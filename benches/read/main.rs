//! How fast images are read through a mount, beside the best other ways to get the same bytes.
//!
//! `scripts/bench read` runs it with what it needs installed. Everything is on loopback: one image in the embedded service,
//! nginx in front of it, and links that play a long and narrow way. Each pair is measured in turns, in one run, each cold
//! round with a fresh mount, while the server has the image in memory. The table goes to standard output, what happens
//! meanwhile to standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and its figures are rounded anyway"
)]

#[expect(dead_code, reason = "each bench uses a part of it")]
#[path = "../common/mod.rs"]
mod common;
mod floor;
mod hash;
mod link;
mod memory;
mod mounts;
mod nginx;
mod options;
mod preads;
mod scene;
mod work;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use common::scratch::Scratch;
use common::table::{self, Row};
use options::Options;
use scene::{Plan, Scene};
use work::whole::{self, FAR, What};
use work::{Bench, again, random, real};

/// A work: its name for `--only`, and what runs it.
type Work = (&'static str, fn(&Bench<'_>) -> Result<Vec<Row>>);

const WORKS: &[Work] = &[
    ("noise", whole::calibration),
    ("copy", |bench| whole::ranged(bench, What::Copy, None)),
    ("read", |bench| whole::ranged(bench, What::Read, None)),
    ("copy-far", |bench| whole::ranged(&Bench { peers: false, ..bench.clone() }, What::Copy, Some(FAR))),
    ("read-far", |bench| whole::ranged(bench, What::Read, Some(FAR))),
    ("read-narrow", whole::narrow),
    ("stream", whole::streamed),
    ("again", again::page_cache),
    ("sealed", again::sealed),
    ("random-cold", random::cold),
    ("random-memory", random::in_memory),
    ("first", random::first),
    ("interleaved", random::interleaved),
];

/// Only where it is asked for, because it needs a real service.
const REAL: Work = ("real", real::copy);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [floor, file, point] if floor == "--floor" => floor::serve(Path::new(file), Path::new(point)).map(|()| true),
        _ => run(arguments),
    };
    common::exit(done)
}

/// Runs what was asked for; answers whether all of it could be measured.
fn run(arguments: Vec<String>) -> Result<bool> {
    let Some(options) = Options::parse(arguments.into_iter())? else {
        let names: Vec<_> = WORKS.iter().chain([&REAL]).map(|(name, _)| *name).collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let works = WORKS.iter().chain(options.real.then_some(&REAL));
    let chosen: Vec<_> = works.filter(|(name, _)| options.common.wants(name)).collect();
    ensure!(!chosen.is_empty(), "no work is called so; --list names them");
    let cache = options.cache()?;
    let scratch = Scratch::make(&cache)?;
    let common = &options.common;
    let plan = Plan { binary: &common.binary, cache: &cache, scratch: scratch.path(), mebibytes: options.mebibytes() };
    let scene = Scene::set(&plan).context("the scene could not be set")?;
    let bench = Bench {
        scene: &scene,
        rounds: common.rounds,
        peers: options.peers,
        options: common.mount(),
        disk_cache: offers(&common.binary, "--cache-dir")?,
    };
    let (mut rows, complete) = measure(&bench, &chosen);
    rows.extend(table::peak(&rows, common.memory));
    common::report(&rows, common)?;
    Ok(complete)
}

/// What the works give, and whether all of them could be measured.
fn measure(bench: &Bench<'_>, works: &[&Work]) -> (Vec<Row>, bool) {
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, work) in works {
        let more = common::rows_of(name, bench.scene.warm().and_then(|()| work(bench)));
        complete &= more.is_some();
        rows.extend(more.unwrap_or_default());
    }
    (rows, complete)
}

/// Whether the program under test knows an option of `mount`.
fn offers(binary: &Path, name: &str) -> Result<bool> {
    let help = Command::new(binary).args(["mount", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(name))
}
