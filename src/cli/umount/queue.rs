//! The uploads that a mount leaves to be finished when it is unmounted: its program stays for them, and whoever unmounts
//! waits with it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::mounts::{Mounts, STATUS, UPLOADS};
use crate::cli::output;
use crate::cli::words::bytes;
use crate::image::ImageId;
use crate::telemetry::status::Status;
use crate::write::{Line, Report, Uploads};

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(100);

/// A wait of which nobody needs to be told why.
const SHORT: Duration = Duration::from_secs(1);

/// Uploads of a mount that were not done when it was asked.
#[derive(Debug)]
pub(super) struct Queue {
    /// The folder of the mount's service.
    folder: PathBuf,
    images: Vec<ImageId>,
}

impl Queue {
    /// That of the mount at `point`, an absolute path; `None` where there is nothing to wait for, and where this user may
    /// not look into the mount or it does not answer.
    pub(super) fn of(point: &Path) -> Option<Self> {
        let images: Vec<_> = Line::all_in(&told(point, UPLOADS)?).into_iter().map(|line| line.image).collect();
        if images.is_empty() {
            return None;
        }
        let status: Status = serde_json::from_str(&told(point, STATUS)?).ok()?;
        Some(Self { folder: status.uploads_folder?, images })
    }

    /// Returns when the program is at none of them any more, because they are done or it has ended, and says what is left.
    pub(super) fn finish(&self) {
        let began = Instant::now();
        let mut is_told = false;
        while self.is_under_way() {
            if !is_told && began.elapsed() >= SHORT {
                output::problem(self.waiting());
                is_told = true;
            }
            thread::sleep(PAUSE);
        }
        for report in self.left() {
            output::problem(left(&report));
        }
    }

    fn is_under_way(&self) -> bool {
        // What cannot be looked at is nothing to wait for.
        self.images.iter().any(|image| matches!(Uploads::is_taken(&self.folder, *image), Ok(Some(true))))
    }

    fn left(&self) -> Vec<Report> {
        let mut reports = Uploads::peek(&self.folder).unwrap_or_default();
        reports.retain(|report| self.images.contains(&report.image));
        reports
    }

    fn waiting(&self) -> String {
        let left = self.left();
        let uploads = if left.len() == 1 { "upload" } else { "uploads" };
        let size = bytes(left.iter().map(|report| report.size).sum());
        format!("waiting for {} {uploads} ({size}); who ends the wait does not end them", left.len())
    }
}

/// What a mount says in a file.
fn told(point: &Path, file: &'static str) -> Option<String> {
    let answers = Mounts::of(file).ask(Some(&[point.to_owned()])).ok()?;
    answers.into_iter().next()?.told.ok()
}

fn left(report: &Report) -> String {
    let why = report.cause().map(|cause| format!(": {}", cause.sentence)).unwrap_or_default();
    let next = match report.state.word() {
        "failed" => "try it again, or discard it",
        _ => "the next mount of its service goes on with it",
    };
    format!("image {} is not uploaded, it is {}{why}; {next} (glancefs uploads)", report.image, report.state.word())
}
