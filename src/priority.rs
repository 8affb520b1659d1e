//! The priority of threads.

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;

/// How much further ahead a thread goes that others wait for, as a difference in niceness (sched(7)): three times the
/// share of a processor that one of the usual niceness gets.
const AHEAD: i32 = 5;

/// The calling thread goes ahead of the other threads until this is dropped, on that same thread.
///
/// It takes `CAP_SYS_NICE` or a limit (`RLIMIT_NICE`) that allows it, as a mount of root's has; without, nothing changes.
#[derive(Debug)]
pub(crate) struct Ahead(Option<i32>);

impl Ahead {
    /// From now on.
    #[must_use]
    pub(crate) fn begin() -> Self {
        let usual = getpriority_process(Some(gettid())).ok();
        Self(usual.filter(|usual| setpriority_process(Some(gettid()), usual - AHEAD).is_ok()))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(usual) = self.0 {
            // Back to where it came from is always allowed.
            let _ = setpriority_process(Some(gettid()), usual);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        getpriority_process(Some(gettid())).unwrap()
    }

    #[test]
    fn a_thread_goes_back_to_its_place() {
        let usual = niceness();
        let ahead = Ahead::begin();
        let allowed = ahead.0.is_some();
        assert_eq!(niceness(), if allowed { (usual - AHEAD).max(-20) } else { usual });
        drop(ahead);
        assert_eq!(niceness(), usual);
    }
}
