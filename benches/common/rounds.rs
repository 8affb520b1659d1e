//! What is compared, in turns.

use std::time::Duration;

use anyhow::Result;

use super::mounts::{Mount, Usage};
use super::stats::{median, spread};

/// What was moved over the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    /// Bytes of bodies, as far as the kernel took them from the server.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { requests: self.requests - earlier.requests, bytes: self.bytes - earlier.bytes }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    /// Bytes that the reader got.
    pub(crate) bytes: u64,
    /// What our daemon spent; `None` where there is none.
    pub(crate) usage: Option<Usage>,
    /// Processor seconds that the service spent for it, where that was looked at.
    pub(crate) server_cpu: Option<f64>,
    /// What went over the wire for it, where that was looked at.
    pub(crate) moved: Option<Traffic>,
}

impl Sample {
    pub(crate) fn of(took: Duration, bytes: u64) -> Self {
        Self { took, bytes, usage: None, server_cpu: None, moved: None }
    }

    /// With what the daemon of a mount has spent meanwhile; its peak is that of its whole life.
    pub(crate) fn with_usage(self, before: Usage, mount: &Mount) -> Result<Self> {
        let after = mount.usage()?;
        Ok(Self { usage: Some(Usage { cpu: after.cpu - before.cpu, peak: after.peak }), ..self })
    }
}

/// One of those that are compared.
pub(crate) struct Contender<'a> {
    name: String,
    round: Box<dyn FnMut() -> Result<Sample> + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: impl Into<String>, round: impl FnMut() -> Result<Sample> + 'a) -> Self {
        Self { name: name.into(), round: Box::new(round) }
    }
}

/// What one of them did in all rounds.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
    /// Why it did not go on.
    pub(crate) failed: Option<String>,
}

impl Series {
    fn each(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }

    /// The median of the times, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        median(&self.each(|sample| sample.took.as_secs_f64()))
    }

    /// The median of the service's processor seconds.
    pub(crate) fn server_cpu(&self) -> Option<f64> {
        let spent: Vec<_> = self.samples.iter().filter_map(|sample| sample.server_cpu).collect();
        (!spent.is_empty()).then(|| median(&spent))
    }

    /// The median of the rates, in MiB a second.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.each(|sample| mebibytes(sample.bytes) / sample.took.as_secs_f64()))
    }

    pub(crate) fn spread(&self) -> f64 {
        spread(&self.each(|sample| sample.took.as_secs_f64()))
    }

    /// The median of our daemon's processor seconds.
    pub(crate) fn cpu(&self) -> Option<f64> {
        let spent: Vec<_> = self.samples.iter().filter_map(|sample| Some(sample.usage?.cpu)).collect();
        (!spent.is_empty()).then(|| median(&spent))
    }

    /// The most memory that our daemon had in any round, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.samples.iter().filter_map(|sample| Some(sample.usage?.peak)).max()
    }

    /// The median of the bytes moved, and of the requests made.
    pub(crate) fn moved(&self) -> Option<(f64, f64)> {
        let moved: Vec<_> = self.samples.iter().filter_map(|sample| sample.moved).collect();
        let bytes: Vec<_> = moved.iter().map(|traffic| traffic.bytes as f64).collect();
        let requests: Vec<_> = moved.iter().map(|traffic| traffic.requests as f64).collect();
        (!moved.is_empty()).then(|| (median(&bytes), median(&requests)))
    }
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Lets them take turns, so that a machine that is slow for a while is slow for all. One that fails stands aside.
pub(crate) fn in_turns(work: &str, rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Series> {
    let begin = |contender: &Contender<'_>| Series { name: contender.name.clone(), samples: vec![], failed: None };
    let mut all: Vec<_> = contenders.iter().map(begin).collect();
    for round in 1..=rounds {
        for (contender, series) in contenders.iter_mut().zip(&mut all) {
            if series.failed.is_some() {
                continue;
            }
            match (contender.round)() {
                Ok(sample) => {
                    let took = sample.took.as_secs_f64();
                    let rate = mebibytes(sample.bytes) / took;
                    let rate = if sample.bytes > 0 { format!(" {rate:8.1} MiB/s") } else { String::new() };
                    eprintln!("{work}, round {round}: {:<28} {took:8.3} s{rate}", series.name);
                    series.samples.push(sample);
                }
                Err(error) => {
                    eprintln!("{work}, round {round}: {} FAILED: {error:#}", series.name);
                    series.failed = Some(format!("{error:#}"));
                }
            }
        }
    }
    all
}
