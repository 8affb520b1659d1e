//! Mounts of the program under test, each served by a process of ours that ends with its guard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::process::{Running, peak_memory, processor_seconds, timed};

/// How long a mount may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long its program may take to end.
const FAREWELL: Duration = Duration::from_secs(90);

/// What a daemon has spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds of a processor, user and kernel.
    pub(crate) cpu: f64,
    /// The most memory ever resident, in bytes.
    pub(crate) peak: u64,
}

/// A mount; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Mount {
    daemon: Running,
    folder: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Mounts the service, or what stands before it at `through`, with a state folder of its own.
    pub(crate) fn of(bench: &Bench<'_>, through: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mount-").tempdir_in(&bench.scratch)?.keep();
        let point = folder.join("mount");
        fs::create_dir(&point)?;
        let mut command = bench.service.mount(&bench.binary, &bench.options, through);
        command.arg("--state-dir").arg(folder.join("state")).arg(&point);
        let log = folder.join("log");
        let daemon = Running::start(&command, &log)?;
        let mut mount = Self { daemon, folder, point };
        let until = Instant::now() + PATIENCE;
        while !(is_mounted(&mount.point) && fs::metadata(mount.images()).is_ok()) {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            mount.daemon.alive().with_context(said)?;
            ensure!(Instant::now() < until, "a mount does not answer: {}", said());
            thread::sleep(Duration::from_millis(5));
        }
        Ok(mount)
    }

    /// The folder of images by their names.
    pub(crate) fn images(&self) -> PathBuf {
        self.point.join("by-name")
    }

    /// What the daemon has spent since it was started.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage { cpu: processor_seconds(self.daemon.pid())?, peak: peak_memory(self.daemon.pid())? })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for how in ["-u", "-uz"] {
            if is_mounted(&self.point) {
                // What it says when the mount is busy is nothing that the next attempt does not mend.
                let _ = timed(Command::new("fusermount3").arg(how).arg(&self.point), PATIENCE);
            }
        }
        self.daemon.ends(FAREWELL);
        if is_mounted(&self.point) {
            eprintln!("{} could not be unmounted", self.point.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The mount points at and below a folder.
pub(crate) fn mounted_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

fn is_mounted(point: &Path) -> bool {
    !mounted_below(point).is_empty()
}
