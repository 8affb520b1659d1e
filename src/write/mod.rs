//! Bytes on their way to the service: spool, journal, queue.
//!
//! [`Uploads`] has a folder with a folder for each upload: the bytes, written in any order, and a record of how far the
//! upload is. What is sealed is sent by a few workers; it is retried and verified until the image is active, and only
//! then removed. A daemon that is killed at any moment finds in the folder what it has to go on with.
//!
//! It knows paths on the disk and the service, and nothing of files as the kernel sees them.

/// An upload of at most so many bytes is small: reading, hashing or removing them takes less time than a hand-over to
/// another thread and back.
const SMALL: u64 = 256 << 10;

mod blank;
mod clock;
mod digest;
mod error;
mod expected;
mod failure;
mod foretold;
mod format;
mod home;
mod job;
mod journal;
mod line;
mod nothing;
mod queue;
mod record;
mod report;
mod scratch;
mod sealing;
mod sender;
mod settings;
mod spool;
mod state;
mod stir;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;
mod upload;
mod uploads;
mod worker;
mod writer;

pub use error::WriteError;
pub use expected::Expected;
pub use foretold::Orphan;
pub use format::{Format, Formats, HEAD, Unfit, fit, recognise};
pub use journal::Aside;
pub use line::Line;
pub use report::Report;
pub use scratch::Scratch;
pub use sealing::Hold;
pub use settings::Settings;
pub use spool::Allocation;
pub use state::{Cause, Hashes, Reason, Sealed, State};
pub use stir::Stir;
pub use upload::Upload;
pub use uploads::Uploads;
pub use writer::Writer;
