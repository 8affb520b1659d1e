//! `glancefs umount`: ends a mount of this program, and only of this program.

mod queue;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::queue::Queue;
use super::output::{Code, Failure};
use super::privileges::USUAL_PATH;
use crate::mount::mountinfo;
use crate::mount::point::resolve_through_parent;
use crate::mount::unmount::{self, How, UnmountError};

/// Unmount a folder that glancefs has mounted
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder
    #[arg(value_name = "MOUNTPOINT")]
    point: PathBuf,
    /// Unmount also while files are open; they work until they are closed
    #[arg(short = 'z', long)]
    lazy: bool,
    /// Return at once; otherwise it waits for uploads, which the program goes on with for --drain-timeout at most
    #[arg(long)]
    no_wait: bool,
    /// What umount(8) said to its helper, a word each
    #[arg(long, value_name = "FLAG", hide = true, allow_hyphen_values = true)]
    system: Vec<OsString>,
}

/// Unmounts the folder, and waits until what was written through it is in the service or its program has given up.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let for_system = !arguments.system.is_empty();
    let point = point_of(&arguments.point);
    let waits = !arguments.lazy && !arguments.no_wait && !arguments.system.iter().any(forbids_waiting);
    let queue = point.as_ref().ok().filter(|_| waits).and_then(|point| Queue::of(point));
    if for_system {
        umount(&arguments.point, &arguments.system)?;
    } else {
        let how = if arguments.lazy { How::Lazy } else { How::Plain };
        unmount::unmount(&point?, how).map_err(|error| Failure::new(code(&error), &error))?;
    }
    if let Some(queue) = queue {
        queue.finish();
    }
    Ok(())
}

/// Whether umount(8) was told not to wait for a program (-f, -l), to leave the mount (-r), or to look elsewhere (-N).
fn forbids_waiting(word: &OsString) -> bool {
    let word = word.to_string_lossy();
    word.starts_with('-') && word.contains(['f', 'l', 'r', 'N'])
}

/// Has umount(8) do it by itself, which called us: it keeps a table of mounts that is its own.
fn umount(point: &Path, flags: &[OsString]) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let ran = Command::new("umount").args(flags).arg("--").arg(point).env("PATH", path).status();
    let status = ran.map_err(|error| Failure::new(Code::System, format!("umount cannot be run: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        // It has said why.
        code => {
            Err(Failure { code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1), sentence: String::new() })
        }
    }
}

/// The absolute path, provided that a mount of ours is there. A dead one cannot be resolved itself, so the folder that it
/// is in is tried too.
pub(super) fn point_of(path: &Path) -> Result<PathBuf, Failure> {
    let candidates = [path.canonicalize().ok(), Some(resolve_through_parent(path))];
    let mounts = mountinfo::all().map_err(Failure::with(Code::System))?;
    let topmost = |point: &PathBuf| mounts.iter().rev().find(|mount| mount.point == *point);
    let found = candidates.into_iter().flatten().find_map(|point| topmost(&point).map(|mount| (point, mount)));
    match found {
        Some((point, mount)) if mount.is_ours() => Ok(point),
        Some((point, mount)) => {
            let sentence = format!("{} is a mount of {}, not of glancefs", point.display(), mount.kind);
            Err(Failure::new(Code::Usage, sentence))
        }
        None => Err(Failure::new(Code::Usage, UnmountError::NotMounted(path.to_owned()))),
    }
}

fn code(error: &UnmountError) -> Code {
    match error {
        UnmountError::NotPermitted(..) | UnmountError::NotMounted(_) => Code::Usage,
        UnmountError::Busy(_) | UnmountError::Other(..) => Code::Mount,
    }
}
