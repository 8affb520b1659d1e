//! A real Glance: what a copy through the mount costs it, beside a plain download.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use super::whole::{cp, fresh_output, hash_alone, measured};
use crate::common::LIMIT;
use crate::common::cloud::{log_in, write_secret};
use crate::common::process::{processor_seconds, said, timed};
use crate::common::rounds::{Contender, Sample, Series, in_turns};
use crate::common::stats::median;
use crate::common::table::{Row, Wanted};
use crate::hash::Hash;
use crate::mounts;

/// The cloud of clouds.yaml that is used.
const WHO: &str = "demo";

/// How long an upload may take.
const UPLOAD: Duration = Duration::from_mins(10);

/// Compares them, if the environment names a clouds.yaml.
pub(crate) fn copy(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let Some(clouds) = std::env::var_os("GLANCEFS_TEST_CLOUDS").filter(|file| !file.is_empty()) else {
        eprintln!("skipped: a real Glance, because GLANCEFS_TEST_CLOUDS names no clouds.yaml");
        return Ok(vec![]);
    };
    let server = std::env::var("GLANCEFS_GLANCE_PID").ok().and_then(|pid| pid.parse().ok());
    let image = Image::make(bench, Path::new(&clouds))?;
    let curl = || {
        let output = fresh_output(bench)?;
        let mut command = image.curl();
        command.arg("--output").arg(&output).arg(image.file_url());
        spending(server, || Ok(Sample::of(measured(bench, &mut command)?, bench.scene.size)))
    };
    let ours = || {
        let mount = mounts::cloud(bench.scene, &image.clouds, WHO, &image.id, &bench.options)?;
        let before = mount.usage()?;
        let output = fresh_output(bench)?;
        let copy = || Ok(Sample::of(measured(bench, &mut cp(&mount.target, &output))?, bench.scene.size));
        let sample = spending(server, copy)?.with_usage(before, &mount)?;
        timed(Command::new("cmp").arg(&output).arg(&bench.scene.data), LIMIT).context("WRONG BYTES")?;
        Ok(sample)
    };
    // What two processors do where every byte is hashed, and nothing lies in between.
    let beside = || {
        let output = fresh_output(bench)?;
        let mut both = Command::new("sh");
        let script = format!(
            "{} \"$1\" & shift; \"$@\" && wait $! || {{ ended=$?; kill $!; exit $ended; }}",
            image.hash.command()
        );
        both.args(["-c", &script, "sh"]).arg(&bench.scene.data).arg("curl").args(image.curl().get_args());
        both.arg("--output").arg(&output).arg(image.file_url());
        Ok(Sample::of(measured(bench, &mut both)?, bench.scene.size))
    };
    let (work, hash) = ("cp, real Glance", image.hash.command());
    let name = &format!("{work}, {} compared", image.hash);
    let contenders = vec![
        Contender::new("curl -o file", curl),
        Contender::new("ours", ours),
        Contender::new(format!("curl -o file, {hash} beside it"), beside),
        Contender::new(&hash, || fresh_output(bench).and_then(|_| hash_alone(bench, image.hash))),
    ];
    let all = in_turns(name, bench.rounds, contenders);
    fresh_output(bench)?;
    let [curl, ours, yardsticks @ ..] = all.as_slice() else { anyhow::bail!("too few contenders") };
    let mut rows = vec![Row::rates(name, ours, curl, Wanted::AtLeast(0.8)), spent(name, ours, curl)];
    let yardstick =
        |other: &Series| Row::rates(&format!("yardstick: {work}, {}", other.name), other, curl, Wanted::Shown);
    rows.extend(yardsticks.iter().map(yardstick));
    Ok(rows)
}

/// What the service's processes spent, side by side. The figure is the median of what it was in each round: what else runs
/// on the processors changes what the same download costs by half, and less from one moment to the next.
fn spent(name: &str, ours: &Series, curl: &Series) -> Row {
    let write = |series: &Series| match series.server_cpu() {
        Some(seconds) => format!("{seconds:.2} s"),
        None => "unknown: GLANCEFS_GLANCE_PID is not set".to_owned(),
    };
    let row = Row::of(&format!("{name}: CPU of the service"), ours, curl, Wanted::AtMost(1.3), write);
    let pairs = ours.samples.iter().zip(&curl.samples);
    let each: Vec<_> = pairs.filter_map(|(ours, curl)| Some(ours.server_cpu? / curl.server_cpu?)).collect();
    Row { figure: (!each.is_empty()).then(|| median(&each)), ..row }
}

/// Adds what the service's processes spend meanwhile.
fn spending(server: Option<u32>, work: impl FnOnce() -> Result<Sample>) -> Result<Sample> {
    let before = server.map(processor_seconds).transpose()?;
    let sample = work()?;
    let after = server.map(processor_seconds).transpose()?;
    Ok(Sample { server_cpu: after.zip(before).map(|(after, before)| after - before), ..sample })
}

/// An image with the scene's bytes in the real service; dropping it deletes it.
struct Image {
    clouds: PathBuf,
    /// Holds the header with the token, which therefore stands in no command line.
    header: PathBuf,
    glance: String,
    id: String,
    /// What the service hashed it with.
    hash: Hash,
}

impl Image {
    fn make(bench: &Bench<'_>, clouds: &Path) -> Result<Self> {
        let scratch = &bench.scene.scratch;
        let (token, glance) = log_in(clouds, WHO, scratch)?;
        let header = scratch.join("header");
        write_secret(&header, &format!("X-Auth-Token: {token}"))?;
        let mut image = Self { clouds: clouds.to_owned(), header, glance, id: String::new(), hash: Hash::Sha512 };
        let attributes = json!({"name": "glancefs-bench", "disk_format": "raw", "container_format": "bare"});
        let mut create = image.curl();
        create.args(["--header", "Content-Type: application/json", "--data", &attributes.to_string()]);
        let made: Value = serde_json::from_str(&said(create.arg(format!("{}/v2/images", image.glance)))?)?;
        made.get("id").and_then(Value::as_str).context("an image without an id")?.clone_into(&mut image.id);
        let mut upload = image.curl();
        upload.args(["--header", "Content-Type: application/octet-stream", "--upload-file"]).arg(&bench.scene.data);
        timed(upload.arg(image.file_url()), UPLOAD)?;
        let shown: Value =
            serde_json::from_str(&said(image.curl().arg(format!("{}/v2/images/{}", image.glance, image.id)))?)?;
        let name = shown.get("os_hash_algo").and_then(Value::as_str).context("an image without a hash")?;
        image.hash = Hash::named(name).with_context(|| format!("no yardstick is known for {name}"))?;
        Ok(image)
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["--fail", "--silent", "--show-error", "--header"]).arg(format!("@{}", self.header.display()));
        command
    }

    fn file_url(&self) -> String {
        format!("{}/v2/images/{}/file", self.glance, self.id)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.id.is_empty() {
            return;
        }
        let mut delete = self.curl();
        delete.args(["--request", "DELETE"]).arg(format!("{}/v2/images/{}", self.glance, self.id));
        if let Err(error) = timed(&mut delete, UPLOAD) {
            eprintln!("the image {} is left in the real service: {error:#}", self.id);
        }
    }
}
