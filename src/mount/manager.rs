//! What a service manager is told (`sd_notify(3)`): that the mount answers, that it is alive, and how long its end may
//! take. Without one nothing is told.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use super::life::{self, KEEPING, PATIENCE};

/// Tells the manager again and again that the mount answers, until it is dropped.
#[derive(Debug)]
pub struct Watch(Option<JoinHandle<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// The mount at `point` answers.
pub fn ready(point: &Path) {
    let status = format!("{} answers", point.display());
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// How it goes, in a few words.
pub fn status(words: impl Display) {
    tell(&[NotifyState::Status(&words.to_string())]);
}

/// Where the manager has a watchdog, it is told twice in its time that the mount answers: a mount that hangs does not, and
/// is begun anew.
pub fn watch(point: &Path) -> Watch {
    let alive = sd_notify::watchdog_enabled().map(|limit| tokio::spawn(stay(point.to_owned(), limit / 2)));
    Watch(alive)
}

async fn stay(point: PathBuf, each: Duration) {
    loop {
        tokio::time::sleep(each).await;
        match life::answers(&point).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(error) => tracing::warn!(%error, "the mount does not answer"),
        }
    }
}

/// The mount comes to its end, which takes so long at most for uploads, and as long as reading and open files may take.
pub fn stopping(uploads: Duration) {
    let longest = PATIENCE.saturating_add(KEEPING).saturating_add(uploads);
    let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status("coming to its end")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
