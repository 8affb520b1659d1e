//! The mounts that live: what they say of their uploads, and what they can be told.
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
use crate::write::Line;

/// How long a mount may take to tell what it knows: it asks nobody for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same for doing something, which may have to break off what is on its way.
const DOING: Duration = Duration::from_secs(30);

/// Where a mount tells of its uploads.
const FILE: &str = ".glancefs/uploads";

/// What a mount answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where it is.
    pub(super) point: PathBuf,
    /// Its uploads.
    pub(super) lines: Vec<Line>,
}

/// The mounts of this program.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Those who have not answered yet.
    asked: HashMap<PathBuf, Receiver<io::Result<String>>>,
}

impl Mounts {
    /// What the mounts say that let this user in: all of them, or those at certain places. A mount that does not answer
    /// in time is asked no further question before it has.
    pub(super) fn ask(&mut self, only: Option<&[PathBuf]>) -> io::Result<Vec<Answer>> {
        for point in points(mountinfo::all()?, only) {
            self.asked.entry(point).or_insert_with_key(|point| begin(point));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::new();
        self.asked.retain(|point, asked| {
            match asked.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(text)) => answers.push(Answer { point: point.clone(), lines: Line::all_in(&text) }),
                Err(RecvTimeoutError::Timeout) => return true,
                // Another user's, one whose program has died, or one of an earlier version.
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {}
            }
            false
        });
        answers.sort_by(|one, other| one.point.cmp(&other.point));
        Ok(answers)
    }

    /// Those that have not answered the last question.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Path> {
        self.asked.keys().map(PathBuf::as_path)
    }
}

/// Where our mounts can be reached, each once: what lies under another mount cannot.
fn points(mounts: Vec<Mount>, only: Option<&[PathBuf]>) -> Vec<PathBuf> {
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
    ours.into_iter().map(|mount| mount.point).collect()
}

fn begin(point: &Path) -> Receiver<io::Result<String>> {
    let file = point.join(FILE);
    on_a_thread(move || std::fs::read_to_string(file))
}

fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = tell.send(work());
    });
    told
}

/// Writes a line to a mount, which carries it out before it answers.
pub(super) fn tell(point: &Path, line: String) -> Result<(), Failure> {
    let file = point.join(FILE);
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
        assert_eq!(points(table.clone(), None), [Path::new("/a"), Path::new("/above")]);
        assert_eq!(points(table, Some(&["/b".into(), "/".into()])), [Path::new("/b")]);
    }

    #[test]
    fn who_does_not_answer_is_left_behind_and_not_asked_again() {
        let (tell, told) = mpsc::channel();
        let mut mounts = Mounts { asked: HashMap::from([("/nowhere/hangs".into(), told)]) };
        assert!(mounts.ask(Some(&[])).unwrap().iter().all(|answer| answer.point != Path::new("/nowhere/hangs")));
        assert!(mounts.silent().any(|point| point == Path::new("/nowhere/hangs")));
        tell.send(Ok(String::new())).unwrap();
        assert!(mounts.ask(Some(&[])).unwrap().iter().any(|answer| answer.point == Path::new("/nowhere/hangs")));
        assert!(mounts.silent().all(|point| point != Path::new("/nowhere/hangs")));
    }
}
