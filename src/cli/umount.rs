//! `glancefs umount`: ends a mount of this program, and only of this program.

use std::path::{Path, PathBuf};

use super::output::{Code, Failure};
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
}

/// Unmounts the folder.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let point = point_of(&arguments.point)?;
    let how = if arguments.lazy { How::Lazy } else { How::Plain };
    unmount::unmount(&point, how).map_err(|error| Failure::new(code(&error), &error))
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
