//! `glancefs explain`: why the last operation on a file failed, as the mount told it.

use std::io;
use std::path::{Path, PathBuf};

use super::output::{self, Code, Failure};
use crate::fs::Failed;
use crate::mount::attribute;
use crate::mount::mountinfo;
use crate::plain::Plain;

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
    assert_ours(&place.canonicalize().map_err(failed)?)?;
    let told = |name| attribute::text(place, name).map_err(failed);
    let failure = told(attribute::FAILURE)?.and_then(|json| serde_json::from_str::<Failed>(&json).ok());
    Ok(match failure {
        Some(failed) => format!("{}: {}{}", place.display(), failed.sentence, details(&failed)),
        None => format!("{}: nothing failed here lately", path.display()),
    })
}

fn details(failed: &Failed) -> String {
    let request = failed.request_id.as_ref().map_or_else(String::new, |id| format!(", the service's request {id}"));
    format!("\n  {} on {} at {}{request}", failed.errno, Plain(&failed.path), failed.time)
}

/// The folder that a path is in, which is this one where the path does not say.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Refuses an absolute path that is in no mount of this program.
fn assert_ours(path: &Path) -> Result<(), Failure> {
    let mounts = mountinfo::all().map_err(Failure::with(Code::System))?;
    let around = mounts.into_iter().filter(|mount| path.starts_with(&mount.point));
    match around.max_by_key(|mount| mount.point.as_os_str().len()) {
        Some(mount) if mount.is_ours() => Ok(()),
        _ => Err(Failure::new(Code::Usage, format!("{} is not in a mount of glancefs", path.display()))),
    }
}
