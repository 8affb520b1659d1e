//! Whole images: copied to a local file, or read and thrown away.

use std::fs::{self, File};
use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use crate::common::LIMIT;
use crate::common::mounts::Mount;
use crate::common::process::timed;
use crate::common::rounds::{Contender, Sample, Series, in_turns};
use crate::common::table::{Row, Wanted};
use crate::hash::Hash;
use crate::link::{Link, Way};
use crate::memory;
use crate::mounts::{self, Peer};
use crate::nginx::Front;
use crate::scene;

/// A distant service that limits each connection.
pub(crate) const FAR: Way = Way { round_trip: Duration::from_millis(20), rate: Some(100_000_000) };

/// A distant service that leaves little to each connection.
const NARROW: Way = Way { round_trip: Duration::from_millis(20), rate: Some(10_000_000) };

/// What is read over it, in MiB: little enough to show how soon there are enough requests.
const BEGINNING: u64 = 256;

/// What a slow peer reads, in MiB, near and over the long way. It would take minutes for more, and its rate does not change.
const SLOW_NEAR: u64 = 256;
const SLOW_FAR: u64 = 64;

/// What the long way carries on this machine, with the requests that `--max-parallel` allows. A yardstick, and no peer.
const MOST: &str = "16 curls -o /dev/null";

/// What two processors do over the long way where every byte is hashed, and nothing lies in between. A yardstick, and no peer.
fn most_hashed(hash: Hash) -> String {
    format!("{MOST}, {} beside them", hash.command())
}

/// What is done with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `cp` to a local file; `curl -o`.
    Copy,
    /// `dd bs=1M of=/dev/null`; `curl -o /dev/null`.
    Read,
}

impl What {
    fn tool(self) -> &'static str {
        match self {
            Self::Copy => "cp",
            Self::Read => "dd",
        }
    }
}

/// The addresses of the fronts that show a SHA-512, a SHA-256 and no hash, and the links to them if the way is long.
struct Ends {
    sha512: SocketAddr,
    sha256: SocketAddr,
    unhashed: SocketAddr,
    _links: Vec<Link>,
}

impl Ends {
    fn of(bench: &Bench<'_>, ranges: bool, way: Option<Way>) -> Result<Self> {
        let mut links = Vec::new();
        let mut to = |hash| -> Result<SocketAddr> {
            let near = bench.scene.address(Front { hash, ranges })?;
            let Some(way) = way else { return Ok(near) };
            let link = Link::start(near, way)?;
            let far = link.address();
            links.push(link);
            Ok(far)
        };
        let (sha512, sha256, unhashed) = (to(Some(Hash::Sha512))?, to(Some(Hash::Sha256))?, to(None)?);
        Ok(Self { sha512, sha256, unhashed, _links: links })
    }
}

/// The same bytes in a service near and far: `curl`, ours with hashes to compare and without, and the peers.
pub(crate) fn ranged(bench: &Bench<'_>, what: What, way: Option<Way>) -> Result<Vec<Row>> {
    let far = way.is_some();
    let name = format!("{}{}", what.tool(), if far { ", 20 ms and 100 MB/s a connection" } else { "" });
    let ends = Ends::of(bench, true, way)?;
    let mut contenders = duel(bench, what, &ends);
    match (far, what) {
        (true, _) => {
            let address = ends.unhashed;
            contenders.push(Contender::new(MOST, move || curls(bench, address, bench.scene.size, "")));
            contenders.extend(Hash::ALL.map(|hash| {
                let begun = format!("{} \"$1\" & all=$!\n", hash.command());
                Contender::new(most_hashed(hash), move || curls(bench, address, bench.scene.size, &begun))
            }));
        }
        (false, What::Read) => {
            contenders.extend(Hash::ALL.map(|hash| Contender::new(hash.command(), move || hash_alone(bench, hash))));
        }
        (false, What::Copy) => {}
    }
    if bench.peers {
        contenders.extend(peers(bench, what, &ends, far));
    }
    let all = in_turns(&name, bench.rounds, contenders);
    compare(bench, what, &ends)?;
    let least = match (far, what) {
        (true, _) => 6.0,
        (false, What::Copy) => 0.8,
        (false, What::Read) => 0.5,
    };
    rows(&name, &all, Wanted::AtLeast(least))
}

/// The beginning of an image by a fresh mount, over connections each of which brings little.
pub(crate) fn narrow(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ends = Ends::of(bench, true, Some(NARROW))?;
    let (address, length) = (ends.unhashed, bench.scene.size.min(BEGINNING << 20));
    let name = format!("dd of the first {} MiB, 20 ms and 10 MB/s a connection", length >> 20);
    let ours = || -> Result<Sample> {
        bench.scene.traffic()?;
        let mount = mounts::ours(bench.scene, address, &bench.options)?;
        let before = mount.usage()?;
        let sample = read_through(bench, What::Read, &mount, length)?.with_usage(before, &mount)?;
        drop(mount);
        Ok(Sample { moved: Some(bench.scene.traffic()?), ..sample })
    };
    let contenders = vec![
        // The rate of a single connection does not change.
        Contender::new("curl -o /dev/null", || one_curl(bench, address, length.min(SLOW_FAR << 20))),
        Contender::new("ours", ours),
        Contender::new(MOST, || curls(bench, address, length, "")),
    ];
    let all = in_turns(&name, bench.rounds, contenders);
    let mount = mounts::ours(bench.scene, address, &bench.options)?;
    let mut compare = Command::new("cmp");
    compare.arg(format!("--bytes={length}")).arg(&mount.target).arg(&bench.scene.data);
    timed(&mut compare, LIMIT).context("WRONG BYTES")?;
    let [curl, ours, most] = all.as_slice() else { anyhow::bail!("three contenders") };
    Ok([curl, most].map(|other| Row::rates(&name, ours, other, Wanted::Shown)).into())
}

/// A store that cannot seek: one stream, and each byte once.
pub(crate) fn streamed(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let name = "cp, store without ranges";
    let ends = Ends::of(bench, false, None)?;
    let all = in_turns(name, bench.rounds, duel(bench, What::Copy, &ends));
    compare(bench, What::Copy, &ends)?;
    let mut rows = rows(name, &all, Wanted::AtLeast(0.8))?;
    let once: Vec<_> = rows.iter().map(|row| moved_once(row, bench.scene.size)).collect();
    rows.extend(once);
    Ok(rows)
}

fn moved_once(row: &Row, size: u64) -> Row {
    let moved = row.moved.map(|(bytes, _)| bytes / size as f64);
    Row {
        work: format!("{}: bytes moved", row.work),
        against: "bytes of the image".into(),
        ours: row.moved.map(|(bytes, _)| format!("{:.0} MiB", bytes / 1_048_576.0)).unwrap_or_default(),
        theirs: format!("{} MiB", size >> 20),
        figure: moved,
        wanted: Wanted::AtMost(1.0),
        ..row.clone()
    }
}

/// Curl twice with itself: what two equal things differ by on this machine.
pub(crate) fn calibration(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let address = bench.scene.address(Front::PLAIN)?;
    let contenders = vec![
        Contender::new("curl -o /dev/null again", || curl(bench, What::Read, address)),
        Contender::new("curl -o /dev/null", || curl(bench, What::Read, address)),
    ];
    let all = in_turns("calibration", bench.rounds, contenders);
    let (one, other) = (all.first().context("curl")?, all.get(1).context("curl")?);
    Ok(vec![Row::rates("noise: curl against itself", one, other, Wanted::Shown)])
}

fn duel<'a>(bench: &'a Bench<'_>, what: What, ends: &Ends) -> Vec<Contender<'a>> {
    let (sha512, sha256, unhashed) = (ends.sha512, ends.sha256, ends.unhashed);
    let output = if what == What::Copy { "curl -o file" } else { "curl -o /dev/null" };
    vec![
        Contender::new(output, move || curl(bench, what, sha512)),
        Contender::new(format!("{} compared", Hash::Sha512), move || ours(bench, what, sha512)),
        Contender::new(format!("{} compared", Hash::Sha256), move || ours(bench, what, sha256)),
        Contender::new("no hash at the service", move || ours(bench, what, unhashed)),
    ]
}

/// A failure of a peer is its own matter: the table shows it. `qemu-img` does not mount, and reads over the long way as
/// slowly as its requests are small.
fn peers<'a>(bench: &'a Bench<'_>, what: What, ends: &Ends, far: bool) -> Vec<Contender<'a>> {
    let address = ends.sha512;
    let round = move |peer: Peer| {
        let length = match (far, peer) {
            (true, _) => bench.scene.size.min(SLOW_FAR << 20),
            (false, Peer::Httpdirfs) => bench.scene.size.min(SLOW_NEAR << 20),
            (false, Peer::Rclone | Peer::Nbdfuse) => bench.scene.size,
        };
        let mount = mounts::peer(bench.scene, peer, address)?;
        read_through(bench, what, &mount, length)
    };
    let mounting = Peer::ALL.into_iter().map(|peer| Contender::new(peer.name(), move || round(peer)));
    let mut all: Vec<_> = mounting.collect();
    if !far {
        all.push(Contender::new("qemu-img convert", move || qemu_img(bench, what, address)));
    }
    all
}

/// Ours against curl, with both hashes and without; and with SHA-512 and without against every peer and the best of them. The
/// peers compare no hash, so that what is wanted of the best is said of like and like. A yardstick is one for those that do
/// what it does.
fn rows(name: &str, all: &[Series], wanted: Wanted) -> Result<Vec<Row>> {
    let [curl, sha512, sha256, unhashed, peers @ ..] = all else { anyhow::bail!("too few contenders") };
    let mut rows: Vec<_> =
        [sha512, sha256, unhashed].map(|ours| Row::rates(&format!("{name}, {}", ours.name), ours, curl, wanted)).into();
    let mounting = |series: &&Series| Peer::ALL.iter().any(|peer| peer.name() == series.name);
    let there = peers.iter().filter(mounting).filter(|series| series.failed.is_none());
    let best = there.max_by(|one, other| one.rate().total_cmp(&other.rate())).map(|best| best.name.clone());
    for peer in peers {
        let measures = |hash: Hash| [hash.command(), most_hashed(hash)].contains(&peer.name);
        let likes = [(measures(Hash::Sha512), sha512), (measures(Hash::Sha256), sha256), (peer.name == MOST, unhashed)];
        if let Some((_, ours)) = likes.into_iter().find(|(like, _)| *like) {
            rows.push(Row::rates(&format!("yardstick: {name}, {}", peer.name), peer, curl, Wanted::Shown));
            rows.push(Row::rates(&format!("{name}, {}", ours.name), ours, peer, Wanted::Shown));
            continue;
        }
        let wanted = if best.as_ref() == Some(&peer.name) { Wanted::AtLeast(1.5) } else { Wanted::Shown };
        rows.push(Row::rates(&format!("{name}, {}", sha512.name), sha512, peer, Wanted::Shown));
        rows.push(Row::rates(&format!("{name}, {}", unhashed.name), unhashed, peer, wanted));
    }
    Ok(rows)
}

fn curl(bench: &Bench<'_>, what: What, address: SocketAddr) -> Result<Sample> {
    let output = fresh(bench, what)?;
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--show-error", "--output"]).arg(&output).arg(scene::file_url(address));
    let sample = Sample::of(measured(bench, &mut command)?, bench.scene.size);
    discard(bench)?;
    Ok(sample)
}

fn ours(bench: &Bench<'_>, what: What, address: SocketAddr) -> Result<Sample> {
    bench.scene.traffic()?;
    let mount = mounts::ours(bench.scene, address, &bench.options)?;
    let before = mount.usage()?;
    let sample = read_through(bench, what, &mount, bench.scene.size)?.with_usage(before, &mount)?;
    drop(mount);
    Ok(Sample { moved: Some(bench.scene.traffic()?), ..sample })
}

/// The first `length` bytes by a single connection, not kept.
fn one_curl(bench: &Bench<'_>, address: SocketAddr, length: u64) -> Result<Sample> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--show-error", "--output", "/dev/null", "--range"]);
    command.arg(format!("0-{}", length - 1)).arg(scene::file_url(address));
    Ok(Sample::of(measured(bench, &mut command)?, length))
}

/// The first `length` bytes in sixteen parts at once, none of them kept, beside what the shell begins with:
/// it finds the image's file as `$1`, and names what it starts in `$all`.
fn curls(bench: &Bench<'_>, address: SocketAddr, length: u64, begun: &str) -> Result<Sample> {
    let (url, part) = (scene::file_url(address), length / 16);
    let one = |at: u64| {
        let range = format!("{}-{}", at * part, (at + 1) * part - 1);
        format!("curl --fail --silent --show-error --output /dev/null --range {range} {url} & all=\"$all $!\"\n")
    };
    let wait = "for one in $all; do wait $one || { ended=$?; kill $all; exit $ended; }; done".to_owned();
    let script: String = iter::once(begun.to_owned()).chain((0..16).map(one)).chain([wait]).collect();
    let mut all = Command::new("sh");
    all.arg("-c").arg(script).arg("sh").arg(&bench.scene.data);
    Ok(Sample::of(measured(bench, &mut all)?, length))
}

/// The hash of the image's file, which is in memory, and nothing beside it.
pub(super) fn hash_alone(bench: &Bench<'_>, hash: Hash) -> Result<Sample> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {} \"$1\"", hash.command()), "sh"]).arg(&bench.scene.data);
    Ok(Sample::of(measured(bench, &mut command)?, bench.scene.size))
}

fn read_through(bench: &Bench<'_>, what: What, mount: &Mount, length: u64) -> Result<Sample> {
    let output = fresh(bench, what)?;
    let whole = length == bench.scene.size;
    let mut command =
        if what == What::Copy && whole { cp(&mount.target, &output) } else { dd(&mount.target, &output, length) };
    let sample = Sample::of(measured(bench, &mut command)?, length);
    discard(bench)?;
    Ok(sample)
}

/// What the command takes, with memory at hand for an image in a mount and a copy of it.
pub(crate) fn measured(bench: &Bench<'_>, command: &mut Command) -> Result<Duration> {
    memory::have_at_hand(bench.scene.size * 5 / 2)?;
    timed(command, LIMIT)
}

pub(crate) fn cp(from: &Path, to: &Path) -> Command {
    let mut command = Command::new("cp");
    command.arg(from).arg(to);
    command
}

/// `dd bs=1M` of the first `length` bytes, a whole number of MiB.
pub(crate) fn dd(from: &Path, to: &Path, length: u64) -> Command {
    let mut command = Command::new("dd");
    command.arg(format!("if={}", from.display())).arg(format!("of={}", to.display()));
    command.args(["bs=1M", "status=none"]).arg(format!("count={}", length >> 20));
    command
}

/// Through its own HTTP driver where that is installed, otherwise through nbdkit's.
fn qemu_img(bench: &Bench<'_>, what: What, address: SocketAddr) -> Result<Sample> {
    let output = fresh(bench, what)?;
    let url = scene::file_url(address);
    let nowhere = format!("driver=null-co,size={}", bench.scene.size);
    let target = match what {
        What::Copy => format!("-O raw SOURCE {}", output.display()),
        What::Read => format!("-n --target-image-opts SOURCE {nowhere}"),
    };
    let convert = |source: &str| format!("qemu-img convert -f raw {}", target.replace("SOURCE", source));
    let mut command = if has_http_driver(&url) { Command::new("sh") } else { Command::new("nbdkit") };
    if command.get_program() == "sh" {
        command.arg("-c").arg(convert(&url));
    } else {
        command.args(["curl", &format!("url={url}"), "--run", &convert("$uri")]);
    }
    let sample = Sample::of(measured(bench, &mut command)?, bench.scene.size);
    discard(bench)?;
    Ok(sample)
}

fn has_http_driver(url: &str) -> bool {
    Command::new("qemu-img").args(["info", "-f", "raw", url]).output().is_ok_and(|output| output.status.success())
}

fn fresh(bench: &Bench<'_>, what: What) -> Result<PathBuf> {
    match what {
        What::Copy => fresh_output(bench),
        What::Read => Ok(PathBuf::from("/dev/null")),
    }
}

/// Where a copy goes; nothing is there, and nothing of an earlier one waits to be written to disk.
pub(crate) fn fresh_output(bench: &Bench<'_>) -> Result<PathBuf> {
    discard(bench)?;
    rustix::fs::syncfs(File::open(&bench.scene.scratch)?)?;
    Ok(bench.output())
}

fn discard(bench: &Bench<'_>) -> Result<()> {
    match fs::remove_file(bench.output()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What the mount shows, read as it was measured, is the original: byte for byte.
fn compare(bench: &Bench<'_>, what: What, ends: &Ends) -> Result<()> {
    for address in [ends.sha512, ends.sha256, ends.unhashed] {
        let mount = mounts::ours(bench.scene, address, &bench.options)?;
        let read = match what {
            What::Copy => {
                let output = fresh(bench, what)?;
                timed(&mut cp(&mount.target, &output), LIMIT)?;
                output
            }
            What::Read => mount.target.clone(),
        };
        is_original(bench, &read)?;
        discard(bench)?;
    }
    Ok(())
}

/// Fails unless a file is the original, byte for byte.
pub(super) fn is_original(bench: &Bench<'_>, file: &Path) -> Result<()> {
    timed(Command::new("cmp").arg(file).arg(&bench.scene.data), LIMIT).map(drop).context("WRONG BYTES")
}
