//! Running the real binary in surroundings of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home, a configured cloud, an empty folder to mount at, and nothing of the machine's own settings.
pub(crate) struct Place {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.mount()).unwrap();
        // Nothing listens on port 1, and asking it needs no network.
        let clouds = "clouds:\n  away:\n    auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: hush, \
                      project_name: p, user_domain_id: default, project_domain_id: default}\n";
        fs::write(place.path("clouds.yaml"), clouds).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        // As the kernel names it: without symbolic links.
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.path("mount")
    }

    /// The binary, ready to be given arguments.
    pub(crate) fn command(&self) -> Command {
        self.command_as(Path::new(env!("CARGO_BIN_EXE_glancefs")))
    }

    /// The same under another name.
    pub(crate) fn command_as(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", self.path("home")).env("XDG_STATE_HOME", self.path("state"));
        command.env("OS_CLIENT_CONFIG_FILE", self.path("clouds.yaml")).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(self.command().args(arguments).output().unwrap())
    }

    /// Runs `glancefs mount SOURCE MOUNTPOINT`.
    pub(crate) fn mount_of(&self, source: &str) -> Ran {
        self.run([OsStr::new("mount"), OsStr::new(source), self.mount().as_os_str()])
    }

    /// Fails unless nothing is mounted below this place and no program works on it.
    pub(crate) fn assert_nothing_is_left(&self) {
        let root = self.path("");
        assert!(!mounts().contains(root.to_str().unwrap()), "{}", mounts());
        let left = processes_on(&root);
        assert!(left.is_empty(), "processes {left:?} are left");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a failed test only; otherwise there is nothing to unmount.
        if mounts().contains(self.mount().to_str().unwrap()) {
            let _ = Command::new("umount").arg("-l").arg(self.mount()).output();
        }
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Fails unless it ended with this code and said these words on standard error.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "'{word}' is missing in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
    }
}

/// What this thread sees mounted, which may be in a namespace of its own.
pub(crate) fn mounts() -> String {
    fs::read_to_string("/proc/thread-self/mounts").unwrap()
}

/// The processes of our binary that have `path` in their arguments.
pub(crate) fn processes_on(path: &Path) -> Vec<i32> {
    let path = path.to_str().unwrap();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| works_on(*pid, path)).collect()
}

fn works_on(pid: i32, path: &str) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let line = String::from_utf8_lossy(&line);
    let program = line.split('\0').next().unwrap_or_default();
    line.contains(path)
        && ["glancefs", "mount.fuse.glancefs", "umount.fuse.glancefs"].iter().any(|name| program.ends_with(name))
}
