//! The first `ls` of a mount, beside `curl` that fetches the same pages.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::common::process::timed;
use crate::common::rounds::{Contender, Sample, in_turns};
use crate::common::table::{Row, Wanted};
use crate::scene::{ls, names};
use crate::twin::Twin;
use crate::{Bench, Found, LIMIT, Times};

/// Lets them take turns. `curl` knows the addresses of all pages beforehand and gets them one after the other on one
/// connection, because nobody who follows `next` could ask for the second before the first. The floor is `curl` and then
/// `ls` of as many real folders: a mount that took no time at all to read the pages and to tell the kernel.
pub(crate) fn listing(bench: &Bench<'_>) -> Result<Found> {
    let scene = bench.scene;
    let configuration = scene.scratch.join("pages.curl");
    let page = |url: &String| format!("url = \"{url}\"\noutput = \"/dev/null\"\n");
    fs::write(&configuration, scene.pages.iter().map(page).collect::<String>())?;
    let fetch = || {
        let mut command = Command::new("curl");
        command.args(["--fail", "--silent", "--show-error", "--config"]).arg(&configuration);
        timed(&mut command, LIMIT)
    };
    let curl = || Ok(Sample::of(fetch()?, 0));
    let folders = Twin::of_folders(&names(&scene.mount()?.point)?)?;
    let floor = || Ok(Sample::of(fetch()? + timed(&mut ls(folders.path(), "-C"), LIMIT)?, 0));
    let ours = || {
        let before_mount = Instant::now();
        let mount = scene.mount()?;
        let before = mount.usage()?;
        // What a mount fetches by itself is not had for nothing.
        let began = if scene.early { before_mount } else { Instant::now() };
        timed(&mut ls(&mount.point, "-C"), LIMIT)?;
        Sample::of(began.elapsed(), 0).with_usage(before, &mount)
    };
    let work = bench.work("first ls");
    let contenders = vec![
        Contender::new("curl of the same pages", curl),
        Contender::new("curl again (noise)", curl),
        Contender::new("curl, then ls of real folders", floor),
        Contender::new("ours", ours),
    ];
    let all = in_turns(&work, bench.rounds, contenders);
    let [curl, again, floor, ours] = all.as_slice() else { bail!("four contenders") };
    let noise = Row::times(&format!("noise: {}", bench.work("curl")), again, curl, Wanted::Shown);
    let floor = Row::times(&format!("floor: {}", bench.work("curl, then ls on tmpfs")), floor, curl, Wanted::Shown);
    let row = Row::times(&work, ours, curl, Wanted::AtMost(1.3));
    Ok(Found { rows: vec![noise, floor, row], times: Times::of(bench, "first ls", ours, curl).into_iter().collect() })
}
