//! Where uploads are kept, and how they are sent.

use std::path::PathBuf;
use std::time::Duration;

use super::queue::Patience;
use crate::budget::Budget;

/// Where uploads are kept, and how they are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder, of one service and project. It is made where there is none; several mounts may share it.
    pub folder: PathBuf,
    /// How many uploads are sent at once.
    pub workers: usize,
    /// Whether a sealed upload has to survive a power cut, because its writer does not wait for the service.
    pub write_back: bool,
    /// How long an upload that nobody writes rests before it is sealed ([`super::Upload::seal_when_quiet`]).
    pub quiet: Duration,
    /// How often an upload is tried.
    pub patience: Patience,
    /// How long the service is believed that it is saving bytes that nobody sends any more.
    pub saving: Duration,
    /// The memory of the mount, which buffers are taken out of.
    pub budget: Option<Budget>,
}

impl Settings {
    /// Three uploads at once, and `close` waits for the service. More uploads would share the same link, and each keeps
    /// a worker of the service busy with hashing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            workers: 3,
            write_back: false,
            quiet: Duration::from_secs(2),
            patience: Patience::CLOSE,
            // A service hashes and stores what it has received within minutes; one that was killed shows it for ever.
            saving: Duration::from_mins(15),
            budget: None,
        }
    }

    /// The same where nobody waits in `close`.
    #[must_use]
    pub fn behind(self) -> Self {
        Self { write_back: true, patience: Patience::BEHIND, ..self }
    }
}
