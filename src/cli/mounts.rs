//! The mounts that live: what they say in the files of `.glancefs`, and what they can be told.
//!
//! A mount whose program has stopped lets everybody wait who looks at it, and nobody can be called back from there. So each
//! is asked on a thread of its own, which is left behind where it does not come back.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::output::{Code, Failure};
use crate::mount::attribute;
use crate::mount::mountinfo::{self, Mount};

/// How long a mount may take to tell what it knows: it asks nobody for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same for doing something, which may have to break off what is on its way.
const DOING: Duration = Duration::from_secs(30);

/// Where a mount tells of its uploads, and is told what to do about them.
pub(super) const UPLOADS: &str = ".glancefs/uploads";

/// Where a mount tells how it does.
pub(super) const STATUS: &str = ".glancefs/status.json";

/// What is to be said of a mount whose program is gone.
pub(super) fn died(point: &Path) -> String {
    let point = point.display();
    format!("the program of the mount at {point} has died: glancefs umount {point} clears it away")
}

/// What a mount answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The mount.
    pub(super) mount: Mount,
    /// What the file holds; a failure where it is another user's, its program has died, or it is of a version without
    /// such a file.
    pub(super) told: io::Result<String>,
}

/// The mounts of this program, and a file that each of them has.
#[derive(Debug)]
pub(super) struct Mounts {
    file: &'static str,
    /// Those who have not answered yet.
    asked: HashMap<PathBuf, Question>,
}

type Question = (Mount, Receiver<io::Result<String>>);

impl Mounts {
    /// To ask what this file holds.
    pub(super) fn of(file: &'static str) -> Self {
        Self { file, asked: HashMap::new() }
    }

    /// What the mounts say: all of them, or those at certain places. A mount that does not answer in time is asked no
    /// further question before it has.
    pub(super) fn ask(&mut self, only: Option<&[PathBuf]>) -> io::Result<Vec<Answer>> {
        for mount in reachable(mountinfo::all()?, only) {
            let file = mount.point.join(self.file);
            let begin = || (mount.clone(), on_a_thread(move || std::fs::read_to_string(file)));
            self.asked.entry(mount.point.clone()).or_insert_with(begin);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::new();
        self.asked.retain(|_, (mount, asked)| {
            let told = match asked.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(told) => told,
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
            };
            answers.push(Answer { mount: mount.clone(), told });
            false
        });
        answers.sort_by(|one, other| one.mount.point.cmp(&other.mount.point));
        Ok(answers)
    }

    /// Those that have not answered the last question.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Path> {
        self.asked.keys().map(PathBuf::as_path)
    }
}

/// Where our mounts can be reached, each once: what lies under another mount cannot.
fn reachable(mounts: Vec<Mount>, only: Option<&[PathBuf]>) -> Vec<Mount> {
    let mut topmost = HashMap::new();
    for mount in mounts {
        topmost.insert(mount.point.clone(), mount);
    }
    let is_meant = |mount: &Mount| mount.is_ours() && only.is_none_or(|only| only.contains(&mount.point));
    let mut ours: Vec<_> = topmost.into_values().filter(is_meant).collect();
    ours.sort_by(|one, other| one.point.cmp(&other.point));
    let mut seen = Vec::new();
    ours.retain(|mount| {
        let is_new = !seen.contains(&mount.device);
        seen.push(mount.device.clone());
        is_new
    });
    ours
}

fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = tell.send(work());
    });
    told
}

/// Writes a line to the uploads of a mount, which carries it out before it answers.
pub(super) fn tell(point: &Path, line: String) -> Result<(), Failure> {
    let file = point.join(UPLOADS);
    let told = on_a_thread(move || command(&file, &line));
    let silent = || Failure::new(Code::System, format!("the mount at {} does not answer", point.display()));
    told.recv_timeout(DOING).map_err(|_| silent())?
}

fn command(file: &Path, line: &str) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(|error| {
        let code = match error.raw_os_error() {
            Some(libc::ENOENT | libc::EBUSY | libc::EINVAL | libc::EACCES | libc::EROFS) => Code::Usage,
            _ => Code::System,
        };
        Failure::new(code, sentence_of(file).unwrap_or_else(|| error.to_string()))
    })
}

/// Why the last operation on a file of a mount failed.
fn sentence_of(file: &Path) -> Option<String> {
    attribute::text(file, attribute::ERROR).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, device: &str, kind: &str) -> Mount {
        Mount { id: 1, device: device.to_owned(), point: point.into(), kind: kind.to_owned(), source: "cloud".into() }
    }

    #[test]
    fn each_mount_is_asked_once_and_those_that_lie_under_another_one_are_not() {
        let ours = mountinfo::FILESYSTEM_TYPE;
        let table = vec![
            mount("/b", "0:50", ours),
            mount("/a", "0:50", ours),
            mount("/below", "0:51", ours),
            mount("/below", "0:52", "tmpfs"),
            mount("/above", "0:53", "tmpfs"),
            mount("/above", "0:54", ours),
            mount("/", "254:1", "ext4"),
        ];
        let points =
            |table, only| -> Vec<PathBuf> { reachable(table, only).into_iter().map(|mount| mount.point).collect() };
        assert_eq!(points(table.clone(), None), [Path::new("/a"), Path::new("/above")]);
        assert_eq!(points(table, Some(&["/b".into(), "/".into()])), [Path::new("/b")]);
    }

    #[test]
    fn who_does_not_answer_is_left_behind_and_not_asked_again() {
        let (tell, told) = mpsc::channel();
        let hanging = mount("/nowhere/hangs", "0:60", mountinfo::FILESYSTEM_TYPE);
        let mut mounts = Mounts { asked: [(hanging.point.clone(), (hanging, told))].into(), ..Mounts::of(UPLOADS) };
        assert!(mounts.ask(Some(&[])).unwrap().iter().all(|answer| answer.mount.point != Path::new("/nowhere/hangs")));
        assert!(mounts.silent().any(|point| point == Path::new("/nowhere/hangs")));
        tell.send(Ok(String::new())).unwrap();
        assert!(mounts.ask(Some(&[])).unwrap().iter().any(|answer| answer.mount.point == Path::new("/nowhere/hangs")));
        assert!(mounts.silent().all(|point| point != Path::new("/nowhere/hangs")));
    }
}
