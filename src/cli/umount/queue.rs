//! The uploads that a mount leaves to be finished when it is unmounted: its program stays for them, and whoever unmounts
//! waits with it.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::mounts::{STATUS, UPLOADS};
use crate::cli::output;
use crate::cli::privileges::USUAL_PATH;
use crate::cli::words::bytes;
use crate::image::ImageId;
use crate::mount::{mountinfo, point};
use crate::telemetry::status::Status;
use crate::write::{Line, Report, Uploads};

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(100);

/// A wait of which nobody needs to be told why.
const SHORT: Duration = Duration::from_secs(1);

/// How long a mount may take to tell what it knows: it asks nobody for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Uploads of a mount that were not done when it was asked.
#[derive(Debug)]
pub(super) struct Queue {
    /// The folder of the mount's service.
    folder: PathBuf,
    /// The mount's, as `MAJOR:MINOR`.
    device: String,
    images: Vec<ImageId>,
    /// Those of them that the queue goes on with.
    under_way: Vec<ImageId>,
}

impl Queue {
    /// That of the mount at `point`, an absolute path; `None` where nothing is left, and where this user may not look into
    /// the mount, it does not answer, or its uploads are another user's.
    pub(super) fn of(point: &Path) -> Option<Self> {
        let device = mountinfo::at(point).ok()??.device;
        let lines = Line::all_in(&told(point, UPLOADS)?);
        if lines.is_empty() {
            return None;
        }
        let status: Status = serde_json::from_str(&told(point, STATUS)?).ok()?;
        let folder = status.uploads_folder?;
        let (user, _) = point::user();
        if std::fs::metadata(&folder).ok()?.uid() != user {
            return None;
        }
        let under_way = lines.iter().filter(|line| !line.needs_somebody).map(|line| line.image).collect();
        Some(Self { folder, device, images: lines.into_iter().map(|line| line.image).collect(), under_way })
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
        // Mounted elsewhere too, it goes on.
        if mountinfo::all()
            .is_ok_and(|mounts| mounts.iter().any(|mount| mount.device == self.device && mount.is_ours()))
        {
            return false;
        }
        let stands = |report: &Report| matches!(report.state.word(), "failed" | "done");
        let standing: Vec<_> = self.left().into_iter().filter(stands).map(|report| report.image).collect();
        // What cannot be looked at is nothing to wait for.
        let is_taken = |image: &ImageId| matches!(Uploads::is_taken(&self.folder, *image), Ok(Some(true)));
        self.under_way.iter().any(|image| !standing.contains(image) && is_taken(image))
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

/// What a mount says in a file. A process of its own asks, which can be ended: a question that is not answered would keep the
/// mount busy.
fn told(point: &Path, file: &str) -> Option<String> {
    let mut command = Command::new("cat");
    command.arg(point.join(file)).env("PATH", std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let (mut out, (tell, told)) = (child.stdout.take()?, mpsc::channel());
    thread::spawn(move || {
        let mut text = String::new();
        let read = out.read_to_string(&mut text);
        // Nobody listens any more where it took too long.
        let _ = tell.send(read.map(|_| text));
    });
    let text = told.recv_timeout(PATIENCE).ok().and_then(Result::ok);
    if text.is_none() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    text.filter(|_| status.success())
}

fn left(report: &Report) -> String {
    let why = report.cause().map(|cause| format!(": {}", cause.sentence)).unwrap_or_default();
    let next = match report.state.word() {
        "failed" => "try it again, or discard it",
        _ => "the next mount of its service goes on with it",
    };
    format!("image {} is not uploaded, it is {}{why}; {next} (glancefs uploads)", report.image, report.state.word())
}
