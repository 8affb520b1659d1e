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

mod cloud;
mod floor;
mod http;
mod link;
mod mounts;
mod nginx;
mod options;
mod preads;
mod process;
mod rounds;
mod scene;
mod scratch;
mod stats;
mod table;
mod work;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use options::Options;
use scene::{Plan, Scene};
use scratch::Scratch;
use table::{Row, Wanted};
use work::whole::{self, FAR, What};
use work::{Bench, again, random, real};

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
    ("again", again::page_cache),
    ("sealed", again::sealed),
    ("random-cold", random::cold),
    ("random-memory", random::in_memory),
    ("first", random::first),
    ("interleaved", random::interleaved),
];

/// Only where it is asked for, because it needs a real service.
const REAL: Work = ("real", real::copy);

/// What may be needed in memory beside the image data.
const BESIDE: u64 = 48 << 20;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [floor, file, point] if floor == "--floor" => floor::serve(Path::new(file), Path::new(point)).map(|()| true),
        _ => run(arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; answers whether all of it could be measured.
fn run(arguments: Vec<String>) -> Result<bool> {
    let Some(options) = Options::parse(arguments.into_iter())? else {
        let names: Vec<_> = WORKS.iter().chain([&REAL]).map(|(name, _)| *name).collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let works = WORKS.iter().chain(options.real.then_some(&REAL));
    let chosen: Vec<_> = works.filter(|(name, _)| options.wants(name)).collect();
    ensure!(!chosen.is_empty(), "no work is called so; --list names them");
    let cache = options.cache()?;
    let scratch = Scratch::make(&cache)?;
    let plan = Plan { binary: &options.binary, cache: &cache, scratch: scratch.path(), mebibytes: options.mebibytes() };
    let scene = Scene::set(&plan).context("the scene could not be set")?;
    let bench = Bench {
        scene: &scene,
        rounds: options.rounds,
        peers: options.peers,
        options: options.mount(),
        disk_cache: offers(&options, "--cache-dir")?,
        limit: LIMIT,
    };
    let (mut rows, complete) = measure(&bench, &chosen);
    rows.extend(memory(&rows, options.memory));
    print!("{}", table::markdown(&rows));
    if let Some(file) = &options.json {
        fs::write(file, table::lines(&rows)).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(complete)
}

/// What the works give, and whether all of them could be measured.
fn measure(bench: &Bench<'_>, works: &[&Work]) -> (Vec<Row>, bool) {
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, work) in works {
        match bench.scene.warm().and_then(|()| work(bench)) {
            Ok(more) => {
                eprint!("{}", table::markdown(&more));
                rows.extend(more);
            }
            Err(error) => {
                eprintln!("{name} COULD NOT BE MEASURED: {error:#}");
                complete = false;
            }
        }
    }
    (rows, complete)
}

/// The most memory in all of them.
fn memory(rows: &[Row], budget: u64) -> Option<Row> {
    let peak = rows.iter().filter_map(|row| row.peak).max()?;
    let bound = (budget + BESIDE) >> 20;
    Some(Row {
        work: "peak memory in all of these".into(),
        against: "--memory + 48 MiB".into(),
        ours: format!("{} MiB", peak >> 20),
        theirs: format!("{bound} MiB"),
        figure: Some(peak as f64 / f64::from(1 << 20)),
        unit: " MiB",
        wanted: Wanted::AtMost(bound as f64),
        peak: Some(peak),
        cpu: None,
        moved: None,
        spread: (0.0, 0.0),
    })
}

/// Whether the program under test knows an option of `mount`.
fn offers(options: &Options, name: &str) -> Result<bool> {
    let help = Command::new(&options.binary).args(["mount", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(name))
}
