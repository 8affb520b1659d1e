//! What a mount asks of the service by and by: when something is looked at behind the TTL, and when nothing is.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::common::mounts::Mount;
use crate::common::process::{processor_time, timed};
use crate::common::proxy::Proxy;
use crate::common::stats::{median, spread};
use crate::common::table::{self, Row, Wanted};
use crate::scene::ls;
use crate::{Bench, Found, LIMIT};

/// The TTL of the mount that is measured. What a refresh costs does not depend on it.
const TTL: Duration = Duration::from_secs(1);

/// What a refresh may take to come, and what may come behind it.
const PATIENCE: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_millis(300);

/// How many refreshes are measured for each round.
const PER_ROUND: usize = 3;

/// For how long a mount is measured: a minute behind its first listing it makes the next complete one.
const YOUNG: Duration = Duration::from_secs(35);

/// What a refresh may take of a processor, in milliseconds.
const MOST: f64 = 1.0;

/// How long a mount that nobody uses may go on asking, because the kernel was promised to hear of changes; and the silence
/// behind which it asks no more.
const LINGERING: Duration = Duration::from_mins(6);
const SILENCE: Duration = Duration::from_secs(5);

/// How long is listened then.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_QUICK: Duration = Duration::from_secs(5);

/// One refresh.
struct Refresh {
    requests: Vec<String>,
    /// Milliseconds of the daemon for the look-up and the refresh.
    spent: f64,
    /// The same for a look-up that asks nothing.
    alone: f64,
}

pub(crate) fn works(bench: &Bench<'_>) -> Result<Found> {
    let proxy = bench.scene.proxy()?;
    let (mut mount, mut listed) = (listing(bench, &proxy)?, Instant::now());
    let mut rows = Vec::new();
    if bench.wants("refresh") {
        let mut all = Vec::new();
        for number in 0..bench.rounds * PER_ROUND {
            if listed.elapsed() > YOUNG {
                (mount, listed) = (listing(bench, &proxy)?, Instant::now());
            }
            all.push(refresh(&mount, &proxy, number)?);
        }
        rows.extend(judged(bench, &all));
    }
    if bench.wants("idle") {
        rows.extend(idle(bench, &mount, &proxy)?);
    }
    Ok(Found { rows, times: vec![] })
}

/// A mount that has listed all images.
fn listing(bench: &Bench<'_>, proxy: &Proxy) -> Result<Mount> {
    let mount = bench.scene.mount_at(&proxy.address, &["--ttl", "1s"])?;
    timed(&mut ls(&mount.point, "-U"), LIMIT)?;
    Ok(mount)
}

/// Looks for a name that is not there, which nobody can know but the daemon, when what it knows is too old.
fn refresh(mount: &Mount, proxy: &Proxy, number: usize) -> Result<Refresh> {
    let until = Instant::now() + PATIENCE;
    let (before, name) = loop {
        ensure!(Instant::now() < until, "no look-up behind the TTL made a request");
        thread::sleep(TTL + SETTLING);
        proxy.take();
        let (before, name) = (processor_time(mount.pid())?, format!("none-{number}-{:?}", until - Instant::now()));
        look_up(mount, &name)?;
        thread::sleep(SETTLING);
        // For as long as the kernel was promised to hear of changes, the mount may have asked just before.
        if proxy.count() > 0 {
            break (before, name);
        }
    };
    let between = processor_time(mount.pid())?;
    let requests = proxy.take();
    look_up(mount, &format!("{name}-again"))?;
    let after = processor_time(mount.pid())?;
    Ok(Refresh { requests, spent: (between - before) * 1e3, alone: (after - between) * 1e3 })
}

fn look_up(mount: &Mount, name: &str) -> Result<()> {
    match std::fs::symlink_metadata(mount.point.join("by-name").join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("{name} is there"),
    }
}

fn judged(bench: &Bench<'_>, all: &[Refresh]) -> [Row; 2] {
    let counts: Vec<_> = all.iter().map(|one| one.requests.len() as f64).collect();
    let most = counts.iter().copied().fold(0.0, f64::max);
    let worst = all.iter().max_by_key(|one| one.requests.len()).map(|one| one.requests.as_slice());
    let sides = (told(worst.unwrap_or_default()), "1".to_owned());
    let requests = Row::figure(&bench.work("requests of a refresh, nothing new"), sides, most, Wanted::AtMost(1.0));
    let (spent, alone): (Vec<_>, Vec<_>) = all.iter().map(|one| (one.spent, one.alone)).unzip();
    let (middle, floor) = (median(&spent), median(&alone));
    let sides = (table::time(middle / 1e3), table::time(floor / 1e3));
    let cpu = Row::figure(&bench.work("CPU of a refresh, nothing new"), sides, middle, Wanted::AtMost(MOST));
    let against = "a look-up that asks nothing".to_owned();
    [requests, Row { against, unit: " ms", spread: (spread(&spent), spread(&alone)), ..cpu }]
}

/// How many requests, and which.
fn told(requests: &[String]) -> String {
    let kinds: BTreeSet<_> = requests.iter().map(String::as_str).collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    format!("{} {}", requests.len(), kinds.join(", ")).trim().to_owned()
}

/// Counts what is asked while nobody looks, once it has become silent.
fn idle(bench: &Bench<'_>, mount: &Mount, proxy: &Proxy) -> Result<[Row; 2]> {
    look_up(mount, "nothing")?;
    let used = Instant::now();
    let mut last = used;
    while last.elapsed() < SILENCE && used.elapsed() < LINGERING {
        thread::sleep(SETTLING);
        if !proxy.take().is_empty() {
            last = Instant::now();
        }
    }
    let lingering = (last - used).as_secs_f64();
    let sides = (format!("{lingering:.0} s"), String::new());
    let until = Row::figure(&bench.work("from the last use to the last request"), sides, lingering, Wanted::Shown);
    let length = if bench.quick { IDLE_QUICK } else { IDLE };
    let before = processor_time(mount.pid())?;
    thread::sleep(length);
    let cpu = Some(processor_time(mount.pid())? - before);
    let asked = proxy.take();
    let work = bench.work(&format!("requests in {} s behind that", length.as_secs()));
    let row = Row::figure(&work, (told(&asked), "0".to_owned()), asked.len() as f64, Wanted::AtMost(0.0));
    Ok([Row { figure: None, ..until }, Row { cpu, ..row }])
}
