//! One large image: `cp` into a mount until close returns, beside scripts that upload with `curl` and compare the hashes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::common::LIMIT;
use crate::common::process::{said, timed};
use crate::common::random::write_random;
use crate::common::rounds::{Contender, Sample, in_turns};
use crate::common::table::{Row, Wanted};
use crate::{Bench, mounts};

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
        Row::times(&format!("noise: {}", plain.name), again, plain, Wanted::Shown),
        Row::times(&format!("{work} until close returns"), ours, beside, Wanted::AtMost(most)),
        Row::times(&format!("{work} until close returns"), ours, first, Wanted::Shown),
        Row::times(&format!("{work} until close returns"), ours, plain, Wanted::Shown),
    ])
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
    let mount = mounts::of(bench, None)?;
    let folder = mount.target.join(format!("bench-{:08x}", fastrand::u32(..)));
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
        write_random(&file, bench.size >> 20)?;
        let said = said(Command::new("sha512sum").arg(&file))?;
        let sha512 = said.split(' ').next().context("no hash")?.to_owned();
        Ok(Self { file, sha512 })
    }
}
