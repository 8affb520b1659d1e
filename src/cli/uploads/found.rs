//! The uploads of this user, each once, with who is at it: what the mounts say, and what is on the disk.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::mounts::{Mounts, UPLOADS};
use crate::cli::output::{Code, Failure};
use crate::cli::writes;
use crate::image::ImageId;
use crate::write::{Line, Report, Uploads, WriteError};

/// Who is at an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// The mount there.
    Mount(PathBuf),
    /// A program that cannot be asked: its mount has ended and it finishes its uploads, or it does not answer.
    Program,
    /// Nobody. The next mount of its service goes on with it.
    Nobody,
}

/// What a mount says of its uploads.
struct Answer {
    point: PathBuf,
    lines: Vec<Line>,
}

/// An upload that is not done.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What is known of it.
    pub(super) line: Line,
    /// Who is at it.
    pub(super) keeper: Keeper,
    /// The folder of its service; `None` where only its mount knows.
    pub(super) folder: Option<PathBuf>,
    /// The folder of `--state-dir`, where it is not the usual one.
    pub(super) elsewhere: Option<PathBuf>,
}

/// The form for programs: the line of the mount, and where that is.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    line: &'a Line,
    mount: Option<&'a Path>,
}

impl Found {
    /// One JSON object.
    pub(super) fn to_json(&self) -> String {
        let mount = if let Keeper::Mount(point) = &self.keeper { Some(point.as_path()) } else { None };
        serde_json::to_string(&Document { line: &self.line, mount }).unwrap_or_default()
    }
}

/// Where uploads are looked for.
#[derive(Debug)]
pub(super) struct Search {
    /// The folders of all that mounts keep, the usual one first.
    states: Vec<PathBuf>,
    /// Only what is kept there, and not what mounts keep elsewhere.
    is_named: bool,
    mounts: Mounts,
}

impl Search {
    /// In the folder that was named.
    pub(super) fn at(state: PathBuf) -> Self {
        Self { states: vec![state], is_named: true, mounts: Mounts::of(UPLOADS) }
    }

    /// In these folders, and in all mounts.
    pub(super) fn everywhere(states: Vec<PathBuf>) -> Self {
        Self { states, is_named: false, mounts: Mounts::of(UPLOADS) }
    }

    /// The folders of all services.
    fn folders(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut folders = Vec::new();
        for state in &self.states {
            let unreadable = |error| format!("what is kept in {} cannot be read: {error}", state.display());
            folders.extend(services(state).map_err(|error| Failure::new(Code::System, unreadable(error)))?);
        }
        Ok(folders)
    }

    /// What is kept and cannot be read.
    pub(super) fn unreadable(&self) -> Result<Vec<WriteError>, Failure> {
        let folders = self.folders()?;
        let found = folders.iter().map(|folder| Uploads::unreadable(folder).map_err(Failure::with(Code::System)));
        let found: Vec<_> = found.collect::<Result<_, _>>()?;
        Ok(found.into_iter().flatten().map(WriteError::Unreadable).collect())
    }

    /// All uploads that are not done now, sorted.
    pub(super) fn look(&mut self) -> Result<Vec<Found>, Failure> {
        // First the mounts: what is done meanwhile is missing on the disk then, and not taken for one that nobody is at.
        let folders = self.folders()?;
        let only = if self.is_named { Some(points(&folders)?) } else { None };
        let answers = self.answers(only.as_deref()).map_err(Failure::with(Code::System))?;
        let mut found = Vec::new();
        for folder in folders {
            for report in Uploads::peek(&folder).map_err(Failure::with(Code::System))? {
                found.extend(kept(&folder, &report, &answers)?);
            }
            for one in found.iter_mut().filter(|one| one.folder.as_deref() == Some(&*folder)) {
                one.elsewhere = state_of(&folder).filter(|state| self.states.first() != Some(state));
            }
        }
        if !self.is_named {
            for Answer { point, lines } in answers {
                let elsewhere: Vec<_> = lines.into_iter().filter(|line| !has(&found, line.image)).collect();
                let kept = |line| Found { line, keeper: Keeper::Mount(point.clone()), folder: None, elsewhere: None };
                found.extend(elsewhere.into_iter().map(kept));
            }
        }
        found.sort_by_key(|found| found.line.image);
        Ok(found)
    }

    /// What the mounts say that let this user in.
    fn answers(&mut self, only: Option<&[PathBuf]>) -> io::Result<Vec<Answer>> {
        let told = self.mounts.ask(only)?.into_iter();
        let lines = told.filter_map(|answer| Some((answer.mount.point, answer.told.ok()?)));
        Ok(lines.map(|(point, text)| Answer { point, lines: Line::all_in(&text) }).collect())
    }

    /// The mounts that did not answer.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Path> {
        self.mounts.silent()
    }
}

/// Where the mounts are that keep their uploads in these folders.
fn points(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let points = folders.iter().map(|folder| Uploads::mounts(folder).map_err(Failure::with(Code::System)));
    Ok(points.collect::<Result<Vec<_>, _>>()?.concat())
}

fn has(found: &[Found], image: ImageId) -> bool {
    found.iter().any(|found| found.line.image == image)
}

/// An upload that is on the disk, as its mount says it is. `None` where it is done meanwhile.
fn kept(folder: &Path, report: &Report, answers: &[Answer]) -> Result<Option<Found>, Failure> {
    let said = answers.iter().find_map(|answer| {
        let line = answer.lines.iter().find(|line| line.image == report.image)?;
        Some((line.clone(), Keeper::Mount(answer.point.clone())))
    });
    let (line, keeper) = match said {
        Some(said) => said,
        None => match Uploads::is_taken(folder, report.image).map_err(Failure::with(Code::System))? {
            Some(true) => {
                (Line { needs_somebody: report.state.word() == "failed", ..Line::from(report) }, Keeper::Program)
            }
            Some(false) => (Line { needs_somebody: true, ..Line::from(report) }, Keeper::Nobody),
            None => return Ok(None),
        },
    };
    Ok(Some(Found { line, keeper, folder: Some(folder.to_owned()), elsewhere: None }))
}

/// The folder of `--state-dir` that the folder of a service is in.
fn state_of(folder: &Path) -> Option<PathBuf> {
    folder.parent().and_then(Path::parent).map(Path::to_owned)
}

/// The folders of all services, sorted. What is no folder is not ours.
fn services(state: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(writes::folder_of_all(state)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    Ok(folders)
}
