//! The bar of a long job, on a terminal that can show one.

use std::io;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plain::Plain;
use crate::terminal::Terminal;

/// How the bar looks: without colours, which not everybody wants or sees.
const LOOK: &str = "{msg} [{bar:20}] {percent:>3}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// A bar on standard error, gone when it is dropped. Where that is no terminal, or one that cannot go back in a line,
/// nothing is shown.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// For a job of `all` bytes.
    pub(super) fn new(job: &str, all: u64) -> Self {
        let moves = Terminal::of(&io::stderr()).moves;
        let target = if moves { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(all), target).with_message(Plain(job).to_string());
        match ProgressStyle::with_template(LOOK) {
            Ok(style) => Self(bar.with_style(style.progress_chars("#>-"))),
            // The template is right, as a test says.
            Err(_) => Self(bar),
        }
    }

    /// The job has become one of `all` bytes.
    pub(super) fn grows_to(&self, all: u64) {
        self.0.set_length(all);
    }

    /// So many bytes are done.
    pub(super) fn reached(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(LOOK).is_ok());
    }
}
