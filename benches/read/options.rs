//! What was asked for.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::common;

pub(crate) const USAGE: &str = "\
usage: scripts/bench read [--quick] [--real] [--only NAME]… [--rounds N] [--no-peers] [--memory MIB]
                          [--json FILE] [--binary FILE] [--cache FOLDER] [-- OPTIONS OF glancefs mount]

  --quick         an image of 256 MiB instead of 2 GiB, and three rounds: for a first look, not for figures
  --real          also read through a real Keystone and Glance, that $GLANCEFS_TEST_CLOUDS describes; the processor time of
                  the Glance on this machine is seen where $GLANCEFS_GLANCE_PID is its first process
  --only NAME     this work only; several times for several; --list names them
  --rounds N      how often each is measured, in turns (5)
  --no-peers      without rclone, httpdirfs, nbdkit and qemu-img
  --memory MIB    what our mounts get as --memory (256)
  --json FILE     also write a line of JSON for each row
  --binary FILE   measure this program instead of building one
  --cache FOLDER  where the image is kept between runs: glancefs/bench in $XDG_CACHE_HOME (or ~/.cache)
";

/// The arguments.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) common: common::options::Options,
    /// Whether a real Glance takes part.
    pub(crate) real: bool,
    pub(crate) peers: bool,
}

impl Options {
    /// `None` where only the usage was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let (mut real, mut peers) = (false, true);
        let own = |argument: &str, _: &mut common::options::Rest<'_>| {
            match argument {
                "--real" => real = true,
                "--no-peers" => peers = false,
                _ => return Ok(false),
            }
            Ok(true)
        };
        let common = common::options::Options::parse(USAGE, arguments, own)?;
        Ok(common.map(|common| Self { common, real, peers }))
    }

    /// The image's length in MiB.
    pub(crate) fn mebibytes(&self) -> u64 {
        if self.common.quick { 256 } else { 2048 }
    }

    /// The folder for what is kept between runs; made where there is none.
    pub(crate) fn cache(&self) -> Result<PathBuf> {
        let folder = self.common.cache()?;
        ensure!(!folder.to_string_lossy().contains([' ', ';', '{']), "nginx cannot be told of {}", folder.display());
        Ok(folder)
    }
}
