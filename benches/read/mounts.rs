//! Mounts of the program under test and of its peers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::common::mounts::{Mount, Place};
use crate::floor;
use crate::scene::{self, Scene};

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

/// Mounts the service at `address` with the program under test, and waits until the image can be seen.
pub(crate) fn ours(scene: &Scene, address: SocketAddr, options: &[String]) -> Result<Mount> {
    let place = Place::make(&scene.scratch)?;
    let mut command = Command::new(&scene.binary);
    command.args(["mount", "--foreground"]).args(options).arg(scene::url(address)).arg(&place.point);
    let file = scene::path_in(&place.point, None);
    start(scene, &command, place, file)
}

/// Mounts a cloud of a clouds.yaml, and waits until this image can be seen.
pub(crate) fn cloud(scene: &Scene, clouds: &Path, who: &str, id: &str, options: &[String]) -> Result<Mount> {
    let place = Place::make(&scene.scratch)?;
    let mut command = Command::new(&scene.binary);
    command.args(["mount", "--foreground"]).args(options).arg(who).arg(&place.point);
    command.env("OS_CLIENT_CONFIG_FILE", clouds);
    let file = scene::path_in(&place.point, Some(id));
    start(scene, &command, place, file)
}

/// The floor: the original through the least of a filesystem.
pub(crate) fn floor(scene: &Scene) -> Result<Mount> {
    let place = Place::make(&scene.scratch)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--floor").arg(&scene.data).arg(&place.point);
    let file = place.point.join(floor::NAME);
    start(scene, &command, place, file)
}

/// The same for a peer.
pub(crate) fn peer(scene: &Scene, peer: Peer, address: SocketAddr) -> Result<Mount> {
    let place = Place::make(&scene.scratch)?;
    let command = peer.command(address, &place.point, &place.folder);
    let file = place.point.join("file");
    start(scene, &command, place, file)
}

fn start(scene: &Scene, command: &Command, place: Place, file: PathBuf) -> Result<Mount> {
    Mount::start(command, place, file, |file| file.len() == scene.size)
}
