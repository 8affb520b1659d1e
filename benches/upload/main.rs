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

#[expect(dead_code, reason = "each bench uses a part of it")]
#[path = "../common/mod.rs"]
mod common;
mod large;
mod mounts;
mod options;
mod requests;
mod service;
mod small;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use common::scratch::Scratch;
use common::table::{self, Row};
use options::Options;
use service::Service;

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

const WORKS: &[Work] = &[("cp", large::embedded), ("small", small::images), ("requests", requests::made)];

/// On a real service, where it is asked for.
const REAL: Work = ("real", large::real);

fn main() -> ExitCode {
    common::exit(run())
}

/// Runs what was asked for; answers whether all of it could be measured.
fn run() -> Result<bool> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        let names: Vec<_> = WORKS.iter().chain([&REAL]).map(|(name, _)| *name).collect();
        print!("{}\nworks: {}\n", options::USAGE, names.join(" "));
        return Ok(true);
    };
    let works = WORKS.iter().chain(options.real.then_some(&REAL));
    let chosen: Vec<_> = works.filter(|(name, _)| options.common.wants(name)).collect();
    ensure!(!chosen.is_empty(), "no work is called so; --list names them");
    let common = &options.common;
    let scratch = Scratch::make(&common.cache()?)?;
    let embedded = Service::embedded(&common.binary, scratch.path()).context("the scene could not be set")?;
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, work) in chosen {
        let real = if *name == REAL.0 { Some(Service::real(scratch.path())?) } else { None };
        let bench = Bench {
            service: real.as_ref().unwrap_or(&embedded),
            binary: common.binary.clone(),
            scratch: scratch.path().to_owned(),
            size: options.mebibytes << 20,
            rounds: common.rounds,
            options: common.mount(),
        };
        let more = common::rows_of(name, work(&bench));
        complete &= more.is_some();
        rows.extend(more.unwrap_or_default());
    }
    rows.extend(table::peak(&rows, common.memory));
    common::report(&rows, common)?;
    Ok(complete)
}
