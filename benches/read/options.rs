//! What was asked for.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

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
    quick: bool,
    /// Whether a real Glance takes part.
    pub(crate) real: bool,
    only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) peers: bool,
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
            quick: false,
            real: false,
            only: vec![],
            rounds: 0,
            peers: true,
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
                "--quick" => options.quick = true,
                "--real" => options.real = true,
                "--only" => options.only.push(value()?),
                "--rounds" => options.rounds = value()?.parse()?,
                "--no-peers" => options.peers = false,
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
        if options.rounds == 0 {
            options.rounds = if options.quick { 3 } else { 5 };
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

    /// The image's length in MiB.
    pub(crate) fn mebibytes(&self) -> u64 {
        if self.quick { 256 } else { 2048 }
    }

    /// The folder for what is kept between runs; made where there is none.
    pub(crate) fn cache(&self) -> Result<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = || {
            let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
            base.map(|base| base.join("glancefs/bench"))
        };
        let folder = self.cache.clone().or_else(usual).context("neither --cache nor $HOME is given")?;
        fs::create_dir_all(&folder)?;
        let folder = fs::canonicalize(folder)?;
        ensure!(!folder.to_string_lossy().contains([' ', ';', '{']), "nginx cannot be told of {}", folder.display());
        Ok(folder)
    }
}
