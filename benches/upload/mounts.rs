//! Mounts of the program under test.

use anyhow::Result;

use crate::Bench;
use crate::common::mounts::{Mount, Place};

/// Mounts the service, or what stands before it at `through`, with a state folder of its own. What is worked on are the
/// images by their names.
pub(crate) fn of(bench: &Bench<'_>, through: Option<&str>) -> Result<Mount> {
    let place = Place::make(&bench.scratch)?;
    let mut command = bench.service.mount(&bench.binary, &bench.options, through);
    command.arg("--state-dir").arg(place.folder.join("state")).arg(&place.point);
    let images = place.point.join("by-name");
    Mount::start(&command, place, images, |_| true)
}
