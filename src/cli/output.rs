//! What the commands print, and how they end.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::plain::Lines;
use crate::telemetry::journal;

/// Exit codes as mount(8) has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Wrong usage, or not permitted.
    Usage = 1,
    /// The system failed.
    System = 2,
    /// Who read what was printed has closed the pipe: what a shell shows of a program that this signal ended.
    Pipe = 128 + 13,
    /// Ended by a signal before it was done.
    Interrupted = 8,
    /// The mount failed.
    Mount = 32,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A command that failed: its exit code, and the sentence for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// The exit code, one of [`Code`] or what a child ended with.
    pub code: u8,
    /// What went wrong and, where known, what to do.
    pub sentence: String,
}

impl Failure {
    /// A failure with this exit code and sentence.
    pub fn new(code: Code, sentence: impl Display) -> Self {
        Self { code: code as u8, sentence: sentence.to_string() }
    }

    /// For `map_err`: the error's own sentence with this exit code.
    pub fn with<E: Display>(code: Code) -> impl FnOnce(E) -> Self {
        move |error| Self::new(code, error)
    }
}

/// Prints a line to standard output, or several. What could not stand on a terminal is shown by its number.
///
/// # Errors
/// Where it cannot be written, as on a full disk.
pub fn line(text: impl Display) -> Result<(), Failure> {
    // In one piece, so that what several programs write to one file does not mix.
    all(format!("{}\n", Lines(text)).as_bytes())
}

/// Prints bytes to standard output as they are.
///
/// # Errors
/// As for [`line()`].
pub fn all(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| unwritten(&error))
}

/// Standard output takes nothing. Who closed its other end does not want more, and needs no sentence.
pub(super) fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Code::Pipe, ""),
        _ => Failure::new(Code::System, format!("cannot write to standard output: {error}")),
    }
}

/// Prints a line to standard error, with the program's name in front.
pub fn problem(text: impl Display) {
    // The journal reads how bad it is from the beginning of the line (sd-daemon(3)).
    let mark = if journal::is_behind_stderr() { "<3>" } else { "" };
    let _ = writeln!(io::stderr(), "{mark}glancefs: {}", Lines(text));
}

/// Lets a closed pipe end this process quietly (`glancefs doctor | head -1`), as other commands do; Rust programs start
/// with the signal ignored.
pub fn end_on_closed_pipe() {
    set_pipe_signal(libc::SIG_DFL);
}

/// Keeps a closed pipe from ending this process, which has a mount or clients to look after.
pub fn survive_closed_pipe() {
    set_pipe_signal(libc::SIG_IGN);
}

fn set_pipe_signal(action: libc::sighandler_t) {
    // SAFETY: both dispositions are the system's own; no handler of ours is installed.
    unsafe { libc::signal(libc::SIGPIPE, action) };
}
