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

mod http;
mod link;
mod mounts;
mod nginx;
mod options;
mod process;
mod rounds;
mod scene;
mod stats;
mod table;
mod work;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use options::Options;
use scene::{Plan, Scene};
use table::Row;
use work::Bench;
use work::whole::{self, FAR, What};

/// How long one command may take: several times what the slowest peer needs for a whole image.
const LIMIT: Duration = Duration::from_mins(4);

/// A work: its name for `--only`, and what runs it.
type Work = (&'static str, fn(&Bench<'_>) -> Result<Vec<Row>>);

const WORKS: &[Work] = &[
    ("noise", whole::calibration),
    ("copy", |bench| whole::ranged(bench, What::Copy, None)),
    ("read", |bench| whole::ranged(bench, What::Read, None)),
    ("copy-far", |bench| whole::ranged(&Bench { peers: false, ..bench.clone() }, What::Copy, Some(FAR))),
    ("read-far", |bench| whole::ranged(bench, What::Read, Some(FAR))),
    ("stream", whole::streamed),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; answers whether all of it could be measured.
fn run() -> Result<bool> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        let names: Vec<_> = WORKS.iter().map(|(name, _)| *name).collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let scratch = tempfile::Builder::new().prefix("run-").tempdir_in(options.cache()?)?;
    let cache = options.cache()?;
    let plan = Plan { binary: &options.binary, cache: &cache, scratch: scratch.path(), mebibytes: options.mebibytes() };
    let scene = Scene::set(&plan).context("the scene could not be set")?;
    let bench = Bench {
        scene: &scene,
        rounds: options.rounds,
        peers: options.peers,
        options: options.mount.clone(),
        limit: LIMIT,
    };
    let chosen: Vec<_> = WORKS.iter().filter(|(name, _)| options.wants(name)).collect();
    ensure!(!chosen.is_empty(), "no work is called so");
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, work) in chosen {
        scene.warm()?;
        match work(&bench) {
            Ok(more) => rows.extend(more),
            Err(error) => {
                eprintln!("{name} could not be measured: {error:#}");
                complete = false;
            }
        }
    }
    print!("{}", table::markdown(&rows));
    if let Some(file) = &options.json {
        fs::write(file, table::lines(&rows)).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(complete)
}
