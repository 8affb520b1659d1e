//! Going into the background: fork before any thread exists, and a pipe over which the child tells how it went.
//!
//! The parent is what the shell, mount(8) or systemd waits for. It ends when the child says that the mount answers, or with
//! the child's sentence and exit code. The child stays in the terminal's session until then, so that Ctrl-C during a
//! slow login ends both.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::handed::{self, Handed};

/// The first byte on the pipe when the mount answers. A failure's first byte is its exit code, which is never 0.
const READY: u8 = 0;

/// How far a child got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mount answers, and the child goes on in the background.
    Ready,
    /// The child gave up.
    Failed {
        /// The exit code for the caller.
        code: u8,
        /// What went wrong.
        sentence: String,
    },
    /// The child ended without a word.
    Silent,
    /// A signal came, and the child has ended.
    Interrupted,
}

/// The parent's end.
#[derive(Debug)]
pub struct Waiting(PipeReader);

/// The child's end. Dropped unused, the parent reads [`Outcome::Silent`].
#[derive(Debug)]
pub struct Readiness(PipeWriter);

/// Which process this is after a fork.
#[derive(Debug)]
pub enum Side {
    /// The one that was there before.
    Parent(Waiting),
    /// The new one.
    Child(Readiness),
}

/// What the caller left open beside the standard streams: the lock of a script, the pipe of a build. Held by a mount, they
/// would stay locked and unfinished for as long as it lives.
#[derive(Debug)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Finds them. To be asked before this process opens anything itself.
    pub fn find() -> Self {
        let number = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd").into_iter().flatten().filter_map(number).collect();
        // The folder that was read was open itself, and is not any more.
        Self(open.into_iter().filter(|&descriptor| descriptor > libc::STDERR_FILENO && is_open(descriptor)).collect())
    }

    /// Closes them. Of a mount that was handed over, its descriptor stays open, and sockets: with `auto_unmount` fusermount3
    /// unmounts as soon as it sees the end of one.
    pub fn close(self, handed: Option<&Handed>) {
        let stays =
            |descriptor| handed.is_some_and(|handed| handed.number() == descriptor || handed::is_socket(descriptor));
        self.close_unless(stays);
    }

    /// Closes all but this one, for a process that does nothing else from here on than what it needs that for.
    pub(super) fn close_but(self, needed: RawFd) {
        self.close_unless(|descriptor| descriptor == needed);
    }

    fn close_unless(self, stays: impl Fn(RawFd) -> bool) {
        for descriptor in self.0.into_iter().filter(|&descriptor| !stays(descriptor)) {
            // SAFETY: nothing here owns it, because it was open before, or does anything with it any more.
            unsafe { libc::close(descriptor) };
        }
    }
}

fn is_open(descriptor: RawFd) -> bool {
    // SAFETY: the call only asks for flags, and fails for a number that is not open.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) != -1 }
}

/// A pipe for one outcome.
pub fn channel() -> io::Result<(Waiting, Readiness)> {
    let (reader, writer) = io::pipe()?;
    Ok((Waiting(reader), Readiness(writer)))
}

/// Forks. Refused when this process has more than one thread, because the others would be missing in the child together
/// with the locks that they hold.
pub fn fork() -> io::Result<Side> {
    check_alone()?;
    let (waiting, readiness) = channel()?;
    let parent = std::process::id();
    // SAFETY: this is the only thread, so no other one can hold a lock or be in the middle of a change.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            end_with(parent)?;
            Ok(Side::Child(readiness))
        }
        child => {
            forward_signals(child);
            Ok(Side::Parent(waiting))
        }
    }
}

/// Who is told of signals to the parent.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Whether one came.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// The parent is what people and service managers know, and the child does the work: what is to end one is to end both.
fn forward_signals(child: i32) {
    CHILD.store(child, Ordering::SeqCst);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler calls nothing that may not be called in one.
        unsafe { libc::signal(signal, forward as *const () as libc::sighandler_t) };
    }
}

extern "C" fn forward(_: i32) {
    SIGNALLED.store(true, Ordering::SeqCst);
    // SAFETY: the child is nobody else as long as it is not waited for, which nobody does.
    unsafe { libc::kill(CHILD.load(Ordering::SeqCst), libc::SIGTERM) };
}

/// In the child: it ends with its parent, until [`detach`].
fn end_with(parent: u32) -> io::Result<()> {
    set_signal_of_parents_death(libc::SIGTERM)?;
    // It may have ended before.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::Error::other("the command that was to wait for the mount has been killed"))
    }
}

fn set_signal_of_parents_death(signal: i32) -> io::Result<()> {
    // SAFETY: the call takes a number, and changes only which signal this process is sent.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Refuses to fork where there are other threads.
pub(super) fn check_alone() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        _ => Err(io::Error::other("a process that has started threads cannot go into the background")),
    }
}

impl Waiting {
    /// Waits for the child's word.
    pub fn outcome(mut self) -> Outcome {
        let mut told = Vec::new();
        // What came before an error still counts; none came when there is nothing.
        let _ = self.0.read_to_end(&mut told);
        match told.split_first() {
            None if SIGNALLED.load(Ordering::SeqCst) => Outcome::Interrupted,
            None => Outcome::Silent,
            Some((&READY, _)) => Outcome::Ready,
            Some((&code, words)) => Outcome::Failed { code, sentence: String::from_utf8_lossy(words).into_owned() },
        }
    }
}

impl Readiness {
    /// Tells the parent that the mount answers. An error means that nobody waits any more.
    pub fn ready(mut self) -> io::Result<()> {
        self.0.write_all(&[READY])
    }

    /// Tells the parent why there will be no mount, and the exit code for its caller.
    pub fn failed(mut self, code: u8, sentence: &str) {
        let mut told = vec![code.max(1)];
        told.extend_from_slice(sentence.as_bytes());
        // A parent that is gone has nobody to tell it to.
        let _ = self.0.write_all(&told);
    }
}

/// Leaves the terminal: a session of its own, `/` as working folder so that no other filesystem is kept busy, and
/// `/dev/null` in place of the standard streams so that who reads our output sees its end.
pub fn detach() -> io::Result<()> {
    set_signal_of_parents_death(0)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    std::env::set_current_dir("/")?;
    // SAFETY: the call takes no arguments and touches no memory. It fails for the leader of a group, which a forked
    // child is not; if it did, staying in the old session would be all that is lost.
    unsafe { libc::setsid() };
    (0..=2).try_for_each(|stream| replace(stream, &null))
}

fn replace(stream: i32, with: &File) -> io::Result<()> {
    // SAFETY: both are open descriptors, and only the standard streams, which Rust never closes, are replaced.
    match unsafe { libc::dup2(with.as_raw_fd(), stream) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_hears_that_the_mount_answers() {
        let (waiting, readiness) = channel().unwrap();
        readiness.ready().unwrap();
        assert_eq!(waiting.outcome(), Outcome::Ready);
    }

    #[test]
    fn the_parent_hears_the_childs_sentence_and_exit_code() {
        let (waiting, readiness) = channel().unwrap();
        readiness.failed(32, "the cloud is away");
        assert_eq!(waiting.outcome(), Outcome::Failed { code: 32, sentence: "the cloud is away".to_owned() });
    }

    #[test]
    fn a_failure_with_code_zero_is_not_taken_for_success() {
        let (waiting, readiness) = channel().unwrap();
        readiness.failed(0, "odd");
        assert_eq!(waiting.outcome(), Outcome::Failed { code: 1, sentence: "odd".to_owned() });
    }

    #[test]
    fn a_child_that_dies_is_noticed() {
        let (waiting, readiness) = channel().unwrap();
        drop(readiness);
        assert_eq!(waiting.outcome(), Outcome::Silent);
    }

    #[test]
    fn a_parent_that_is_gone_is_noticed() {
        let (waiting, readiness) = channel().unwrap();
        drop(waiting);
        assert!(readiness.ready().is_err());
    }

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let (held, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(fork().is_err());
        drop(held);
        other.join().unwrap().unwrap_err();
    }
}
