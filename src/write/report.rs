//! What is told about an upload.

use jiff::Timestamp;

use super::state::{Cause, State};
use crate::image::ImageId;

/// An upload as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The image.
    pub image: ImageId,
    /// Its name.
    pub name: Option<String>,
    /// Where the upload is.
    pub state: State,
    /// Whether somebody has it open for writing.
    pub has_writer: bool,
    /// Whether it is sealed soon, because nobody has it open any more and whoever had was not killed.
    pub is_resting: bool,
    /// How many bytes there are.
    pub size: u64,
    /// How many of them this try has sent.
    pub sent: u64,
    /// Bytes a second of this try, while it sends.
    pub rate: Option<u64>,
}

impl Report {
    /// How many tries were begun.
    pub fn attempts(&self) -> u32 {
        self.state.attempts()
    }

    /// Why the last try failed, where one did.
    pub fn cause(&self) -> Option<&Cause> {
        self.state.cause()
    }

    /// When the next try begins, where one is waited for.
    pub fn until(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether it needs somebody: the queue will not go on with it by itself.
    pub fn needs_somebody(&self) -> bool {
        let is_left = self.state == State::Writing && !self.has_writer && !self.is_resting;
        is_left || matches!(self.state, State::Failed { .. })
    }
}
