//! `glancefs uploads`: what was written and is not in a service yet, of all mounts of this user.

mod found;
mod shown;
mod wait;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use jiff::Timestamp;

use self::found::{Found, Keeper, Search};
use super::mounts;
use super::output::{self, Code, Failure};
use super::writes;
use crate::config::folders::{self, Purpose};
use crate::config::{mount_settings, quantity};
use crate::image::ImageId;
use crate::mount::point;
use crate::write::{Uploads, WriteError};

/// List uploads that are not done, wait for them, and see to those that failed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only what mounts keep in this folder [default: ~/.local/state/glancefs, and what mounts keep elsewhere]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// List one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, with the reason where one failed; the same as no command
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Try an upload again that failed or waits: now, or with the next mount where none is at it
    Retry {
        /// The image's id
        image: ImageId,
    },
    /// Give an upload up, and remove its bytes; the image stays as it is
    Discard {
        /// The image's id
        image: ImageId,
    },
    /// Wait until nothing is under way; fail where something is left that nobody goes on with
    Wait {
        /// Images to wait for, by their ids [default: all]
        images: Vec<ImageId>,
        /// How long to wait [default: as long as it takes]
        #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
        timeout: Option<Duration>,
    },
}

/// Does what is asked.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let named = arguments.state_dir.as_deref();
    let folder = mount_settings::state_folder(named, &folders::variable, point::is_root())
        .map_err(Failure::with(Code::Usage))?
        .ok_or_else(|| Failure::new(Code::Usage, "nothing tells where uploads are: name it with --state-dir"))?;
    let mut search = if named.is_some() { Search::at(folder) } else { Search::everywhere(usual_and_systems(folder)) };
    match &arguments.action {
        None => list(&mut search, arguments.json),
        Some(Action::List { json }) => list(&mut search, *json || arguments.json),
        Some(Action::Retry { image }) => on_one(&mut search, *image, "retry", Uploads::retry_in),
        Some(Action::Discard { image }) => on_one(&mut search, *image, "discard", Uploads::discard_in),
        Some(Action::Wait { images, timeout }) => {
            wait::wait(&mut search, images, *timeout).and_then(|()| readable(&search))
        }
    }
}

fn list(search: &mut Search, json: bool) -> Result<(), Failure> {
    let now = Timestamp::try_from(SystemTime::now()).map_err(Failure::with(Code::System))?;
    for found in look(search)? {
        output::line(if json { found.to_json() } else { shown::shown(&found, now) })?;
    }
    readable(search)
}

/// Fails where there are uploads that cannot be read: nobody goes on with them.
fn readable(search: &Search) -> Result<(), Failure> {
    let unreadable = search.unreadable()?;
    unreadable.iter().for_each(output::problem);
    if unreadable.is_empty() { Ok(()) } else { Err(Failure::new(Code::System, "")) }
}

/// The usual folder, and for root those that mounts without a home and the units have, unless the environment says where
/// to look.
fn usual_and_systems(usual: PathBuf) -> Vec<PathBuf> {
    let mut folders = vec![usual];
    if point::is_root()
        && folders::variable("XDG_STATE_HOME").is_none()
        && let Some(system) = folders::usual(Purpose::State, &|_| None, true)
    {
        let of_units = std::fs::read_dir(&system).into_iter().flatten().flatten().map(|entry| entry.path());
        let all = std::iter::once(system.clone()).chain(of_units);
        let new: Vec<_> =
            all.filter(|folder| writes::folder_of_all(folder).is_dir() && !folders.contains(folder)).collect();
        folders.extend(new);
    }
    folders
}

/// All uploads; mounts that do not answer are named.
fn look(search: &mut Search) -> Result<Vec<Found>, Failure> {
    let found = search.look()?;
    for point in search.silent() {
        output::problem(format!("the mount at {} does not answer", point.display()));
    }
    Ok(found)
}

/// Has something done with an upload by its mount, or does it where no mount is at it.
fn on_one(
    search: &mut Search,
    image: ImageId,
    word: &str,
    action: impl Fn(&Path, ImageId) -> Result<(), WriteError>,
) -> Result<(), Failure> {
    let Some(found) = look(search)?.into_iter().find(|found| found.line.image == image) else {
        return Err(Failure::new(Code::Usage, format!("there is no upload of image {image}")));
    };
    match (&found.keeper, &found.folder) {
        (Keeper::Mount(point), _) => mounts::tell(point, format!("{word} {image}\n")),
        (Keeper::Program | Keeper::Nobody, Some(folder)) => action(folder, image).map_err(|error| match error {
            WriteError::Busy(_) => Failure::new(
                Code::Usage,
                format!("a program is at the upload of image {image} that cannot be asked: wait until it has ended"),
            ),
            WriteError::Unknown(..) => Failure::new(Code::Usage, error),
            error => Failure::new(Code::System, error),
        }),
        (Keeper::Program | Keeper::Nobody, None) => Ok(()),
    }
}
