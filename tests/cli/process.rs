//! Processes that are not our children.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::support::{Place, processes_on};

/// Longer than anything here takes; what lasts this long hangs.
const LIMIT_MILLISECONDS: i32 = 60_000;

/// A process that is watched, whoever its parent is.
pub(crate) struct Watched {
    pub(crate) pid: i32,
    descriptor: OwnedFd,
}

impl Watched {
    /// The one process that serves the mount of this place.
    pub(crate) fn daemon_of(place: &Place) -> Self {
        let found = processes_on(&place.mount());
        assert_eq!(found.len(), 1, "{found:?}");
        Self::new(found.into_iter().next().unwrap())
    }

    pub(crate) fn new(pid: i32) -> Self {
        // SAFETY: the call takes a number and flags, and answers a new descriptor that is ours alone.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: as above.
        let descriptor = unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap()) };
        Self { pid, descriptor }
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the process is held by its descriptor, so the number is still its own.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ended(&self) {
        self.ended_within(LIMIT_MILLISECONDS);
    }

    /// The same where it is to end before something else ends it.
    #[track_caller]
    pub(crate) fn ended_within(&self, milliseconds: i32) {
        let mut waiting = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure that outlives the call.
        assert_eq!(unsafe { libc::poll(&raw mut waiting, 1, milliseconds) }, 1, "it does not end");
    }
}
