//! `glancefs uploads wait`: until nothing is under way, or until what was named is done.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::found::{Found, Search};
use super::shown;
use crate::cli::output::{self, Code, Failure};
use crate::cli::progress::Progress;
use crate::image::ImageId;

/// How often the mounts are asked.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits, at most for so long, and tells what is left that nobody goes on with.
pub(super) fn wait(search: &mut Search, images: &[ImageId], timeout: Option<Duration>) -> Result<(), Failure> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut sent = Sent { sizes: BTreeMap::new(), progress: Progress::new("uploads", 0) };
    loop {
        let left = left(search.look()?, images);
        sent.show(&left.under_way);
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || left.under_way.is_empty() {
            return left.told();
        }
        thread::sleep(PAUSE);
    }
}

/// How far all uploads are that were seen under way.
struct Sent {
    /// Their sizes; those that are not under way any more are done.
    sizes: BTreeMap<ImageId, u64>,
    progress: Progress,
}

impl Sent {
    fn show(&mut self, under_way: &[Found]) {
        self.sizes.extend(under_way.iter().map(|found| (found.line.image, found.line.size)));
        let all: u64 = self.sizes.values().sum();
        let missing: u64 = under_way.iter().map(|found| found.line.size.saturating_sub(found.line.sent)).sum();
        self.progress.grows_to(all);
        self.progress.reached(all.saturating_sub(missing));
    }
}

/// What is not done.
struct Left {
    under_way: Vec<Found>,
    /// Nobody goes on with them.
    standing: Vec<Found>,
}

/// What is not done of `images`; of all, where none is named.
fn left(found: Vec<Found>, images: &[ImageId]) -> Left {
    let wanted = found.into_iter().filter(|found| images.is_empty() || images.contains(&found.line.image));
    let (standing, under_way) = wanted.partition(|found| found.line.needs_somebody);
    Left { under_way, standing }
}

impl Left {
    fn told(self) -> Result<(), Failure> {
        for found in &self.standing {
            output::problem(format!("image {}: {}", found.line.image, reason(found)));
        }
        for found in &self.under_way {
            output::problem(format!("image {}: it is {}, and the time is over", found.line.image, found.line.state));
        }
        let silent = |code| Err(Failure::new(code, ""));
        match (self.standing.is_empty(), self.under_way.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => silent(Code::System),
            (true, false) => silent(Code::Interrupted),
        }
    }
}

/// Why nobody goes on with it: what a failure said, or what is missing.
fn reason(found: &Found) -> String {
    let failure = found.line.sentence.clone().filter(|_| found.line.state == "failed");
    failure.or_else(|| shown::standing(found)).unwrap_or_else(|| format!("it is {}", found.line.state))
}
