//! Who waits for an answer, and whether they can still use it.
//!
//! fuser does not tell of the kernel's INTERRUPT. A program that is killed while a request of it waits here stays in the
//! process table until the answer comes, and the kernel does not close its files before; with a service that stands
//! still that takes minutes. So a request that waits looks after its caller.

use std::time::Duration;

use crate::fs::{Asker, Closing, Ino, Process};

/// How often to look. Most requests are answered before the first look; a person who presses Ctrl-C waits this long.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a look at a process may take. It takes some microseconds, or as long as the process waits for us.
const LOOK: Duration = Duration::from_millis(200);

/// SIGKILL in the masks of `/proc/PID/status`.
const KILLED: u64 = 1 << (libc::SIGKILL - 1);

/// The thread that a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) u32);

impl Caller {
    /// Waits until the caller is dead or dying. For ever where it is not known: another container's, or the kernel's own.
    pub(super) async fn dying(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.0 != 0 && self.is_dying() {
                return;
            }
        }
    }

    /// The same, for the filesystem.
    pub(super) fn asker(self) -> Asker {
        Asker { thread: self.0, look: |thread| Self(thread).process() }
    }

    /// Its process. A thread whose process cannot be told is taken for one.
    pub(super) fn process(self) -> Process {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        Process(group.unwrap_or(self.0))
    }

    /// What it means that it closes a descriptor of `ino`.
    pub(super) async fn closing(self, ino: Ino) -> Closing {
        if self.is_killed().await {
            return Closing::Killed;
        }
        let look = tokio::task::spawn_blocking(move || self.writes(ino));
        let writes = tokio::time::timeout(LOOK, look).await.is_ok_and(Result::unwrap_or_default);
        if writes { Closing::OneOfSeveral } else { Closing::Last }
    }

    /// Whether it has a descriptor with which it can write `ino`. The one that is being closed is none any more. Not known of
    /// other users' processes, where we are not root, and not told by Linux before 5.14: then it has none.
    fn writes(self, ino: Ino) -> bool {
        let Ok(all) = std::fs::read_dir(format!("/proc/{}/fdinfo", self.0)) else { return false };
        all.flatten().any(|one| std::fs::read_to_string(one.path()).is_ok_and(|about| can_write(&about, ino)))
    }

    /// Whether a signal ends its process. One that ends has given its memory back before the kernel closes its files.
    ///
    /// The kernel lets nobody look at a process that is starting another program before that has closed its files, and
    /// that waits for our answer. So this gives up soon, and such a process is not killed.
    pub(super) async fn is_killed(self) -> bool {
        if self.has_memory() {
            return false;
        }
        let path = format!("/proc/{}/stat", self.0);
        let look = tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap_or_default());
        tokio::time::timeout(LOOK, look).await.is_ok_and(|about| about.is_ok_and(|about| is_killed(&about)))
    }

    fn has_memory(self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0));
        status.is_ok_and(|status| status.lines().any(|line| line.starts_with("VmSize:")))
    }

    fn is_dying(self) -> bool {
        // Where /proc is missing or hides others' processes, a caller is taken for living while there is one.
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0));
        status.map_or_else(|_| self.is_gone(), |status| is_dying(&status))
    }

    fn is_gone(self) -> bool {
        let Ok(thread) = libc::pid_t::try_from(self.0) else { return true };
        // SAFETY: signal 0 is sent to nobody; the call only tells whether there is somebody.
        let found = unsafe { libc::kill(thread, 0) } == 0;
        !found && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
    }
}

/// Whether a thread with this status (proc(5)) is dead, or dies as soon as what it waits for is answered. A signal that
/// ends a program because the program does not handle it, such as Ctrl-C's, is SIGKILL for each thread by then.
fn is_dying(status: &str) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let pending = |name: &str| field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    let over = field("State").is_some_and(|state| state.starts_with(['Z', 'X']));
    over || (pending("SigPnd") | pending("ShdPnd")) & KILLED != 0
}

/// Whether a signal ends the process of this `stat` (proc(5)), whose files the kernel then closes. Its field 52 is the status
/// that waitpid(2) will tell, with a signal in the lowest seven bits; 0 for who lives, and for whom we may not look at.
fn is_killed(stat: &str) -> bool {
    // The second field is the name, in parentheses, and may hold anything.
    let behind_the_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let status = behind_the_name.split_ascii_whitespace().nth(52 - 3).and_then(|field| field.parse::<i32>().ok());
    status.is_some_and(|status| libc::WIFSIGNALED(status))
}

/// Whether the descriptor that `about` tells of (proc(5)) can write `ino`.
fn can_write(about: &str, ino: Ino) -> bool {
    let field = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let flags = field("flags").and_then(|flags| i32::from_str_radix(flags, 8).ok()).unwrap_or(libc::O_RDONLY);
    flags & libc::O_ACCMODE != libc::O_RDONLY && field("ino").and_then(|number| number.parse().ok()) == Some(ino.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_close_is_the_last_one_once_nothing_is_left_to_write_the_file_with() {
        use std::fs::File;
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        let (reads, ino) = (File::open(&path).unwrap(), Ino(file.metadata().unwrap().ino()));
        let closing = || Caller(std::process::id()).closing(ino);
        assert_eq!(closing().await, Closing::OneOfSeveral);
        drop(file);
        assert_eq!(closing().await, Closing::Last, "what only reads does not count");
        drop(reads);
        assert_eq!(Caller(1 << 30).closing(ino).await, Closing::Last);
        let about = "pos:\t0\nflags:\t0100002\nmnt_id:\t30\nino:\t7\n";
        assert!(can_write(about, Ino(7)) && !can_write(about, Ino(70)) && !can_write("", Ino(7)));
        assert!(!can_write(&about.replace("ino", "eno"), Ino(7)), "an older kernel does not say");
    }

    #[tokio::test]
    async fn a_process_that_a_signal_ends_is_told_from_one_that_exits() {
        let stat = |status: i32| format!("7 (a) b) R {}{status}", "1 ".repeat(48));
        assert!(is_killed(&stat(libc::SIGKILL)) && is_killed(&stat(libc::SIGINT)));
        assert!(!is_killed(&stat(0)) && !is_killed(&stat(1 << 8)) && !is_killed(""));
        assert!(!Caller(std::process::id()).is_killed().await);
    }

    const LIVING: &str = "Name:\tcp\nState:\tD (disk sleep)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000002\n";

    #[test]
    fn a_pending_kill_is_seen_for_the_thread_and_for_its_process() {
        assert!(!is_dying(LIVING), "a signal that the program handles");
        assert!(is_dying(&LIVING.replace("SigPnd:\t0000000000000000", "SigPnd:\t0000000000000100")));
        assert!(is_dying(&LIVING.replace("ShdPnd:\t0000000000000002", "ShdPnd:\t0000000000000102")));
    }

    #[test]
    fn what_has_ended_and_was_not_waited_for_is_dead() {
        assert!(is_dying(&LIVING.replace("D (disk sleep)", "Z (zombie)")));
    }

    #[test]
    fn nobody_is_dying_only_because_we_cannot_read_it() {
        assert!(!is_dying(""));
        assert!(!Caller(std::process::id()).is_dying());
        // Larger than any number of a process.
        assert!(Caller(1 << 30).is_dying());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_not_known_is_never_given_up() {
        let waited = tokio::time::timeout(Duration::from_hours(1), Caller(0).dying()).await;
        waited.unwrap_err();
    }
}
