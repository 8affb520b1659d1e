//! Mounts, each served by a process of ours that ends with its guard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{Running, peak_memory, processor_seconds, timed};

/// How long a mount may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long its program may take to end. Ours finishes what it keeps on disk, for a minute at most.
const FAREWELL: Duration = Duration::from_secs(90);

/// What a daemon has spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds of a processor, user and kernel.
    pub(crate) cpu: f64,
    /// The most memory ever resident, in bytes.
    pub(crate) peak: u64,
}

/// A folder of its own for a mount, with the empty folder to mount on in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) point: PathBuf,
}

impl Place {
    pub(crate) fn make(scratch: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mount-").tempdir_in(scratch)?.keep();
        let point = folder.join("mount");
        fs::create_dir(&point)?;
        Ok(Self { folder, point })
    }
}

/// A mount; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Mount {
    daemon: Running,
    folder: PathBuf,
    pub(crate) point: PathBuf,
    /// What is worked on in it: a file, or a folder of images.
    pub(crate) target: PathBuf,
}

impl Mount {
    /// Runs a program that mounts on a place, and waits until it shows the target as `shows` wants it.
    pub(crate) fn start(
        command: &Command,
        place: Place,
        target: PathBuf,
        shows: impl Fn(&fs::Metadata) -> bool,
    ) -> Result<Self> {
        let log = place.folder.join("log");
        let daemon = Running::start(command, &log)?;
        let mut mount = Self { daemon, folder: place.folder, point: place.point, target };
        let until = Instant::now() + PATIENCE;
        while !(is_mounted(&mount.point) && fs::metadata(&mount.target).is_ok_and(|target| shows(&target))) {
            let said = || format!("{command:?}: {}", fs::read_to_string(&log).unwrap_or_default());
            mount.daemon.alive().with_context(said)?;
            ensure!(Instant::now() < until, "a mount does not answer: {}", said());
            thread::sleep(Duration::from_millis(5));
        }
        Ok(mount)
    }

    /// The number of the daemon.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What the daemon has spent since it was started.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage { cpu: processor_seconds(self.pid())?, peak: peak_memory(self.pid())? })
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
