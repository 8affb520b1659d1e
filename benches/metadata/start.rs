//! From the command to a mount that answers, beside `curl` that asks what a mount asks; and how long help takes.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::common::mounts::Place;
use crate::common::process::timed;
use crate::common::rounds::{Contender, Sample, Series, in_turns};
use crate::common::table::{Row, Wanted, time};
use crate::{Bench, Found, LIMIT};

/// Lets them take turns. What counts is what we take beyond the service's answers.
pub(crate) fn works(bench: &Bench<'_>) -> Result<Found> {
    let scene = bench.scene;
    let configuration = scene.scratch.join("start.curl");
    let page = |url: &String| format!("url = \"{url}\"\noutput = \"/dev/null\"\n");
    fs::write(&configuration, scene.greetings.iter().map(page).collect::<String>())?;
    let curl = || {
        let mut command = Command::new("curl");
        command.args(["--fail", "--silent", "--show-error", "--config"]).arg(&configuration);
        Ok(Sample::of(timed(&mut command, LIMIT)?, 0))
    };
    let ours = || {
        let place = Place::make(&scene.scratch)?;
        let took = timed(&mut scene.background(&place), LIMIT)?;
        timed(Command::new("umount").arg(&place.point), LIMIT)?;
        Ok(Sample::of(took, 0))
    };
    let help = || Ok(Sample::of(timed(Command::new(scene.binary()).arg("--help"), LIMIT)?, 0));
    let contenders = vec![
        Contender::new("curl of the same requests", curl),
        Contender::new("mount", ours),
        Contender::new("help", help),
    ];
    let all = in_turns(&bench.work("start"), bench.rounds, contenders);
    let [curl, ours, help] = all.as_slice() else { bail!("three contenders") };
    let beyond =
        Row::of(&bench.work("from the command to a mount that answers"), ours, curl, Wanted::AtMost(150.0), shown);
    let both = ours.failed.is_none() && curl.failed.is_none();
    let beyond = Row { figure: both.then(|| (ours.seconds() - curl.seconds()) * 1e3), unit: " ms more", ..beyond };
    let told = Row::figure("glancefs --help", (shown(help), String::new()), help.seconds() * 1e3, Wanted::AtMost(20.0));
    Ok(Found { rows: vec![beyond, Row { unit: " ms", ..told }], times: Vec::new() })
}

fn shown(series: &Series) -> String {
    time(series.seconds())
}
