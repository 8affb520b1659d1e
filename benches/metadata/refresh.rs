//! What a mount asks of the service by and by: when something is looked at behind the TTL, and when nothing is.

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
const PATIENCE: Duration = Duration::from_secs(10);
const SETTLING: Duration = Duration::from_millis(300);

/// How many refreshes are measured for each round: all of them before the next complete listing, a minute later.
const PER_ROUND: usize = 4;

/// What a refresh may take of a processor, in milliseconds.
const MOST: f64 = 1.0;

/// How long nothing is done.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_QUICK: Duration = Duration::from_secs(4);

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
    let mount = bench.scene.mount_at(&proxy.address, &["--ttl", "1s"])?;
    timed(&mut ls(&mount.point, "-U"), LIMIT)?;
    let mut rows = Vec::new();
    if bench.wants("refresh") {
        let numbers = 0..bench.rounds * PER_ROUND;
        let all = numbers.map(|number| refresh(&mount, &proxy, number)).collect::<Result<Vec<_>>>()?;
        rows.extend(judged(bench, &all));
    }
    if bench.wants("idle") {
        rows.push(idle(bench, &mount, &proxy)?);
    }
    Ok(Found { rows, times: vec![] })
}

/// Looks for a name that is not there, which nobody can know but the daemon, when what it knows is too old.
fn refresh(mount: &Mount, proxy: &Proxy, number: usize) -> Result<Refresh> {
    thread::sleep(TTL + SETTLING);
    proxy.take();
    let before = processor_time(mount.pid())?;
    look_up(mount, &format!("none-{number}"))?;
    let until = Instant::now() + PATIENCE;
    while proxy.count() == 0 {
        ensure!(Instant::now() < until, "a look-up behind the TTL made no request");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(SETTLING);
    let between = processor_time(mount.pid())?;
    let requests = proxy.take();
    look_up(mount, &format!("no-{number}"))?;
    let after = processor_time(mount.pid())?;
    ensure!(proxy.take().is_empty(), "a look-up within the TTL made a request");
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
    let first = all.first().map(|one| one.requests.join(", ")).unwrap_or_default();
    let sides = (format!("{most} ({first})"), "1".to_owned());
    let requests = Row::figure(&bench.work("requests of a refresh, nothing new"), sides, most, Wanted::AtMost(1.0));
    let (spent, alone): (Vec<_>, Vec<_>) = all.iter().map(|one| (one.spent, one.alone)).unzip();
    let (middle, floor) = (median(&spent), median(&alone));
    let sides = (table::time(middle / 1e3), table::time(floor / 1e3));
    let cpu = Row::figure(&bench.work("CPU of a refresh, nothing new"), sides, middle, Wanted::AtMost(MOST));
    let against = "a look-up that asks nothing".to_owned();
    [requests, Row { against, unit: " ms", spread: (spread(&spent), spread(&alone)), ..cpu }]
}

/// Counts what is asked while nobody looks, long after somebody did.
fn idle(bench: &Bench<'_>, mount: &Mount, proxy: &Proxy) -> Result<Row> {
    thread::sleep(TTL * 3);
    proxy.take();
    let length = if bench.quick { IDLE_QUICK } else { IDLE };
    let before = processor_time(mount.pid())?;
    thread::sleep(length);
    let spent = processor_time(mount.pid())? - before;
    let asked = proxy.take();
    let work = bench.work(&format!("requests in {} s without use", length.as_secs()));
    let sides = (format!("{} {}", asked.len(), asked.join(", ")).trim().to_owned(), "0".to_owned());
    Ok(Row { cpu: Some(spent), ..Row::figure(&work, sides, asked.len() as f64, Wanted::AtMost(0.0)) })
}
