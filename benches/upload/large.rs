//! One large image: `cp` into a mount until close returns, beside scripts that upload with `curl` and compare the hashes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::mounts::Mount;
use crate::process::{said, timed};
use crate::rounds::{Contender, Sample, Series, in_turns};
use crate::table::{Row, Wanted};
use crate::{Bench, LIMIT};

/// Nothing but the upload: what every other way has to do too.
const PLAIN: &str = r#"curl --fail --silent --show-error -H "$HEADER" -H "$TYPE" -T "$S" "$FILE""#;

/// Both hashes are computed beside the upload, and compared with what the service shows.
const BESIDE: &str = r#"
md5sum "$S" > "$D/md5" & md5=$!
sha512sum "$S" > "$D/sha512" & sha512=$!
curl --fail --silent --show-error -H "$HEADER" -H "$TYPE" -T "$S" "$FILE"
wait $md5; wait $sha512
shown=$(curl --fail --silent --show-error -H "$HEADER" "$SHOW")
[[ $shown == *"$(cut -d' ' -f1 "$D/md5")"* && $shown == *"$(cut -d' ' -f1 "$D/sha512")"* && $shown == *active* ]]"#;

/// The same, with the hashes computed first.
const FIRST: &str = r#"
md5sum "$S" > "$D/md5" & md5=$!
sha512sum "$S" > "$D/sha512"; wait $md5
curl --fail --silent --show-error -H "$HEADER" -H "$TYPE" -T "$S" "$FILE"
shown=$(curl --fail --silent --show-error -H "$HEADER" "$SHOW")
[[ $shown == *"$(cut -d' ' -f1 "$D/md5")"* && $shown == *"$(cut -d' ' -f1 "$D/sha512")"* && $shown == *active* ]]"#;

/// What is written: the file, and its SHA-512.
struct Source {
    file: PathBuf,
    sha512: String,
}

pub(crate) fn embedded(bench: &Bench<'_>) -> Result<Vec<Row>> {
    compared(bench, "cp", 1.25)
}

pub(crate) fn real(bench: &Bench<'_>) -> Result<Vec<Row>> {
    compared(bench, "cp, real Glance", 1.1)
}

/// Lets all ways take turns; close may take so many times as long as the script that computes the hashes beside.
fn compared(bench: &Bench<'_>, work: &str, most: f64) -> Result<Vec<Row>> {
    let source = Source::make(bench)?;
    let scripts = [
        ("curl -T", PLAIN),
        ("curl -T again (noise)", PLAIN),
        ("curl -T, md5sum and sha512sum beside it", BESIDE),
        ("md5sum and sha512sum, then curl -T", FIRST),
    ];
    let mut contenders: Vec<_> =
        scripts.map(|(name, script)| Contender::new(name, || scripted(bench, &source, script))).into();
    contenders.push(Contender::new("ours", || copied(bench, &source)));
    let all = in_turns(work, bench.rounds, contenders);
    fs::remove_file(&source.file)?;
    let [plain, again, beside, first, ours] = all.as_slice() else { bail!("five contenders") };
    Ok(vec![
        times(&format!("noise: {}", plain.name), again, plain, Wanted::Shown),
        times(&format!("{work} until close returns"), ours, beside, Wanted::AtMost(most)),
        times(&format!("{work} until close returns"), ours, first, Wanted::Shown),
        times(&format!("{work} until close returns"), ours, plain, Wanted::Shown),
    ])
}

/// Times side by side.
fn times(work: &str, ours: &Series, theirs: &Series, wanted: Wanted) -> Row {
    let row = Row::of(work, ours, theirs, wanted, |series| format!("{:.2} s", series.seconds()));
    let both = ours.failed.is_none() && theirs.failed.is_none();
    Row { figure: both.then(|| ours.seconds() / theirs.seconds()), ..row }
}

/// A script on a new image.
fn scripted(bench: &Bench<'_>, source: &Source, script: &str) -> Result<Sample> {
    let id = bench.service.make("bench")?;
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]);
    command.env("S", &source.file).env("D", &bench.scratch).env("TYPE", "Content-Type: application/octet-stream");
    bench.service.tell_shell(&mut command, &id);
    let sample = Sample::of(timed(&mut command, LIMIT)?, bench.size);
    bench.service.check(&id, &source.sha512)?;
    bench.service.delete(&id)?;
    Ok(sample)
}

/// Our copy on a new image, in a fresh mount.
fn copied(bench: &Bench<'_>, source: &Source) -> Result<Sample> {
    let mount = Mount::of(bench, None)?;
    let folder = mount.images().join(format!("bench-{:08x}", fastrand::u32(..)));
    fs::create_dir(&folder)?;
    let before = mount.usage()?;
    let took = timed(Command::new("cp").arg(&source.file).arg(folder.join("data")), LIMIT)?;
    let sample = Sample::of(took, bench.size).with_usage(before, &mount)?;
    let document: Value = serde_json::from_slice(&fs::read(folder.join("metadata.json"))?)?;
    let id = document.get("id").and_then(Value::as_str).context("no id")?;
    bench.service.check(id, &source.sha512)?;
    bench.service.delete(id)?;
    Ok(sample)
}

impl Source {
    /// Random bytes, in the page cache.
    fn make(bench: &Bench<'_>) -> Result<Self> {
        let file = bench.scratch.join("source");
        write_random(&file, bench.size)?;
        let said = said(Command::new("sha512sum").arg(&file))?;
        let sha512 = said.split(' ').next().context("no hash")?.to_owned();
        Ok(Self { file, sha512 })
    }
}

/// The same bytes each time, that no program can compress or guess.
fn write_random(path: &Path, size: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(size);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(())
}
