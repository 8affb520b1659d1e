//! A mount that ends with the test, however the test ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crate::process::Watched;
use crate::support::{Place, Ran, mounts};

/// Longer than any test takes. A read that would wait for ever fails when the program is killed then.
const LONGEST: Duration = Duration::from_mins(5);

/// A mount in the background, in surroundings of its own.
pub(crate) struct Mount {
    place: Place,
    daemon: Arc<Watched>,
    // Dropped with the mount, which ends the wait of the thread that has the other end.
    _alive: Sender<()>,
}

impl Mount {
    /// Runs `glancefs mount SOURCE` with what `clouds` describes.
    pub(crate) fn of(clouds: &Path, source: &str, options: &[&str]) -> Self {
        let place = Place::new();
        attempt(&place, clouds, source, options).succeeded();
        Self::in_place(place)
    }

    /// The mount that was made there.
    pub(crate) fn in_place(place: Place) -> Self {
        let daemon = Arc::new(Watched::daemon_of(&place));
        let (alive, ended) = mpsc::channel();
        let watched = Arc::clone(&daemon);
        std::thread::spawn(move || {
            if ended.recv_timeout(LONGEST) == Err(mpsc::RecvTimeoutError::Timeout) {
                watched.signal(libc::SIGKILL);
            }
        });
        Self { place, daemon, _alive: alive }
    }

    /// The mount point.
    pub(crate) fn root(&self) -> PathBuf {
        self.place.mount()
    }

    /// A path below the mount point.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root().join(below)
    }

    /// The bytes of an image.
    pub(crate) fn data(&self, id: &str) -> PathBuf {
        self.path("by-id").join(id).join("data")
    }

    /// A line of `/proc/PID/status` in bytes, such as `VmHWM`, the most memory that the program ever held.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How many sockets the program has open: connections, also those that wait to be used again, and some for itself.
    pub(crate) fn sockets(&self) -> u64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.daemon.pid)).unwrap();
        let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count() as u64
    }

    /// What the program has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.path("log")).unwrap_or_default()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: i32) {
        self.daemon.signal(signal);
    }

    /// Stops the program, each thread of it: one that runs on for a moment would take a request and leave it unanswered,
    /// and whoever waits for that cannot even be killed.
    pub(crate) fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.daemon.pid);
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with('T'))
        };
        while !std::fs::read_dir(&tasks).unwrap().all(is_stopped) {
            std::thread::yield_now();
        }
    }

    /// Kills the program while `open` is open, and clears its mount away.
    pub(crate) fn kill(self, open: Option<File>) {
        self.daemon.signal(libc::SIGKILL);
        self.daemon.ended();
        drop(open);
        self.place.run(["umount".as_ref(), self.root().as_os_str()]).succeeded();
    }

    /// Unmounts, and fails if anything is left.
    pub(crate) fn end(self) {
        let uploads = fs::read_to_string(self.path(".glancefs/uploads")).unwrap_or_default();
        let umount = || self.place.run(["umount".as_ref(), self.root().as_os_str()]);
        let mut ran = umount();
        for _ in 0..20 {
            if ran.code == Some(0) || !ran.err.contains("is busy") {
                break;
            }
            // A `glancefs uploads` of another test looks into every mount for a moment.
            std::thread::sleep(Duration::from_millis(50));
            ran = umount();
        }
        // Of uploads that are not done it tells whether they are now.
        if uploads.is_empty() {
            ran.succeeded();
        }
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.daemon.ended();
        self.place.assert_nothing_is_left();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !mounts().contains(self.root().to_str().unwrap_or_default()) {
            return;
        }
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the log of the mount ends with:\n{}", log.get(log.len().saturating_sub(4000)..).unwrap_or(&log));
            self.daemon.signal(libc::SIGKILL);
        } else {
            self.daemon.signal(libc::SIGTERM);
            self.daemon.ended();
        }
    }
}

/// Runs `glancefs mount SOURCE MOUNTPOINT` and tells how it ended.
fn attempt(place: &Place, clouds: &Path, source: &str, options: &[&str]) -> Ran {
    let mut command = place.command();
    command.env("OS_CLIENT_CONFIG_FILE", clouds).args(["mount", source]).arg(place.mount());
    command.arg("--log-file").arg(place.path("log")).args(options);
    let mut ran = Ran::of(command.output().unwrap());
    // A real Keystone that others keep busy takes longer than the three seconds that nobody is told of.
    let is_notice = |line: &&str| line.starts_with("glancefs: waiting for ") && line.ends_with(" at most");
    ran.err = ran.err.split_inclusive('\n').filter(|line| !is_notice(&line.trim_end())).collect();
    ran
}
