//! What was asked for, as far as all benches understand it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The arguments.
#[derive(Debug)]
pub(crate) struct Options {
    /// A first look is enough.
    pub(crate) quick: bool,
    only: Vec<String>,
    /// How often each is measured.
    pub(crate) rounds: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) binary: PathBuf,
    cache: Option<PathBuf>,
    /// The budget that our mounts get, in bytes.
    pub(crate) memory: u64,
    mount: Vec<String>,
}

/// The arguments that are not read yet.
pub(crate) struct Rest<'a> {
    arguments: &'a mut dyn Iterator<Item = String>,
    option: &'a str,
}

impl Rest<'_> {
    /// The value of the option that is being read.
    pub(crate) fn value(&mut self) -> Result<String> {
        self.arguments.next().with_context(|| format!("{} needs a value", self.option))
    }
}

impl Options {
    /// Reads the arguments; `own` takes the options that only one bench has, and answers whether it knows one. `None`
    /// where only the usage was asked for.
    pub(crate) fn parse(
        usage: &str,
        mut arguments: impl Iterator<Item = String>,
        mut own: impl FnMut(&str, &mut Rest<'_>) -> Result<bool>,
    ) -> Result<Option<Self>> {
        let mut options = Self {
            quick: false,
            only: vec![],
            rounds: 0,
            json: None,
            binary: env!("CARGO_BIN_EXE_glancefs").into(),
            cache: None,
            memory: 256 << 20,
            mount: vec![],
        };
        while let Some(argument) = arguments.next() {
            let mut rest = Rest { arguments: &mut arguments, option: &argument };
            match argument.as_str() {
                "-h" | "--help" | "--list" => return Ok(None),
                "--quick" => options.quick = true,
                "--only" => options.only.push(rest.value()?),
                "--rounds" => options.rounds = rest.value()?.parse()?,
                "--memory" => options.memory = rest.value()?.parse::<u64>()? << 20,
                "--json" => options.json = Some(rest.value()?.into()),
                "--binary" => options.binary = fs::canonicalize(rest.value()?).context("there is no such program")?,
                "--cache" => options.cache = Some(rest.value()?.into()),
                // Cargo adds it for every bench.
                "--bench" => {}
                "--" => options.mount = arguments.by_ref().collect(),
                other => {
                    if !own(other, &mut rest)? {
                        bail!("unknown: {other}\n{usage}");
                    }
                }
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

    /// The folder for what is kept between runs, and for the run's own; made where there is none.
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
