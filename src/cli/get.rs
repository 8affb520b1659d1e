//! `glancefs get`: an image's bytes, or another file of the tree, without a mount.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::direct::{self, Access, Direct, Open};
use super::output::{Code, Failure};
use super::progress::Progress;
use crate::fs::{FileKind, FsError};

/// Download an image, compared with its hash, or another file of the tree, without a mount
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The image, by its name or id, or a path as in a mount (by-name/debian/metadata.json)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to write it; it is there when it is whole. - is standard output [default: -]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: direct::Options,
}

/// Gets what is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (path, file) = (direct::path(&arguments.image), arguments.file.as_deref());
    direct::run(&arguments.options, Access::Reading, async |direct, signals| {
        direct::unless_interrupted(signals, get(direct, &path, file)).await?
    })
}

async fn get(direct: &Direct, path: &Path, to: Option<&Path>) -> Result<(), Failure> {
    let entry = direct.file(path).await?;
    let failed = |error: FsError| direct::failure(path, &error);
    let mut open = direct.open(entry.attr.ino).await.map_err(failed)?;
    // Opening may have told more of it.
    let size = direct.files.getattr(entry.attr.ino).await.map_err(failed)?.attr.size;
    let mut sink = Sink::open(to.filter(|file| *file != Path::new("-")), is_data(path, entry.attr.kind))?;
    let progress = Progress::new(&path.to_string_lossy(), size);
    copy(&mut open, &mut sink, &progress, size).await.map_err(|error| match error {
        Broken::Reading(error) => failed(error),
        Broken::Writing(error) => sink.failed(&error),
        Broken::Short(got) => Failure::new(Code::System, format!("{}: {got} of {size} bytes came", path.display())),
    })?;
    sink.finish()
}

/// Whether it is an image's data, which no terminal can show.
fn is_data(path: &Path, kind: FileKind) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    kind == FileKind::File
        && !["metadata.json", "status", "checksums", "import"].contains(&name)
        && path.iter().count() < 4
}

/// Why a copy did not come to its end.
enum Broken {
    Reading(FsError),
    Writing(io::Error),
    Short(u64),
}

async fn copy(open: &mut Open<'_>, sink: &mut Sink, progress: &Progress, size: u64) -> Result<(), Broken> {
    let mut done = 0;
    while let Some(piece) = open.next().await.map_err(Broken::Reading)? {
        done += u64::try_from(piece.len()).unwrap_or_default();
        // The next piece is on its way meanwhile: reading ahead does not wait for who writes.
        tokio::task::block_in_place(|| sink.write(&piece)).map_err(Broken::Writing)?;
        progress.reached(done);
    }
    if done < size { Err(Broken::Short(done)) } else { Ok(()) }
}

/// Where the bytes go.
enum Sink {
    Standard,
    /// A device, a pipe: what is there is written to.
    Direct(PathBuf, File),
    /// A file that comes to be when it is whole.
    Whole {
        part: Part,
        file: File,
    },
}

/// A file under a name of its own until it is whole; without that it goes.
struct Part {
    path: PathBuf,
    to: PathBuf,
    is_whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // Nothing can be done where it cannot be removed, and what went wrong is told already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Sink {
    fn open(to: Option<&Path>, is_data: bool) -> Result<Self, Failure> {
        let Some(to) = to else {
            if is_data && io::stdout().is_terminal() {
                return Err(Failure::new(Code::Usage, "these bytes are not for a terminal: name a file"));
            }
            return Ok(Self::Standard);
        };
        let refused = |error: io::Error| Failure::new(Code::Usage, format!("{}: {error}", to.display()));
        match to.metadata() {
            Ok(found) if found.is_dir() => Err(refused(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(to).map_err(refused)?;
                Ok(Self::Direct(to.to_owned(), file))
            }
            _ => {
                let mut name = std::ffi::OsString::from(".");
                name.push(to.file_name().unwrap_or_default());
                name.push(format!(".{:08x}", fastrand::u32(..)));
                let path = to.with_file_name(name);
                let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(refused)?;
                Ok(Self::Whole { part: Part { path, to: to.to_owned(), is_whole: false }, file })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => io::stdout().write_all(bytes),
            Self::Direct(_, file) | Self::Whole { file, .. } => file.write_all(bytes),
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        if matches!(self, Self::Standard) && error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::new(Code::Pipe, "");
        }
        let place = match self {
            Self::Standard => "standard output".to_owned(),
            Self::Direct(path, _) => path.display().to_string(),
            Self::Whole { part, .. } => part.to.display().to_string(),
        };
        Failure::new(Code::System, format!("{place}: {error}"))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let ended = match &mut self {
            Self::Standard => io::stdout().flush(),
            // What takes no such call, a pipe, has nothing to be kept.
            Self::Direct(_, file) => file.sync_all().or(Ok(())),
            Self::Whole { part, file } => {
                file.sync_all().and_then(|()| std::fs::rename(&part.path, &part.to)).map(|()| part.is_whole = true)
            }
        };
        ended.map_err(|error| self.failed(&error))
    }
}
