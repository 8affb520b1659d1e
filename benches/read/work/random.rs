//! Readers that do not go from the start to the end.

use std::collections::HashSet;
use std::fs::{self, File};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::whole::is_original;
use crate::common::http::Connection;
use crate::common::mounts::Mount;
use crate::common::rounds::{Contender, Sample, Series, in_turns};
use crate::common::table::{Row, Wanted};
use crate::link::Link;
use crate::mounts;
use crate::nginx::Front;
use crate::preads::{Buffer, PAGE, open_direct, pages, read_and_compare, read_through};
use crate::scene;

/// One page in so many is touched in a cold image: of 2 GiB, 32 MiB.
const ONE_IN: u64 = 64;

/// What a page may cost to fetch without reproach.
const BLOCK: u64 = 128 << 10;

/// Reads of a region in memory: enough for a second.
const HITS: usize = 65_536;

/// The region in memory: well within the budget.
const REGION: u64 = 64 << 20;

/// What programs that copy read at a time.
const PIECE: usize = 128 << 10;

/// A first read takes so little that more rounds cost nothing.
const FIRST_ROUNDS: usize = 15;

/// Pages here and there in a cold image: how much is fetched for them.
pub(crate) fn cold(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let address = bench.scene.address(Front::PLAIN)?;
    let original = File::open(&bench.scene.data)?;
    let all_pages = bench.scene.size / PAGE as u64;
    let mut touched = 0;
    let mut seed = 0;
    let round = || {
        seed += 1;
        let chosen = pages(&mut fastrand::Rng::with_seed(seed), all_pages, all_pages / ONE_IN);
        let blocks: HashSet<_> = chosen.iter().map(|page| page * PAGE as u64 / BLOCK).collect();
        touched = blocks.len() as u64 * BLOCK;
        bench.scene.traffic()?;
        let mount = mounts::ours(bench.scene, address, &bench.options)?;
        let before = mount.usage()?;
        let file = File::open(&mount.target)?;
        let began = Instant::now();
        read_and_compare(&file, &original, &chosen).with_context(|| format!("with seed {seed}"))?;
        let sample = Sample::of(began.elapsed(), (chosen.len() * PAGE) as u64).with_usage(before, &mount)?;
        drop((file, mount));
        Ok(Sample { moved: Some(bench.scene.traffic()?), ..sample })
    };
    let name = format!("random 4 KiB reads of {} MiB, cold", (bench.scene.size / ONE_IN) >> 20);
    let all = in_turns(&name, bench.rounds, vec![Contender::new("ours", round)]);
    let ours = all.first().context("ours")?;
    let figure = ours.moved().filter(|_| ours.failed.is_none()).map(|(bytes, _)| bytes / touched as f64);
    let row = Row::of(&name, ours, ours, Wanted::AtMost(1.25), |series| format!("{:.2} s", series.seconds()));
    let (against, theirs) = ("bytes in touched blocks of 128 KiB".into(), format!("{} MiB touched", touched >> 20));
    Ok(vec![Row { against, theirs, figure, ..row }])
}

/// Pages here and there in a region that is in the daemon's memory, past the page cache.
pub(crate) fn in_memory(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ours = mounts::ours(bench.scene, bench.scene.address(Front::PLAIN)?, &bench.options)?;
    let floor = mounts::floor(bench.scene)?;
    let start = bench.scene.size / 2;
    let chosen: Vec<_> = {
        let mut random = fastrand::Rng::with_seed(7);
        (0..HITS).map(|_| start / PAGE as u64 + random.u64(..REGION / PAGE as u64)).collect()
    };
    let original = File::open(&bench.scene.data)?;
    let open = |mount: &Mount| {
        let file = open_direct(&mount.target)?;
        // Once to fetch it, once more to be sure that it stayed, and each byte is right.
        read_through(&file, start, start + REGION, 1 << 20)?;
        read_and_compare(&file, &original, &chosen).map(|()| file)
    };
    let (ours_file, floor_file) = (open(&ours)?, open(&floor)?);
    let round = |mount: &Mount, file: &File| {
        let before = mount.usage()?;
        let mut buffer = Buffer::new(PAGE);
        let began = Instant::now();
        for page in &chosen {
            buffer.read(file, page * PAGE as u64)?;
        }
        Sample::of(began.elapsed(), (HITS * PAGE) as u64).with_usage(before, mount)
    };
    let name = "random 4 KiB reads in memory";
    let contenders = vec![
        Contender::new("hot local file through FUSE, direct I/O", || round(&floor, &floor_file)),
        Contender::new("ours", || round(&ours, &ours_file)),
    ];
    let all = in_turns(name, bench.rounds, contenders);
    let [floor, ours] = all.as_slice() else { anyhow::bail!("two contenders") };
    let write = |series: &Series| format!("{:.1} us", series.seconds() / HITS as f64 * 1e6);
    let row = Row::of(name, ours, floor, Wanted::AtLeast(0.8), write);
    let figure = ours.failed.is_none().then(|| floor.seconds() / ours.seconds());
    Ok(vec![Row { figure, ..row }])
}

/// The first bytes of a cold image, near and far.
pub(crate) fn first(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let near = bench.scene.address(Front::PLAIN)?;
    let link = Link::start(near, super::whole::FAR)?;
    let mut rows = Vec::new();
    for (name, address, wanted) in [
        ("first 4 KiB of a cold image", near, Wanted::AtMost(2.0)),
        ("first 4 KiB of a cold image, 20 ms", link.address(), Wanted::Shown),
    ] {
        let ours = || {
            // What the mount needs to know about the image is known before, as to a program that has listed the folder.
            let mount = mounts::ours(bench.scene, address, &bench.options)?;
            fs::metadata(&mount.target)?;
            let before = mount.usage()?;
            let (mut got, mut wanted) = (Buffer::new(PAGE), Buffer::new(PAGE));
            let began = Instant::now();
            let file = File::open(&mount.target)?;
            got.read(&file, 0)?;
            let took = began.elapsed();
            wanted.read(&File::open(&bench.scene.data)?, 0)?;
            ensure!(got.bytes() == wanted.bytes(), "WRONG BYTES");
            Sample::of(took, PAGE as u64).with_usage(before, &mount)
        };
        let mut connection = Connection::to(address)?;
        let mut request = move || {
            let began = Instant::now();
            let (status, body) = connection.get(&scene::file_path(), Some((0, PAGE as u64 - 1)))?;
            ensure!((status, body.len()) == (206, PAGE), "a range is answered with {status}");
            Ok(Sample::of(began.elapsed(), PAGE as u64))
        };
        request()?;
        let contenders =
            vec![Contender::new("one request on a kept connection", request), Contender::new("ours", ours)];
        let all = in_turns(name, bench.rounds.max(FIRST_ROUNDS), contenders);
        let [request, ours] = all.as_slice() else { anyhow::bail!("two contenders") };
        let row = Row::of(name, ours, request, wanted, |series| format!("{:.2} ms", series.seconds() * 1e3));
        let figure = ours.failed.is_none().then(|| (ours.seconds() - request.seconds()) * 1e3);
        rows.push(Row { figure, unit: " ms more", ..row });
    }
    Ok(rows)
}

/// Two readers on one handle, each of its half of the image.
pub(crate) fn interleaved(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let address = bench.scene.address(Front { hash: None, ranges: true })?;
    let (size, half) = (bench.scene.size, bench.scene.size / 2);
    let round = |read: &dyn Fn(&File) -> Result<()>| {
        bench.scene.traffic()?;
        let mount = mounts::ours(bench.scene, address, &bench.options)?;
        let before = mount.usage()?;
        let file = File::open(&mount.target)?;
        let began = Instant::now();
        read(&file)?;
        let sample = Sample::of(began.elapsed(), size).with_usage(before, &mount)?;
        // Out of the pages that were read just now.
        is_original(bench, &mount.target)?;
        drop((file, mount));
        Ok(Sample { moved: Some(bench.scene.traffic()?), ..sample })
    };
    let in_order =
        |file: &File| read_through(file, 0, half, PIECE).and_then(|()| read_through(file, half, size, PIECE));
    let by_turns = |file: &File| {
        let mut buffer = Buffer::new(PIECE);
        (0..half).step_by(PIECE).try_for_each(|offset| {
            buffer.read(file, offset)?;
            buffer.read(file, half + offset)?;
            Ok(())
        })
    };
    let name = "two readers interleaved on one handle";
    let contenders =
        vec![Contender::new("one after the other", || round(&in_order)), Contender::new("ours", || round(&by_turns))];
    let all = in_turns(name, bench.rounds, contenders);
    let [one_by_one, interleaved] = all.as_slice() else { anyhow::bail!("two contenders") };
    Ok(vec![Row::rates(name, interleaved, one_by_one, Wanted::AtLeast(0.8))])
}
