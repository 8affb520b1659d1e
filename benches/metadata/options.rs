//! What was asked for.

use anyhow::{Result, ensure};

use crate::common;

pub(crate) const USAGE: &str = "\
usage: scripts/bench metadata [--quick] [--only NAME]… [--rounds N] [--images N]…
                              [--json FILE] [--binary FILE] [--cache FOLDER] [-- OPTIONS OF glancefs mount]

  --quick         1,000 and 10,000 images without 100,000, and three rounds: for a first look, not for figures
  --only NAME     this work only; several times for several; --list names them
  --rounds N      how often each is measured, in turns (5)
  --images N      with so many images; several times for several sizes (1000, 10000, 100000)
  --memory MIB    what our mounts get as --memory (256)
  --json FILE     also write a line of JSON for each row
  --binary FILE   measure this program instead of building one
  --cache FOLDER  where the images are kept between runs: glancefs/bench in $XDG_CACHE_HOME (or ~/.cache)
";

/// The arguments.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) common: common::options::Options,
    /// How many images there are, one after the other.
    pub(crate) sizes: Vec<usize>,
}

impl Options {
    /// `None` where only the usage was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut sizes = Vec::new();
        let own = |argument: &str, rest: &mut common::options::Rest<'_>| {
            if argument != "--images" {
                return Ok(false);
            }
            let images = rest.value()?.parse()?;
            ensure!(images > 0, "without images there is nothing to measure");
            sizes.push(images);
            Ok(true)
        };
        let common = common::options::Options::parse(USAGE, arguments, own)?;
        Ok(common.map(|common| {
            let usual = if common.quick { vec![1_000, 10_000] } else { vec![1_000, 10_000, 100_000] };
            sizes.sort_unstable();
            Self { common, sizes: if sizes.is_empty() { usual } else { sizes } }
        }))
    }
}
