//! Where uploads are kept, and how they are sent.

use std::path::PathBuf;
use std::time::Duration;

use super::sender;
use crate::service::retry::Patience;

/// Where a program waits in `close`: nine tries with three minutes of pauses in all. What lasts longer than a restart of the
/// service should be told rather than waited for.
pub(super) const CLOSE: Patience =
    Patience { tries: 9, first_pause: Duration::from_secs(1), longest_pause: Duration::from_mins(1) };

/// Where nobody waits: until it succeeds, also over a night without the service.
pub(super) const BEHIND: Patience =
    Patience { tries: u32::MAX, first_pause: Duration::from_secs(1), longest_pause: Duration::from_mins(5) };

/// Where uploads are kept, and how they are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder, of one service and project. It is made where there is none; several mounts may share it.
    pub folder: PathBuf,
    /// Where the service is mounted, for who looks for the mount that is at an upload ([`super::Uploads::mounts`]).
    pub point: Option<PathBuf>,
    /// Whether uploads are gone on with that an earlier mount left there.
    pub takes_up: bool,
    /// How many uploads are sent at once.
    pub workers: usize,
    /// Whether a sealed upload has to survive a power cut, because its writer does not wait for the service.
    pub write_back: bool,
    /// How long an upload that nobody writes rests before it is sealed ([`super::Upload::seal_when_quiet`]).
    pub quiet: Duration,
    /// How often an upload is tried that somebody waits for.
    pub patience: Patience,
    /// How often another one is.
    pub behind: Patience,
    /// How long the service is believed that it is saving bytes that nobody sends any more.
    pub saving: Duration,
}

impl Settings {
    /// Three uploads at once, and `close` waits for the service. More uploads would share the same link, and each keeps
    /// a worker of the service busy with hashing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            point: None,
            takes_up: true,
            workers: 3,
            write_back: false,
            quiet: Duration::from_secs(2),
            patience: CLOSE,
            behind: BEHIND,
            // A service hashes and stores what it has received within minutes; one that was killed shows it for ever.
            saving: Duration::from_mins(15),
        }
    }

    /// Bytes of memory that the buffers of all who send hold at most. Who writes needs none: bytes go from the request
    /// to the spool.
    pub fn memory(&self) -> u64 {
        sender::MEMORY.saturating_mul(u64::try_from(self.workers.max(1)).unwrap_or(u64::MAX))
    }

    /// The same where nobody waits in `close`.
    #[must_use]
    pub fn behind(self) -> Self {
        Self { write_back: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_writer_the_queue_never_gives_up() {
        assert!(BEHIND.pause(1_000_000, None, 0.5).is_some());
    }
}
