//! `glancefs uploads wait`: until nothing is under way, or until what was named is done.

use std::thread;
use std::time::{Duration, Instant};

use super::found::{Found, Search};
use super::shown;
use crate::cli::output::{self, Code, Failure};
use crate::image::ImageId;

/// How often the mounts are asked.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits, at most for so long, and tells what is left that nobody goes on with.
pub(super) fn wait(search: &mut Search, images: &[ImageId], timeout: Option<Duration>) -> Result<(), Failure> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = left(search.look()?, images);
        let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over || left.under_way.is_empty() {
            return left.told();
        }
        thread::sleep(PAUSE);
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
