//! From the mount to its end.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::session::Mounted;
use crate::fs::FileSystem;

/// How long open files may hold up the end after a signal. Long enough for a copy's last read, short enough for a
/// machine that shuts down (systemd waits 90 s).
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long what was read may take to be kept, after the mount has ended: enough to hash an image of 16 GiB from the disk or
/// to write some GiB to a slow one. Together with [`PATIENCE`] it is less than the 90 s after which systemd kills.
pub const KEEPING: Duration = Duration::from_mins(1);

/// How long a fresh mount may take to answer its first stat, which asks nothing of the network.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// The signals that ask for an end: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal was closed).
#[derive(Debug)]
pub struct EndSignals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    /// What SIGHUP asks for where it does not ask for an end.
    reopen: Option<fn()>,
    came: Option<SignalKind>,
}

/// How a mount came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody unmounted it.
    Unmounted,
    /// A signal asked for it, and everything was closed.
    Signalled,
    /// A signal asked for it, and files were still open when the patience was over.
    Overdue,
    /// A second signal asked for it while files were still open.
    Forced,
}

/// What became of the cache on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All that was read is there, and images that are complete there are sealed.
    All,
    /// Some was not finished in time, or a signal came: the next mount goes on with what is there.
    Part,
}

impl EndSignals {
    /// Takes the signals over from here on.
    pub fn new() -> io::Result<Self> {
        Self::of(|kind| signal(kind).map(Some))
    }

    /// The same, but for those that who started this program had ignored: `nohup`, or a shell that runs it behind a script.
    pub fn unless_ignored() -> io::Result<Self> {
        Self::of(|kind| if is_ignored(kind)? { Ok(None) } else { signal(kind).map(Some) })
    }

    /// For a mount in the foreground: a SIGHUP that was ignored stays so, because `nohup` has asked for it.
    pub fn of_mount() -> io::Result<Self> {
        Self::of(|kind| {
            let stays = kind == SignalKind::hangup() && is_ignored(kind)?;
            if stays { Ok(None) } else { signal(kind).map(Some) }
        })
    }

    /// For one in the background, where SIGHUP asks only that what writes the log does `reopen`, also where it was ignored at
    /// the start.
    pub fn of_daemon(reopen: fn()) -> io::Result<Self> {
        Ok(Self { reopen: Some(reopen), ..Self::of(|kind| signal(kind).map(Some))? })
    }

    fn of(taken: impl Fn(SignalKind) -> io::Result<Option<Signal>>) -> io::Result<Self> {
        Ok(Self {
            terminate: taken(SignalKind::terminate())?,
            interrupt: taken(SignalKind::interrupt())?,
            hang_up: taken(SignalKind::hangup())?,
            reopen: None,
            came: None,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let came = loop {
            let came = tokio::select! {
                () = arrives(&mut self.terminate) => SignalKind::terminate(),
                () = arrives(&mut self.interrupt) => SignalKind::interrupt(),
                () = arrives(&mut self.hang_up) => SignalKind::hangup(),
            };
            match self.reopen {
                Some(reopen) if came == SignalKind::hangup() => reopen(),
                _ => break came,
            }
        };
        self.came = Some(came);
    }

    /// The last one that somebody waited for.
    pub fn came(&self) -> Option<SignalKind> {
        self.came
    }
}

async fn arrives(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn is_ignored(kind: SignalKind) -> io::Result<bool> {
    // SAFETY: zeros are a disposition like any other.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set; what is answered is written to a structure that outlives the call.
    match unsafe { libc::sigaction(kind.as_raw_value(), std::ptr::null(), &raw mut now) } {
        0 => Ok(now.sa_sigaction == libc::SIG_IGN),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process as the signal would have that it has heeded: a shell ends a loop only where it sees that.
pub fn end_by(signal: SignalKind) {
    // SAFETY: the disposition is the system's own; no handler of ours is called any more.
    unsafe {
        libc::signal(signal.as_raw_value(), libc::SIG_DFL);
        libc::raise(signal.as_raw_value());
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
        () = tokio::time::sleep(PATIENCE) => End::Overdue,
        () = signals.next() => End::Forced,
    }
}

/// Lets what is under way to the cache on disk be finished, for as long as [`KEEPING`] and until the next signal.
pub async fn keep(files: &FileSystem, end: End, signals: &mut EndSignals) -> Kept {
    match end {
        // The kernel tells of no close that it had not told of when it was cut off.
        End::Unmounted | End::Signalled => files.close_all(),
        End::Overdue => {}
        End::Forced => return if files.is_keeping() { Kept::Part } else { Kept::All },
    }
    if !files.is_keeping() {
        return Kept::All;
    }
    tracing::info!("finishing what is kept on disk; a signal ends that at once");
    finish(files.kept(), signals.next()).await
}

async fn finish(kept: impl Future<Output = ()>, signal: impl Future<Output = ()>) -> Kept {
    tokio::select! {
        () = kept => Kept::All,
        () = tokio::time::sleep(KEEPING) => Kept::Part,
        () = signal => Kept::Part,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    async fn took(kept: impl Future<Output = ()>, signal: impl Future<Output = ()>) -> (Kept, Duration) {
        let began = Instant::now();
        let outcome = finish(kept, signal).await;
        (outcome, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_being_kept_until_a_signal_comes_or_a_minute_has_passed() {
        let work = || tokio::time::sleep(Duration::from_secs(50));
        assert_eq!(took(work(), pending()).await, (Kept::All, Duration::from_secs(50)));
        assert_eq!(took(work(), ready(())).await, (Kept::Part, Duration::ZERO));
        assert_eq!(took(pending(), pending()).await, (Kept::Part, KEEPING));
    }
}
