//! Uploads that cannot be read: where they are, and why.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Found, Journal, is_passing};
use crate::image::ImageId;
use crate::write::job::Job;

/// The file beside an upload that was moved aside, with a sentence.
const REASON: &str = "reason";

/// An upload that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Its folder.
    pub path: PathBuf,
    /// Why.
    pub sentence: String,
}

impl Journal {
    pub(super) fn set_aside(&self, folder: &Path, sentence: &str) -> io::Result<Found> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.aside.join(format!("{name}-{:08x}", fastrand::u32(..)));
        fs::rename(folder, &path)?;
        // Where it cannot be kept, the folder speaks for itself.
        let _ = fs::write(path.join(REASON), sentence);
        Ok(Found::Unreadable(Aside { path, sentence: sentence.to_owned() }))
    }

    /// All that cannot be read: what was moved aside, and what the next mount will move there.
    pub(in crate::write) fn unreadable(folder: &Path) -> io::Result<Vec<Aside>> {
        let mut found = Vec::new();
        for path in listed(&folder.join("aside"))? {
            let sentence = fs::read_to_string(path.join(REASON));
            let sentence = sentence.unwrap_or_else(|_| "an earlier mount could not read it".to_owned());
            found.push(Aside { path, sentence });
        }
        for path in listed(&folder.join("jobs"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let refused = match name.parse::<ImageId>() {
                Ok(image) => {
                    Job::read(&path, image).err().filter(|error| !is_passing(error)).map(|error| error.to_string())
                }
                Err(error) => Some(error.to_string()),
            };
            // It may be done at this moment; an empty folder is none.
            let is_there = || fs::read_dir(&path).is_ok_and(|mut files| files.next().is_some());
            found.extend(refused.filter(|_| is_there()).map(|sentence| Aside { path, sentence }));
        }
        Ok(found)
    }
}

fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
    };
    paths.sort();
    Ok(paths)
}
