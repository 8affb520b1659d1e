//! What is put: read by a thread of its own, so that who waits for a terminal or a pipe can be interrupted.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver};

use crate::cli::output::{Code, Failure};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// Where the bytes come from.
pub(in crate::cli) struct Source {
    shown: String,
    from: From,
}

enum From {
    Input,
    File(File),
}

/// Bytes on their way from there.
pub(in crate::cli) struct Pieces {
    shown: String,
    read: Receiver<io::Result<Bytes>>,
    /// The first of them, where they were waited for.
    first: Option<Bytes>,
    /// A regular file, as it was in the beginning.
    file: Option<(File, Stamp)>,
}

/// What of a regular file changes when somebody writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Source {
    pub(in crate::cli) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { shown: "standard input".to_owned(), from: From::Input });
        }
        let shown = path.display().to_string();
        let refused = |error: io::Error| Failure::new(Code::Usage, format!("{shown}: {error}"));
        let file = File::open(path).map_err(refused)?;
        if file.metadata().map_err(refused)?.is_dir() {
            return Err(refused(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { from: From::File(file), shown })
    }

    /// Begins to read.
    pub(in crate::cli) fn start(self) -> Result<Pieces, Failure> {
        let Self { shown, from } = self;
        let watched = match &from {
            From::Input => None,
            From::File(file) => watched(file).map_err(|error| unreadable(&shown, &error))?,
        };
        let (pieces, read) = mpsc::channel(AHEAD);
        // Where nobody takes them any more it ends with the next one, or with the program.
        let reading = move || match from {
            From::Input => read_all(&mut io::stdin().lock(), &pieces),
            From::File(mut file) => read_all(&mut file, &pieces),
        };
        let started = thread::Builder::new().name("input".to_owned()).spawn(reading);
        started.map_err(|error| unreadable(&shown, &error))?;
        Ok(Pieces { shown, read, first: None, file: watched })
    }
}

/// A regular file, to be looked at again.
fn watched(file: &File) -> io::Result<Option<(File, Stamp)>> {
    let found = file.metadata()?;
    if found.is_file() { Ok(Some((file.try_clone()?, Stamp::of(&found)))) } else { Ok(None) }
}

fn read_all(from: &mut impl Read, to: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let read = match from.read(&mut piece) {
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) => {
                piece.truncate(count);
                Ok(Bytes::from(piece))
            }
            Err(error) => Err(error),
        };
        let is_over = read.is_err();
        if to.blocking_send(read).is_err() || is_over {
            return;
        }
    }
}

fn unreadable(shown: &str, error: &io::Error) -> Failure {
    Failure::new(Code::System, format!("{shown} cannot be read: {error}"))
}

impl Pieces {
    /// How many bytes there are, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.file.as_ref().map(|(_, stamp)| stamp.size)
    }

    /// Waits until there are bytes, or none are to come.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.first = self.receive().await?;
        Ok(())
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.first.take() {
            Some(piece) => Ok(Some(piece)),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Failure> {
        self.read.recv().await.transpose().map_err(|error| unreadable(&self.shown, &error))
    }

    /// Fails where somebody wrote to the file while it was read: what was read is then nobody's.
    pub(super) fn is_unchanged(&self, read: u64) -> Result<(), Failure> {
        let Some((file, before)) = &self.file else { return Ok(()) };
        let now = file.metadata().map_err(|error| unreadable(&self.shown, &error))?;
        if Stamp::of(&now) == *before && before.size == read {
            return Ok(());
        }
        Err(Failure::new(
            Code::System,
            format!("{} changed while it was read: put it when nobody writes it", self.shown),
        ))
    }
}

/// The name of the image that a file becomes: its own without the ending.
pub(super) fn name_of(file: &Path) -> Result<String, Failure> {
    let refused = |sentence: String| Failure::new(Code::Usage, sentence);
    if file == Path::new("-") {
        return Err(refused("what comes from standard input has no name: give one".to_owned()));
    }
    let stem = file.file_stem().map(|stem| stem.to_str().map(str::to_owned));
    match stem {
        Some(Some(name)) => Ok(name),
        Some(None) => Err(refused(format!("{}: the file's name is not UTF-8: give a name", file.display()))),
        None => Err(refused(format!("{}: this has no name: give one", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    async fn read(change: impl FnOnce(&File)) -> Result<(), Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, "bytes").unwrap();
        let mut pieces = Source::open(&path).unwrap().start().unwrap();
        pieces.begin().await.unwrap();
        change(&File::options().write(true).open(&path).unwrap());
        let mut read = 0;
        while let Some(piece) = pieces.next().await.unwrap() {
            read += u64::try_from(piece.len()).unwrap();
        }
        pieces.is_unchanged(read)
    }

    #[tokio::test]
    async fn a_file_is_the_same_at_the_end_as_in_the_beginning_or_it_is_not_taken() {
        read(|_| {}).await.unwrap();
        let time = |file: &File| file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        for change in [time as fn(&File), |file| file.set_len(1).unwrap(), |file| file.write_all_at(b"x", 9).unwrap()] {
            assert_eq!(read(change).await.unwrap_err().code, 2);
        }
    }

    #[test]
    fn an_image_is_called_as_its_file_without_the_ending() {
        let named =
            |file: &[u8]| name_of(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(file)));
        assert_eq!(named(b"in/disk.tar.gz").unwrap(), "disk.tar");
        for file in [&b"-"[..], b"..", b"bad\xff.raw"] {
            assert!(named(file).unwrap_err().sentence.contains("give"), "{file:?}");
        }
    }
}
