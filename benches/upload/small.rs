//! Many small images: what a mount costs beside the calls that the service must get in any case.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::common::rounds::{Contender, Sample, in_turns};
use crate::common::table::{Row, Wanted};
use crate::service::JSON;
use crate::{Bench, mounts};

/// How many images a round makes.
const IMAGES: u16 = 100;

/// The length of each in bytes.
const LENGTH: usize = 64 << 10;

/// What may be our own of each, in milliseconds.
const MOST: f64 = 3.0;

/// The type of changes to an image.
const PATCH: &str = "application/openstack-images-v2.1-json-patch";

pub(crate) fn images(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut bytes = vec![0; LENGTH];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    let contenders = vec![
        Contender::new("the same requests on a kept connection", || bare(bench, &bytes)),
        Contender::new("ours", || mounted(bench, &bytes)),
    ];
    let all = in_turns("small", bench.rounds, contenders);
    let [bare, ours] = all.as_slice() else { bail!("two contenders") };
    let each = |seconds: f64| seconds * 1000.0 / f64::from(IMAGES);
    let work = format!("mkdir and cp of 64 KiB, {IMAGES} images, each");
    let row = Row::of(&work, ours, bare, Wanted::AtMost(MOST), |series| format!("{:.2} ms", each(series.seconds())));
    let both = ours.failed.is_none() && bare.failed.is_none();
    Ok(vec![Row { figure: both.then(|| each(ours.seconds() - bare.seconds())), unit: " ms more", ..row }])
}

/// What no way of making such an image can do without.
fn bare(bench: &Bench<'_>, bytes: &[u8]) -> Result<Sample> {
    let mut connection = bench.service.connect()?;
    let list = bench.service.path("");
    let list = list.trim_end_matches('/');
    let formats = json!([
        {"op": "add", "path": "/container_format", "value": "bare"},
        {"op": "add", "path": "/disk_format", "value": "raw"}]);
    let mut ids = Vec::new();
    let began = Instant::now();
    for number in 0..IMAGES {
        let document = json!({"name": format!("bare-{number}")});
        let made = connection.json("POST", list, JSON, Some(&document))?;
        let id = made.get("id").and_then(Value::as_str).context("no id")?.to_owned();
        let image = bench.service.path(&id);
        connection.json("PATCH", &image, PATCH, Some(&formats))?;
        connection.ask("PUT", &format!("{image}/file"), "application/octet-stream", bytes)?;
        let shown = connection.json("GET", &image, JSON, None)?;
        ensure!(shown.get("status").is_some_and(|status| status == "active"), "{shown}");
        ids.push(id);
    }
    let sample = Sample::of(began.elapsed(), total());
    ids.iter().try_for_each(|id| bench.service.delete(id))?;
    Ok(sample)
}

/// The same through a mount, by one program that makes folders and files: what `mkdir` and `cp` take to start is theirs.
fn mounted(bench: &Bench<'_>, bytes: &[u8]) -> Result<Sample> {
    let mount = mounts::of(bench, None)?;
    let folders: Vec<_> = (0..IMAGES).map(|number| mount.target.join(format!("ours-{number}"))).collect();
    let before = mount.usage()?;
    let began = Instant::now();
    for folder in &folders {
        fs::create_dir(folder)?;
        File::create(folder.join("data"))?.write_all(bytes)?;
    }
    let sample = Sample::of(began.elapsed(), total()).with_usage(before, &mount)?;
    for folder in &folders {
        // What close said is not heard here; this is.
        let status = fs::read_to_string(folder.join("status"))?;
        ensure!(status == "active\n", "{} is {status}", folder.display());
        fs::remove_dir(folder)?;
    }
    Ok(sample)
}

fn total() -> u64 {
    u64::from(IMAGES) * LENGTH as u64
}
