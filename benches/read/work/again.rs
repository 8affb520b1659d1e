//! Reading once more: what is in the page cache, or in a file that the disk cache has sealed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::whole::{dd, is_original};
use crate::common::LIMIT;
use crate::common::process::timed;
use crate::common::rounds::{Contender, Sample, in_turns};
use crate::common::table::{Row, Wanted};
use crate::mounts;
use crate::nginx::Front;

/// The same mount again: no request reaches the daemon.
pub(crate) fn page_cache(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mount = mounts::ours(bench.scene, bench.scene.address(Front::PLAIN)?, &bench.options)?;
    read(bench, &mount.target)?;
    let ours = || {
        let before = mount.usage()?;
        let traffic = bench.scene.traffic_so_far()?;
        let sample = read(bench, &mount.target)?.with_usage(before, &mount)?;
        Ok(Sample { moved: Some(bench.scene.traffic_so_far()?.since(traffic)), ..sample })
    };
    let rows = compared(bench, "dd again, page cache", ours);
    // These pages are what was read.
    is_original(bench, &mount.target)?;
    rows
}

/// A new mount with a disk cache that holds the whole image, its hash compared.
pub(crate) fn sealed(bench: &Bench<'_>) -> Result<Vec<Row>> {
    if !bench.disk_cache {
        eprintln!("skipped: re-reading from a sealed file, because the program has no --cache-dir");
        return Ok(vec![]);
    }
    let folder = bench.scene.scratch.join("cache");
    std::fs::create_dir_all(&folder)?;
    let size = format!("{}MiB", (bench.scene.size >> 20) * 2);
    let words = ["--cache-dir", &folder.to_string_lossy(), "--cache-size", &size].map(str::to_owned);
    let options: Vec<_> = bench.options.iter().cloned().chain(words).collect();
    let address = bench.scene.address(Front::PLAIN)?;
    // Once to fill it, once to have what it wrote in memory, as the original is.
    for _ in 0..2 {
        let mount = mounts::ours(bench.scene, address, &options)?;
        read(bench, &mount.target)?;
    }
    let kept = kept(&folder)?;
    ensure!(kept >= bench.scene.size, "of the image only {} MiB were kept on disk", kept >> 20);
    let ours = || {
        bench.scene.traffic()?;
        let mount = mounts::ours(bench.scene, address, &options)?;
        let before = mount.usage()?;
        let sample = read(bench, &mount.target)?.with_usage(before, &mount)?;
        is_original(bench, &mount.target)?;
        drop(mount);
        Ok(Sample { moved: Some(bench.scene.traffic()?), ..sample })
    };
    let rows = compared(bench, "dd again, sealed file of the disk cache", ours);
    std::fs::remove_dir_all(&folder)?;
    rows
}

/// Bytes on disk in a folder and those below it.
fn kept(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        // st_blocks counts in 512 bytes whatever the file system (stat(2)); holes are none.
        sum += if about.is_dir() { kept(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(sum)
}

fn compared(bench: &Bench<'_>, name: &str, ours: impl FnMut() -> Result<Sample>) -> Result<Vec<Row>> {
    let local = || read(bench, &bench.scene.data);
    let contenders = vec![Contender::new("hot local file", local), Contender::new("ours", ours)];
    let all = in_turns(name, bench.rounds, contenders);
    let (local, ours) = (all.first().context("local")?, all.get(1).context("ours")?);
    Ok(vec![Row::rates(name, ours, local, Wanted::AtLeast(0.9))])
}

fn read(bench: &Bench<'_>, file: &Path) -> Result<Sample> {
    let took = timed(&mut dd(file, Path::new("/dev/null"), bench.scene.size), LIMIT)?;
    Ok(Sample::of(took, bench.scene.size))
}
