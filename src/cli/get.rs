//! `glancefs get`: an image's bytes, or another file of the tree, without a mount.

mod target;
mod whole;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use self::target::{Target, refused};
use self::whole::Whole;
use super::direct::{self, Access, Direct, Open};
use super::output::{self, Code, Failure};
use super::progress::Progress;
use crate::fs::FsError;

/// Download an image, compared with its hash, or another file of the tree, without a mount
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The image, by its name or id, or a path as in a mount (by-name/debian/metadata.json)
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to write it; it is there when it is whole, in place of what was there, whose other names (hard links) keep
    /// that. - is standard output [default: -]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: direct::Options,
}

/// Gets what is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (path, target) = (direct::path(&arguments.image), Target::of(arguments.file.as_deref())?);
    direct::run(&arguments.options, Access::Reading, async |direct, signals| {
        direct::unless_interrupted(signals, get(direct, &path, target)).await?
    })
}

async fn get(direct: &Direct, path: &Path, to: Target) -> Result<(), Failure> {
    let entry = direct.file(path).await?;
    let failed = |error: FsError| direct::failure(path, &error);
    let mut open = direct.open(entry.attr.ino).await.map_err(failed)?;
    // Opening may have told more of it.
    let size = direct.files.getattr(entry.attr.ino).await.map_err(failed)?.attr.size;
    let mut sink = Sink::open(to, direct.status_of_data(path, &entry).await?.is_some())?;
    let progress = Progress::new(&path.to_string_lossy(), size);
    copy(&mut open, &mut sink, &progress, size).await.map_err(|error| match error {
        Broken::Reading(error) => failed(error),
        Broken::Writing(error) => sink.failed(&error),
        Broken::Short(got) => Failure::new(Code::System, format!("{}: {got} of {size} bytes came", path.display())),
    })?;
    sink.finish()
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
    Direct(PathBuf, File),
    Whole(Whole),
}

impl Sink {
    fn open(target: Target, is_data: bool) -> Result<Self, Failure> {
        match target {
            // No terminal can show them.
            Target::Standard if is_data && io::stdout().is_terminal() => {
                Err(Failure::new(Code::Usage, "these bytes are not for a terminal: name a file"))
            }
            Target::Standard => Ok(Self::Standard),
            Target::Direct(path) => {
                // A file that a program has open goes on where that is; a device has no end to go on at.
                let appends = path.metadata().is_ok_and(|found| found.is_file());
                let file = OpenOptions::new().write(true).append(appends).open(&path);
                let file = file.map_err(|error| refused(&path, &error))?;
                Ok(Self::Direct(path, file))
            }
            Target::File(path, before) => {
                Whole::open(path.clone(), before).map(Self::Whole).map_err(|error| refused(&path, &error))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => io::stdout().write_all(bytes),
            Self::Direct(_, file) => file.write_all(bytes),
            Self::Whole(whole) => whole.write(bytes),
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let place = match self {
            Self::Standard => return output::unwritten(error),
            Self::Direct(path, _) => path,
            Self::Whole(whole) => &whole.to,
        };
        Failure::new(Code::System, format!("{}: {error}", place.display()))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let ended = match &mut self {
            Self::Standard => io::stdout().flush(),
            Self::Direct(_, file) => whole::sync(file),
            Self::Whole(whole) => whole.finish(),
        };
        ended.map_err(|error| self.failed(&error))
    }
}
