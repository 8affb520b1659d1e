//! `auto_unmount`: a process of its own that takes the mount out of the tree when the program dies without doing so.
//!
//! It waits at the end of a pipe whose other end nobody but the program has, which the system closes however the program
//! ends. fusermount3 can do the same, but only where others are let in.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::daemon::{self, Inherited};
use super::mountinfo;
use super::unmount::{self, How};

/// What is said when the mount has ended as it should.
const OVER: &str = "over";

/// The program's end.
#[derive(Debug)]
pub struct Guard(PipeWriter);

impl Guard {
    /// Starts it for the mount that will be at `point`. To be asked before there are threads.
    pub fn start(point: &Path) -> io::Result<Self> {
        daemon::check_alone()?;
        let (reader, writer) = io::pipe()?;
        // SAFETY: this is the only thread, so no other one can hold a lock or be in the middle of a change.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                stay(reader, point);
                // SAFETY: the call ends the process without what was arranged for its end, which is its parent's.
                unsafe { libc::_exit(0) }
            }
            _ => Ok(Self(writer)),
        }
    }

    /// The mount is there: the one with this device.
    pub fn mounted(&self, device: &str) -> io::Result<()> {
        (&self.0).write_all(format!("{device}\n").as_bytes())
    }

    /// The mount is not there any more, and what is at its place from now on is others'.
    pub fn over(&self) {
        // It is gone itself then.
        let _ = (&self.0).write_all(OVER.as_bytes());
    }
}

/// The guard's life.
fn stay(mut pipe: PipeReader, point: &Path) {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE] {
        // SAFETY: the disposition is the system's own. Those who end all processes of a service mean the program, which
        // ends first then.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // What cannot be left behind is held for longer, and no more.
    let _ = daemon::detach();
    Inherited::find().close_but(pipe.as_raw_fd());
    let mut told = String::new();
    if pipe.read_to_string(&mut told).is_err() {
        return;
    }
    let Some(device) = left(&told) else { return };
    let there = mountinfo::at(point).ok().flatten();
    if there.is_some_and(|mount| mount.is_ours() && mount.device == device) {
        // Nobody is there to be told.
        let _ = unmount::unmount(point, How::Lazy);
    }
}

/// The device of the mount that was left behind, after what was told.
fn left(told: &str) -> Option<&str> {
    told.split_once('\n').filter(|(_, rest)| *rest != OVER).map(|(device, _)| device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mount_that_was_made_and_did_not_end_is_left_behind() {
        assert_eq!(left("0:41\n"), Some("0:41"));
        for told in ["", "0:41", "0:41\nover"] {
            assert_eq!(left(told), None);
        }
    }
}
