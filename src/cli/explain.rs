//! `glancefs explain`: why the last operation on a file failed, as the mount told it.

use std::io;
use std::path::{Path, PathBuf};

use super::mounts;
use super::output::{self, Code, Failure};
use crate::fs::Failed;
use crate::mount::attribute;
use crate::mount::mountinfo::{self, Mount};
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
    let mut last = Ok(());
    for path in &arguments.paths {
        match explanation(path) {
            Ok(text) => output::line(text)?,
            // The others are explained nevertheless, and the last failure is told when the program ends.
            Err(failure) => {
                if let Err(earlier) = std::mem::replace(&mut last, Err(failure)) {
                    output::problem(earlier);
                }
            }
        }
    }
    last
}

fn explanation(path: &Path) -> Result<String, Failure> {
    // What could not be made is told where it was to be; and before it is looked up, which fails as well.
    let before = path.file_name().and_then(attribute::failure_of);
    let before = before.and_then(|name| attribute::text(parent(path), &name).ok().flatten());
    let is_there = path.symlink_metadata().is_ok();
    let place = if is_there { path } else { parent(path) };
    let of_name = if is_there { None } else { path.file_name().and_then(attribute::failure_of) };
    let failed = |error: io::Error| unseen(path, place, &error);
    mount_of(&place.canonicalize().map_err(failed)?)?;
    let told = |name| attribute::text(place, name).map_err(failed);
    let said = match &of_name {
        Some(name) => before.or(told(name)?),
        None => told(attribute::FAILURE)?,
    };
    let failure = said.and_then(|json| serde_json::from_str(&json).ok());
    let limits = told(attribute::LIMITS)?.unwrap_or_default();
    Ok(format!("{}: {}", place.display(), explained(failure.as_ref(), &limits)))
}

/// The last failure, and what holds besides it: the kernel refuses by itself what the modes forbid, and the mount does not
/// hear of it.
fn explained(failure: Option<&Failed>, limits: &str) -> String {
    let said = failure.map_or("", |failed| &failed.sentence);
    let mut lines: Vec<String> = limits.lines().filter(|limit| *limit != said).map(str::to_owned).collect();
    match failure {
        Some(failed) => lines.splice(0..0, [failed.sentence.clone(), details(failed)]).for_each(drop),
        None => lines.push("nothing failed here lately that the mount was asked for".to_owned()),
    }
    lines.join("\n  ")
}

fn details(failed: &Failed) -> String {
    let request = failed.request_id.as_ref().map_or_else(String::new, |id| format!(", the service's request {id}"));
    format!("{} on {} at {}{request}", failed.errno, Plain(&failed.path), failed.time)
}

/// Why a place cannot be looked at.
fn unseen(path: &Path, place: &Path, error: &io::Error) -> Failure {
    let ours = std::path::absolute(path).ok().and_then(|path| mount_of(&path).ok());
    if let Some(mount) = ours.as_ref().filter(|_| error.raw_os_error() == Some(libc::ENOTCONN)) {
        return Failure::new(Code::System, mounts::died(&mount.point));
    }
    if error.kind() == io::ErrorKind::PermissionDenied && ours.is_some() {
        let sentence = "only the user who mounted may look into this mount: for others it takes --allow-other, and no --umask \
                        that forbids it";
        return Failure::new(Code::Usage, format!("{}: {sentence}", path.display()));
    }
    Failure::new(Code::Usage, format!("{}: {error}", place.display()))
}

/// The folder that a path is in, which is this one where the path does not say.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// The mount that an absolute path is in; refused where it is none of this program.
fn mount_of(path: &Path) -> Result<Mount, Failure> {
    let mounts = mountinfo::all().map_err(Failure::with(Code::System))?;
    let around = mounts.into_iter().filter(|mount| path.starts_with(&mount.point));
    match around.max_by_key(|mount| mount.point.as_os_str().len()) {
        Some(mount) if mount.is_ours() => Ok(mount),
        _ => Err(Failure::new(Code::Usage, format!("{} is not in a mount of glancefs", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(sentence: &str) -> Failed {
        let json =
            r#"{"time":"1970-01-01T00:00:00Z","path":"by-id/x","errno":"EPERM","sentence":"","request_id":"req-1"}"#;
        Failed { sentence: sentence.to_owned(), ..serde_json::from_str(json).unwrap() }
    }

    #[test]
    fn a_failure_is_told_before_what_holds_besides_it_and_nothing_twice() {
        let details = "\n  EPERM on by-id/x at 1970-01-01T00:00:00Z, the service's request req-1";
        assert_eq!(explained(Some(&failed("it failed")), "a\nb"), format!("it failed{details}\n  a\n  b"));
        assert_eq!(explained(Some(&failed("a")), "a\nb"), format!("a{details}\n  b"));
    }

    #[test]
    fn without_a_failure_what_holds_is_told() {
        let nothing = "nothing failed here lately that the mount was asked for";
        assert_eq!(explained(None, ""), nothing);
        assert_eq!(explained(None, "a\nb"), format!("a\n  b\n  {nothing}"));
    }
}
