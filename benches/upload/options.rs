//! What was asked for.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

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
    /// Whether a real Glance takes part.
    pub(crate) real: bool,
    only: Vec<String>,
    pub(crate) rounds: usize,
    /// The length of the large image in MiB.
    pub(crate) mebibytes: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) binary: PathBuf,
    cache: Option<PathBuf>,
    /// The budget that our mounts get, in bytes.
    pub(crate) memory: u64,
    mount: Vec<String>,
}

impl Options {
    /// `None` where only the usage was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            real: false,
            only: vec![],
            rounds: 5,
            mebibytes: 1024,
            json: None,
            binary: env!("CARGO_BIN_EXE_glancefs").into(),
            cache: None,
            memory: 256 << 20,
            mount: vec![],
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "-h" | "--help" | "--list" => return Ok(None),
                "--quick" => (options.mebibytes, options.rounds) = (64, 3),
                "--real" => options.real = true,
                "--only" => options.only.push(value()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--size" => options.mebibytes = value()?.parse()?,
                "--memory" => options.memory = value()?.parse::<u64>()? << 20,
                "--json" => options.json = Some(value()?.into()),
                "--binary" => options.binary = fs::canonicalize(value()?).context("there is no such program")?,
                "--cache" => options.cache = Some(value()?.into()),
                // Cargo adds it for every bench.
                "--bench" => {}
                "--" => options.mount = arguments.by_ref().collect(),
                other => bail!("unknown: {other}\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }

    /// Whether a work was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// The options for our mounts.
    pub(crate) fn mount(&self) -> Vec<String> {
        let memory = ["--memory".to_owned(), format!("{}MiB", self.memory >> 20)];
        memory.into_iter().chain(self.mount.iter().cloned()).collect()
    }

    /// The folder for the run's own; made where there is none.
    pub(crate) fn cache(&self) -> Result<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = || {
            let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
            base.map(|base| base.join("glancefs/bench"))
        };
        let folder = self.cache.clone().or_else(usual).context("neither --cache nor $HOME is given")?;
        fs::create_dir_all(&folder)?;
        Ok(fs::canonicalize(folder)?)
    }
}
