//! The bar of a long job, on a terminal that can show one.

use std::io;
use std::os::fd::AsRawFd;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plain::Plain;
use crate::terminal::Terminal;

/// How the bar looks: without colours, which not everybody wants or sees. It has one line, however long the job's name: that is
/// cut where the rest leaves no room.
const WIDE: &str = "{wide_msg} [{bar:20}] {percent:>3}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// The same where a line is too short for that.
const NARROW: &str = "{wide_msg} {percent:>3}%";

/// How a job looks of which nobody knows how long it is.
const ENDLESS: &str = "{wide_msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}";

/// The same where a line is too short for that.
const ENDLESS_NARROW: &str = "{wide_msg} {binary_bytes}";

/// The columns that the longest of it takes behind a name of some letters.
const ROOM: u16 = 76;

/// The columns of a terminal that does not tell.
const USUAL: u16 = 80;

/// A bar on standard error, gone when it is dropped. Where that is no terminal, or one that cannot go back in a line,
/// nothing is shown.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// For a job of `all` bytes.
    pub(super) fn new(job: &str, all: u64) -> Self {
        Self::of(job, Some(all), WIDE, NARROW)
    }

    /// For one of which nobody knows how many bytes it has.
    pub(super) fn endless(job: &str) -> Self {
        Self::of(job, None, ENDLESS, ENDLESS_NARROW)
    }

    fn of(job: &str, all: Option<u64>, wide: &str, narrow: &str) -> Self {
        let moves = Terminal::of(&io::stderr()).moves;
        let target = if moves { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let look = if columns() < ROOM { narrow } else { wide };
        Self::drawn(job, all, target, look)
    }

    fn drawn(job: &str, all: Option<u64>, target: ProgressDrawTarget, look: &str) -> Self {
        let bar = ProgressBar::with_draw_target(all, target).with_message(Plain(job).to_string());
        match ProgressStyle::with_template(look) {
            Ok(style) => Self(bar.with_style(style.progress_chars("#>-").tick_chars("-\\|/ "))),
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

/// The columns of the terminal; those of a usual one where it does not tell.
fn columns() -> u16 {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes to a structure of the type that it expects, which outlives it.
    let asked = unsafe { libc::ioctl(io::stderr().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if asked == 0 && size.ws_col > 0 { size.ws_col } else { USUAL }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::TermLike;

    use super::*;

    /// A terminal of so many columns, and what was written to it.
    #[derive(Clone, Debug)]
    struct Paper(u16, Arc<Mutex<Vec<String>>>);

    impl Paper {
        fn keep(&self, text: &str) {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.0
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.keep(text);
            Ok(())
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.keep(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(look: &str, columns: u16, all: Option<u64>) -> Vec<String> {
        let paper = Paper(columns, Arc::default());
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let progress = Progress::drawn(&"name".repeat(50), all, target, look);
        progress.reached(1023 << 30);
        progress.0.tick();
        let lines = paper.1.lock().unwrap().clone();
        lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn the_bar_has_one_line_however_long_the_name_and_short_the_line() {
        for (look, columns, all) in [
            (WIDE, ROOM, Some(1024 << 30)),
            (WIDE, 200, Some(1024 << 30)),
            (NARROW, 20, Some(1024 << 30)),
            (ENDLESS, ROOM, None),
            (ENDLESS_NARROW, 20, None),
        ] {
            let lines = drawn(look, columns, all);
            assert!(!lines.is_empty(), "{look}");
            for line in lines {
                assert!(
                    line.chars().count() <= usize::from(columns) && line.starts_with("name"),
                    "{columns}: {line:?}"
                );
            }
        }
    }
}
