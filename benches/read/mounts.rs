//! Mounts of the program under test and of its peers, each served by a process of ours that ends with its guard.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::floor;
use crate::process::{Running, peak_memory, processor_seconds, timed};
use crate::scene::{self, Scene};

/// How long a mount may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long its program may take to end. Ours finishes what it keeps on disk, for a minute at most.
const FAREWELL: Duration = Duration::from_secs(90);

/// A program other than ours that shows a file behind a URL as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Rclone,
    /// With its cache on disk, which it also reads ahead into: without, each request waits 100 ms.
    Httpdirfs,
    Nbdfuse,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Rclone, Self::Httpdirfs, Self::Nbdfuse];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rclone => "rclone mount",
            Self::Httpdirfs => "httpdirfs --cache",
            Self::Nbdfuse => "nbdkit curl + nbdfuse",
        }
    }

    fn command(self, address: SocketAddr, point: &Path, folder: &Path) -> Command {
        match self {
            Self::Rclone => {
                let mut command = Command::new("rclone");
                command.args(["mount", ":http:"]).arg(point).args(["--read-only", "--http-url"]);
                command.arg(scene::folder_url(address)).env("RCLONE_CONFIG", folder.join("rclone.conf"));
                command
            }
            Self::Httpdirfs => {
                let mut command = Command::new("httpdirfs");
                // It looks for a header that nginx leaves out of answers to ranges.
                command.args(["-f", "--no-range-check", "--cache", "--cache-location"]).arg(folder);
                command.arg(scene::listing_url(address)).arg(point).env("XDG_CONFIG_HOME", folder);
                command
            }
            Self::Nbdfuse => {
                let mut command = Command::new("nbdfuse");
                command.arg("-r").arg(point.join("file")).args(["[", "nbdkit", "curl"]);
                command.arg(format!("url={}", scene::file_url(address))).arg("]");
                command
            }
        }
    }
}

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
    point: PathBuf,
    folder: PathBuf,
    /// The image's bytes in it.
    pub(crate) file: PathBuf,
}

impl Mount {
    /// Mounts the service at `address` with the program under test, and waits until the image can be seen.
    pub(crate) fn ours(scene: &Scene, address: SocketAddr, options: &[String]) -> Result<Self> {
        let place = Place::make(scene)?;
        let mut command = Command::new(&scene.binary);
        command.args(["mount", "--foreground"]).args(options).arg(scene::url(address)).arg(&place.point);
        let file = scene::path_in(&place.point, None);
        Self::start(&mut command, place, file, scene.size)
    }

    /// Mounts a cloud of a clouds.yaml, and waits until this image can be seen.
    pub(crate) fn cloud(scene: &Scene, clouds: &Path, who: &str, id: &str, options: &[String]) -> Result<Self> {
        let place = Place::make(scene)?;
        let mut command = Command::new(&scene.binary);
        command.args(["mount", "--foreground"]).args(options).arg(who).arg(&place.point);
        command.env("OS_CLIENT_CONFIG_FILE", clouds);
        let file = scene::path_in(&place.point, Some(id));
        Self::start(&mut command, place, file, scene.size)
    }

    /// The floor: the original through the least of a filesystem.
    pub(crate) fn floor(scene: &Scene) -> Result<Self> {
        let place = Place::make(scene)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--floor").arg(&scene.data).arg(&place.point);
        let file = place.point.join(floor::NAME);
        Self::start(&mut command, place, file, scene.size)
    }

    /// The same for a peer.
    pub(crate) fn peer(scene: &Scene, peer: Peer, address: SocketAddr) -> Result<Self> {
        let place = Place::make(scene)?;
        let mut command = peer.command(address, &place.point, &place.folder);
        let file = place.point.join("file");
        Self::start(&mut command, place, file, scene.size)
    }

    fn start(command: &mut Command, place: Place, file: PathBuf, size: u64) -> Result<Self> {
        let log = place.folder.join("log");
        let daemon = Running::start(command, &log)?;
        let mut mount = Self { daemon, point: place.point, folder: place.folder, file };
        let until = Instant::now() + PATIENCE;
        while !(is_mounted(&mount.point) && fs::metadata(&mount.file).is_ok_and(|file| file.len() == size)) {
            let said = || format!("{command:?}: {}", fs::read_to_string(&log).unwrap_or_default());
            mount.daemon.alive().with_context(said)?;
            ensure!(Instant::now() < until, "a mount does not answer: {}", said());
            thread::sleep(Duration::from_millis(5));
        }
        Ok(mount)
    }

    /// What the daemon has spent since it was started.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage { cpu: processor_seconds(self.daemon.pid())?, peak: peak_memory(self.daemon.pid())? })
    }

    /// Unmounts, and waits until the program has ended.
    fn unmount(&mut self) {
        for how in ["-u", "-uz"] {
            if !is_mounted(&self.point) {
                break;
            }
            let mut command = Command::new("fusermount3");
            // What it says when the mount is busy is nothing that the next attempt does not mend.
            let _ = timed(command.arg(how).arg(&self.point), PATIENCE);
        }
        self.daemon.ends(FAREWELL);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
        if is_mounted(&self.point) {
            eprintln!("{} could not be unmounted", self.point.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A folder of its own with an empty folder `mount` in it.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    point: PathBuf,
}

impl Place {
    fn make(scene: &Scene) -> Result<Self> {
        let mut number = 0;
        let folder = loop {
            let folder = scene.scratch.join(format!("mount-{number}"));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                made => break made.map(|()| folder)?,
            }
        };
        let point = folder.join("mount");
        fs::create_dir(&point)?;
        Ok(Self { folder, point })
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
