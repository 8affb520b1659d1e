//! `glancefs explain`: why the last operation on a file failed, as the mount told it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::output::{self, Code, Failure};
use crate::fs::Failed;
use crate::mount::attribute;
use crate::mount::mountinfo;

/// Where a mount tells what failed lately.
const ERRORS: &str = ".glancefs/errors";

/// Say why the last operation on a file or folder of a mount failed, and what can be done
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file or folder, or one that could not be made
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Explains each of the paths.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    for path in &arguments.paths {
        output::line(explanation(path)?);
    }
    Ok(())
}

fn explanation(path: &Path) -> Result<String, Failure> {
    // What could not be made is told where it was to be.
    let place = if path.symlink_metadata().is_ok() { path } else { parent(path) };
    let failed = |error: io::Error| Failure::new(Code::Usage, format!("{}: {error}", place.display()));
    let point = mount_of(&place.canonicalize().map_err(failed)?)?;
    let sentence = attribute::read(place, attribute::ERROR).map_err(failed)?;
    let Some(sentence) = sentence.and_then(|sentence| String::from_utf8(sentence).ok()) else {
        return Ok(format!("{}: nothing failed here lately", path.display()));
    };
    let told = fs::read_to_string(point.join(ERRORS)).unwrap_or_default();
    let last = told.lines().rev().filter_map(|line| serde_json::from_str::<Failed>(line).ok());
    let details =
        last.into_iter().find(|failed| failed.sentence == sentence).map_or_else(String::new, |it| details(&it));
    Ok(format!("{}: {sentence}{details}", place.display()))
}

fn details(failed: &Failed) -> String {
    let request = failed.request_id.as_ref().map_or_else(String::new, |id| format!(", the service's request {id}"));
    format!("\n  {} at {}{request}", failed.errno, failed.time)
}

/// The folder that a path is in, which is this one where the path does not say.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// The mount of this program that an absolute path is in.
fn mount_of(path: &Path) -> Result<PathBuf, Failure> {
    let mounts = mountinfo::all().map_err(Failure::with(Code::System))?;
    let around = mounts.into_iter().filter(|mount| path.starts_with(&mount.point));
    match around.max_by_key(|mount| mount.point.as_os_str().len()) {
        Some(mount) if mount.is_ours() => Ok(mount.point),
        _ => Err(Failure::new(Code::Usage, format!("{} is not in a mount of glancefs", path.display()))),
    }
}
