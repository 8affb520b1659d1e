//! How fast images are written through a mount, beside the most careful script that does the same with `curl`.
//!
//! `scripts/bench upload` runs it with what it needs installed. Everything is on loopback, in the embedded service or in a
//! real one; those that are compared take turns in one run. The table goes to standard output, what happens meanwhile to
//! standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and its figures are rounded anyway"
)]

mod client;
#[path = "../read/cloud.rs"]
mod cloud;
mod large;
mod mounts;
mod options;
#[path = "../read/process.rs"]
mod process;
mod record;
#[expect(dead_code, reason = "shared with the bench of reading, which asks for more")]
#[path = "../read/rounds.rs"]
mod rounds;
#[path = "../read/scratch.rs"]
mod scratch;
mod service;
mod small;
#[path = "../read/stats.rs"]
mod stats;
#[expect(dead_code, reason = "shared with the bench of reading, which asks for more")]
#[path = "../read/table.rs"]
mod table;

/// What the shared rounds know of the wire.
mod nginx {
    /// What was moved; nobody counts it here.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Traffic {
        pub(crate) requests: u64,
        pub(crate) bytes: u64,
    }
}

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use options::Options;
use scratch::Scratch;
use service::Service;
use table::{Row, Wanted};

/// How long one command may take.
const LIMIT: Duration = Duration::from_mins(4);

/// What may be needed in memory beside the image data.
const BESIDE: u64 = 48 << 20;

/// What all works are given.
pub(crate) struct Bench<'a> {
    pub(crate) service: &'a Service,
    pub(crate) binary: PathBuf,
    pub(crate) scratch: PathBuf,
    /// The length of the large image in bytes.
    pub(crate) size: u64,
    pub(crate) rounds: usize,
    /// Options of our mounts.
    pub(crate) options: Vec<String>,
}

/// A work: its name for `--only`, and what runs it.
type Work = (&'static str, fn(&Bench<'_>) -> Result<Vec<Row>>);

const WORKS: &[Work] = &[("cp", large::embedded), ("small", small::images), ("requests", record::requests)];

/// On a real service, where it is asked for.
const REAL: Work = ("real", large::real);

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
        let names: Vec<_> = WORKS.iter().chain([&REAL]).map(|(name, _)| *name).collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let works = WORKS.iter().chain(options.real.then_some(&REAL));
    let chosen: Vec<_> = works.filter(|(name, _)| options.wants(name)).collect();
    ensure!(!chosen.is_empty(), "no work is called so; --list names them");
    let scratch = Scratch::make(&options.cache()?)?;
    let embedded = Service::embedded(&options.binary, scratch.path()).context("the scene could not be set")?;
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, work) in chosen {
        let real = if *name == REAL.0 { Some(Service::real(scratch.path())?) } else { None };
        let bench = Bench {
            service: real.as_ref().unwrap_or(&embedded),
            binary: options.binary.clone(),
            scratch: scratch.path().to_owned(),
            size: options.mebibytes << 20,
            rounds: options.rounds,
            options: options.mount(),
        };
        match work(&bench) {
            Ok(more) => rows.extend(more),
            Err(error) => {
                eprintln!("{name} COULD NOT BE MEASURED: {error:#}");
                complete = false;
            }
        }
    }
    rows.extend(memory(&rows, options.memory));
    print!("{}", table::markdown(&rows));
    if let Some(file) = &options.json {
        fs::write(file, table::lines(&rows)).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(complete)
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
