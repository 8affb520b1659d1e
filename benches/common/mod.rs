//! What all benches share: programs that are run and timed, taking turns, and the table.

pub(crate) mod cloud;
pub(crate) mod embedded;
pub(crate) mod http;
pub(crate) mod mounts;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod rounds;
pub(crate) mod scratch;
pub(crate) mod stats;
pub(crate) mod table;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use self::options::Options;
use self::table::Row;

/// How long one command may take.
pub(crate) const LIMIT: Duration = Duration::from_mins(4);

/// What the shell is told: whether everything could be measured.
pub(crate) fn exit(done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The rows of one work. Its failure is told, and leaves the other works what they are: then there are none.
pub(crate) fn rows_of(work: &str, outcome: Result<Vec<Row>>) -> Option<Vec<Row>> {
    match outcome {
        Ok(rows) => {
            eprint!("{}", table::markdown(&rows));
            Some(rows)
        }
        Err(error) => {
            eprintln!("{work} COULD NOT BE MEASURED: {error:#}");
            None
        }
    }
}

/// Prints the table, and writes the lines of JSON where they were asked for.
pub(crate) fn report(rows: &[Row], options: &Options) -> Result<()> {
    print!("{}", table::markdown(rows));
    if let Some(file) = &options.json {
        fs::write(file, table::lines(rows)).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}
