//! From the mount to its end.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::session::Mounted;

/// How long open files may hold up the end after a signal. Long enough for a copy's last read, short enough for a
/// machine that shuts down (systemd waits 90 s).
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a fresh mount may take to answer its first stat, which asks nothing of the network.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// The signals that ask for an end: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal was closed).
#[derive(Debug)]
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// How a mount came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody unmounted it.
    Unmounted,
    /// A signal asked for it, and everything was closed.
    Signalled,
    /// A signal asked for it, and files were still open when the patience was over or a second signal came.
    Forced,
}

impl EndSignals {
    /// Takes the signals over from here on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Asks the mount for its root's attributes, as the first user would.
pub async fn answers(point: &Path) -> io::Result<()> {
    let path = point.to_owned();
    let stat = tokio::task::spawn_blocking(move || path.metadata().map(drop));
    match timeout(FIRST_ANSWER, stat).await {
        Ok(answer) => answer?,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
    }
}

/// Waits until the mount is ended from outside or by a signal; then unmounts, and gives open files [`PATIENCE`].
pub async fn until_end(mounted: &mut Mounted, signals: &mut EndSignals) -> End {
    tokio::select! {
        () = mounted.ended() => return End::Unmounted,
        () = signals.next() => {}
    }
    leave(mounted, signals).await
}

/// Unmounts, and gives open files [`PATIENCE`] unless another signal comes.
pub async fn leave(mounted: &mut Mounted, signals: &mut EndSignals) -> End {
    if let Err(error) = mounted.unmount() {
        tracing::error!(%error, "the mount stays in the tree");
    }
    tokio::select! {
        () = mounted.ended() => End::Signalled,
        () = tokio::time::sleep(PATIENCE) => End::Forced,
        () = signals.next() => End::Forced,
    }
}
