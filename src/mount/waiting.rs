//! Waiting for the network on behalf of somebody who may be killed meanwhile.
//!
//! The kernel lets nobody go whose request is here, not even who was killed, until it is answered. So whatever waits looks
//! after its caller, and answers when that dies.

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument;

use super::caller::Caller;
use crate::fs::{Entry, FileSystem, FsError, Opened, Result};

/// What comes of `work`, which changes nothing: it ends with who waits for it.
pub(super) async fn looked<T>(caller: Caller, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = caller.dying() => Err(FsError::Interrupted),
    }
}

/// What comes of `work`, which changes something: what was begun goes on to its end without who waits for it, since nobody
/// knows how far it is. What it comes to then is for `unheard`.
pub(super) async fn done<T: Send + 'static>(
    caller: Caller,
    work: impl Future<Output = Result<T>> + Send + 'static,
    unheard: impl FnOnce(T) + Send + 'static,
) -> Result<T> {
    let mut work = Box::pin(work);
    tokio::select! {
        biased;
        outcome = &mut work => outcome,
        () = caller.dying() => {
            let rest = async move { work.await.map_or_else(|error| tracing::debug!(%error, "refused, unheard"), unheard) };
            tokio::spawn(rest.in_current_span());
            Err(FsError::Interrupted)
        }
    }
}

/// What a change comes to, where the kernel is not told of it any more.
pub(super) trait Untold {
    /// Takes back what the kernel would take back.
    fn forgotten(self, files: &Arc<FileSystem>);
}

impl Untold for () {
    fn forgotten(self, _: &Arc<FileSystem>) {}
}

/// Attributes of what the kernel knows.
pub(super) struct Shown(pub(super) Entry);

impl Untold for Shown {
    fn forgotten(self, _: &Arc<FileSystem>) {}
}

impl Untold for Entry {
    fn forgotten(self, files: &Arc<FileSystem>) {
        files.forget(self.attr.ino, 1);
    }
}

impl Untold for Opened {
    fn forgotten(self, files: &Arc<FileSystem>) {
        files.abandon(self.handle);
    }
}

impl Untold for (Entry, Opened) {
    fn forgotten(self, files: &Arc<FileSystem>) {
        self.1.forgotten(files);
        self.0.forgotten(files);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use tokio::sync::oneshot;

    use super::*;

    /// A program that was killed, and that nobody has asked for.
    fn killed() -> (Child, Caller) {
        let mut program = Command::new("sleep").arg("1000").spawn().unwrap();
        program.kill().unwrap();
        let caller = Caller(program.id());
        (program, caller)
    }

    #[tokio::test]
    async fn a_look_ends_with_who_waits_for_it() {
        let (mut program, caller) = killed();
        let (kept, wait) = oneshot::channel::<()>();
        let outcome = looked(caller, async move { wait.await.map_err(|_| FsError::Forgotten) }).await;
        assert!(matches!(outcome, Err(FsError::Interrupted)), "{outcome:?}");
        assert!(kept.is_closed());
        program.wait().unwrap();
    }

    #[tokio::test]
    async fn a_change_goes_on_without_who_waits_for_it() {
        let (mut program, caller) = killed();
        let (release, wait) = oneshot::channel::<u8>();
        let (told, hear) = oneshot::channel();
        let work = async move { wait.await.map_err(|_| FsError::Forgotten) };
        let outcome = done(caller, work, |value| told.send(value).unwrap()).await;
        assert!(matches!(outcome, Err(FsError::Interrupted)), "{outcome:?}");
        release.send(7).unwrap();
        assert_eq!(hear.await, Ok(7));
        program.wait().unwrap();
    }

    #[tokio::test]
    async fn who_lives_hears_what_came_of_it() {
        let caller = Caller(std::process::id());
        assert_eq!(looked(caller, async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(done(caller, async { Ok(2) }, |_| panic!("it was heard")).await.unwrap(), 2);
    }
}
