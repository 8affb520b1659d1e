//! `glancefs uploads`: what was written and is not in a service yet, of all mounts of this user.

use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::output::{self, Code, Failure};
use super::writes;
use crate::config::{folders, mount_settings, quantity};
use crate::image::ImageId;
use crate::mount::point;
use crate::write::{Report, Uploads, WriteError};

/// List uploads that are not done, and see to those that failed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the mounts keep their uploads [default: ~/.local/state/glancefs]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, with the reason where one failed; the same as no command
    List,
    /// Have the next mount try an upload again that failed
    Retry {
        /// The image's id
        image: ImageId,
    },
    /// Give an upload up, and remove its bytes; the image stays as it is
    Discard {
        /// The image's id
        image: ImageId,
    },
}

/// Does what is asked.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = mount_settings::state_folder(arguments.state_dir.as_deref(), &folders::variable, point::is_root())
        .map_err(Failure::with(Code::Usage))?
        .ok_or_else(|| Failure::new(Code::Usage, "nothing tells where uploads are: name it with --state-dir"))?;
    let folders = services(&folder).map_err(Failure::with(Code::System))?;
    match &arguments.action {
        None | Some(Action::List) => list(&folders),
        Some(Action::Retry { image }) => on_one(&folders, *image, Uploads::retry_in),
        Some(Action::Discard { image }) => on_one(&folders, *image, Uploads::discard_in),
    }
}

/// The folders of all services, sorted.
fn services(state: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(writes::folder_of_all(state)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    folders.sort();
    Ok(folders)
}

fn list(folders: &[PathBuf]) -> Result<(), Failure> {
    for folder in folders {
        for report in Uploads::peek(folder).map_err(Failure::with(Code::System))? {
            output::line(shown(&report));
        }
    }
    Ok(())
}

/// One upload on a line: image, state, size, tries, name; and the reason of the last failure below.
fn shown(report: &Report) -> String {
    let (state, size) = (report.state.word(), quantity::show_size(report.size));
    let name = report.name.as_deref().unwrap_or_default();
    let line = format!("{}  {state:<9}  {size:>10}  tried {:>2} times  {name}", report.image, report.attempts());
    match report.cause() {
        Some(cause) => format!("{line}\n  {cause}"),
        None => line,
    }
}

/// Does something with an upload wherever it is.
fn on_one(
    folders: &[PathBuf],
    image: ImageId,
    action: impl Fn(&Path, ImageId) -> Result<(), WriteError>,
) -> Result<(), Failure> {
    let here = |folder: &&PathBuf| {
        Uploads::peek(folder).is_ok_and(|reports| reports.iter().any(|report| report.image == image))
    };
    let Some(folder) = folders.iter().find(here) else {
        return Err(Failure::new(Code::Usage, format!("there is no upload of image {image}")));
    };
    action(folder, image).map_err(|error| match error {
        WriteError::Busy(_) => {
            Failure::new(Code::Usage, format!("a mount is at the upload of image {image}: unmount it first"))
        }
        error => Failure::new(Code::System, error),
    })
}
