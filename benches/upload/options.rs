//! What was asked for.

use anyhow::Result;

use crate::common;

pub(crate) const USAGE: &str = "\
usage: scripts/bench upload [--quick] [--real] [--only NAME]… [--rounds N] [--size MIB] [--memory MIB]
                            [--json FILE] [--binary FILE] [--cache FOLDER] [-- OPTIONS OF glancefs mount]

  --quick         an image of 64 MiB instead of 1 GiB, and three rounds: for a first look, not for figures
  --real          also write to a real Keystone and Glance, that $GLANCEFS_TEST_CLOUDS describes
  --only NAME     this work only; several times for several; --list names them
  --rounds N      how often each is measured, in turns (5)
  --size MIB      the length of the large image
  --memory MIB    what our mounts get as --memory (256)
  --json FILE     also write a line of JSON for each row
  --binary FILE   measure this program instead of building one
  --cache FOLDER  where images and spools are during the run: glancefs/bench in $XDG_CACHE_HOME (or ~/.cache)
";

/// The arguments.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) common: common::options::Options,
    /// Whether a real Glance takes part.
    pub(crate) real: bool,
    /// The length of the large image in MiB.
    pub(crate) mebibytes: u64,
}

impl Options {
    /// `None` where only the usage was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let (mut real, mut size) = (false, None);
        let own = |argument: &str, rest: &mut common::options::Rest<'_>| {
            match argument {
                "--real" => real = true,
                "--size" => size = Some(rest.value()?.parse()?),
                _ => return Ok(false),
            }
            Ok(true)
        };
        let common = common::options::Options::parse(USAGE, arguments, own)?;
        Ok(common.map(|common| {
            let mebibytes = size.unwrap_or(if common.quick { 64 } else { 1024 });
            Self { common, real, mebibytes }
        }))
    }
}
