//! The embedded service, in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::Running;

/// How long it may take to read what is in its folder.
const PATIENCE: Duration = Duration::from_mins(5);

/// A running service; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Embedded {
    _running: Running,
    /// `host:port`.
    pub(crate) host: String,
}

impl Embedded {
    /// Serves a folder on any free port, with its words going to the file `log`.
    pub(crate) fn start(binary: &Path, folder: &Path, log: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("serve").arg(folder).args(["--listen", "127.0.0.1:0"]);
        let mut running = Running::start(&command, log)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(log)?;
            if let Some(url) = said.lines().find_map(|line| line.strip_prefix("Image service: http://")) {
                let host = url.trim_end_matches('/').to_owned();
                return Ok(Self { _running: running, host });
            }
            running.alive().with_context(|| said.clone())?;
            ensure!(Instant::now() < until, "the embedded service does not start: {said}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
