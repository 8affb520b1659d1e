//! A mount that has been looked through, beside the same tree made of real files on tmpfs.

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use crate::common::mounts::Mount;
use crate::common::process::{resident_memory, timed};
use crate::common::rounds::{Contender, Sample, in_turns, mebibytes};
use crate::common::table::{self, Row, Wanted};
use crate::scene::{ls, names};
use crate::twin::Twin;
use crate::{Bench, Found, LIMIT, Times};

/// What the program itself may have resident, in bytes; and what an image may add, in KiB.
const OWN: f64 = 20e6;
const EACH: f64 = 1.5;

/// Looks through a mount once, and then lets it and the real files take turns.
pub(crate) fn works(bench: &Bench<'_>) -> Result<Found> {
    let mount = bench.scene.mount()?;
    let names = names(&mount.point)?;
    let listed = memory(bench, "after the first ls", &mount)?;
    let twin = Twin::make(&mount.point, &names)?;
    let paths = data(&names)?;
    let works: [Work<'_>; 3] = [
        ("ls", "ls -l", 1.25, Box::new(|folder| timed(&mut ls(folder, "-l"), LIMIT))),
        ("find", "find -type f, counted", 1.25, Box::new(|folder| find(folder, twin.files))),
        ("stat", "stat of every data", 2.0, Box::new(|folder| stat(folder, &paths))),
    ];
    let mut found = Found::default();
    for (name, work, most, round) in &works {
        if !bench.wants(name) && !bench.wants("memory") {
            continue;
        }
        let before = mount.usage()?;
        let took = round(&mount.point)?;
        let cpu = Some(mount.usage()?.cpu - before.cpu);
        if bench.wants(name) {
            found.rows.push(once(bench, work, took, cpu));
            compared(bench, work, *most, round.as_ref(), &mount, twin.path(), &mut found)?;
        }
    }
    if bench.wants("memory") {
        found.rows.extend([listed, memory(bench, "after all of these", &mount)?]);
    }
    Ok(found)
}

/// A work: its name for `--only` and in the table, how many times as long as with real files it may take, and what does it
/// on a tree.
type Work<'a> = (&'static str, &'static str, f64, Box<dyn Fn(&Path) -> Result<Duration> + 'a>);

/// The first time on a mount whose names are known.
fn once(bench: &Bench<'_>, work: &str, took: Duration, cpu: Option<f64>) -> Row {
    let (seconds, name) = (took.as_secs_f64(), bench.work(&format!("{work}, the first time")));
    let row = Row::figure(&name, (table::time(seconds), String::new()), seconds, Wanted::Shown);
    Row { figure: None, cpu, ..row }
}

fn compared(
    bench: &Bench<'_>,
    work: &'static str,
    most: f64,
    round: &dyn Fn(&Path) -> Result<Duration>,
    mount: &Mount,
    twin: &Path,
    found: &mut Found,
) -> Result<()> {
    let real = || Ok(Sample::of(round(twin)?, 0));
    let ours = || {
        let before = mount.usage()?;
        Sample::of(round(&mount.point)?, 0).with_usage(before, mount)
    };
    let contenders =
        vec![Contender::new("tmpfs", real), Contender::new("tmpfs again (noise)", real), Contender::new("ours", ours)];
    let name = bench.work(work);
    let all = in_turns(&name, bench.rounds, contenders);
    let [real, again, ours] = all.as_slice() else { bail!("three contenders") };
    found.rows.push(Row::times(&format!("noise: {name}"), again, real, Wanted::Shown));
    found.rows.push(Row::times(&name, ours, real, Wanted::AtMost(most)));
    found.times.extend(Times::of(bench, work, ours, real));
    Ok(())
}

/// Counts the files as people do, and fails where they are not as many as there should be.
fn find(folder: &Path, files: usize) -> Result<Duration> {
    let script = format!("test $(find by-name -type f | wc -l) = {files}");
    timed(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(folder), LIMIT)
}

/// Where the data of the images are, below `by-name`.
fn data(names: &[String]) -> Result<Vec<CString>> {
    names.iter().map(|name| Ok(CString::new(format!("{name}/data"))?)).collect()
}

/// Asks for the attributes of files one after the other; the way to the folder is gone once, as it is not equally long.
fn stat(folder: &Path, paths: &[CString]) -> Result<Duration> {
    let images = openat(CWD, folder.join("by-name"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let began = Instant::now();
    for path in paths {
        statat(&images, path.as_c_str(), AtFlags::empty())?;
    }
    Ok(began.elapsed())
}

/// What the daemon has resident, as it is judged: beyond what is its own, by the image.
fn memory(bench: &Bench<'_>, when: &str, mount: &Mount) -> Result<Row> {
    let bytes = resident_memory(mount.pid())?;
    let images = bench.scene.count as f64;
    let each = (bytes as f64 - OWN) / images / 1024.0;
    let bound = (OWN + EACH * 1024.0 * images) / 1_048_576.0;
    let sides = (format!("{:.1} MiB", mebibytes(bytes)), format!("{bound:.1} MiB"));
    let row = Row::figure(&bench.work(&format!("resident memory {when}")), sides, each, Wanted::AtMost(EACH));
    Ok(Row { against: "20 MB and 1.5 KiB an image".into(), unit: " KiB an image", peak: Some(bytes), ..row })
}
