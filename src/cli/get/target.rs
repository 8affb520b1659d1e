//! Where a `get` is to write, found before anything is downloaded.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::cli::output::{Code, Failure};

/// Links that are followed, as many as Linux follows (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// Where the bytes are to go.
#[derive(Debug)]
pub(super) enum Target {
    Standard,
    /// A device, a pipe: what is there is written to.
    Direct(PathBuf),
    /// A file, and what there is of it now.
    File(PathBuf, Option<Box<Metadata>>),
}

impl Target {
    /// What somebody means with this path.
    pub(super) fn of(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else { return Ok(Self::Standard) };
        let failed = |error: io::Error| refused(path, &error);
        let Some(file) = behind_links(path).map_err(failed)? else { return Ok(Self::Direct(path.to_owned())) };
        match file.metadata() {
            Ok(found) if found.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
            // The system says the same of a file in whose place a folder is named.
            Ok(_) if names_a_folder(path) => Err(failed(io::ErrorKind::NotADirectory.into())),
            Ok(found) if found.is_file() => {
                // Who may not write to it may not replace it either, although the folder would let him.
                OpenOptions::new().write(true).open(&file).map_err(failed)?;
                Ok(Self::File(file, Some(Box::new(found))))
            }
            Ok(_) => Ok(Self::Direct(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            Err(_) if names_a_folder(path) || file.file_name().is_none() => {
                Err(Failure::new(Code::Usage, format!("{}: this names a folder, and there is none", path.display())))
            }
            Err(_) if !folder_of(&file).is_dir() => {
                let folder = folder_of(&file).display().to_string();
                Err(Failure::new(Code::Usage, format!("{}: there is no folder {folder}", path.display())))
            }
            Err(_) => Ok(Self::File(file, None)),
        }
    }
}

/// The sentence for a file that cannot be written to.
pub(super) fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Usage, format!("{}: {error}", path.display()))
}

/// The folder that a file is in.
pub(super) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn names_a_folder(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

/// The file that `path` leads to, or is to be made there: links stay as they are. `None` where it is one that a program has
/// open already (`/dev/stdout`, `/dev/fd/5`): what such a link says is no path.
fn behind_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = file.read_link() else { return Ok(Some(file)) };
        // `/proc/self` is a link like any other.
        if folder_of(&file).canonicalize().is_ok_and(|folder| folder.starts_with("/proc") && folder.ends_with("fd")) {
            return Ok(None);
        }
        file = folder_of(&file).join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_leads_to_its_file_whether_that_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/file"), "").unwrap();
        for (link, to) in [("a", "in/file"), ("b", "a"), ("in/c", "../new"), ("round", "round")] {
            symlink(to, at(link)).unwrap();
        }
        let of = |name: &str| Target::of(Some(&at(name)));
        assert!(matches!(of("b").unwrap(), Target::File(path, Some(_)) if path == at("in/file")));
        for open in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            let target = Target::of(Some(Path::new(open))).unwrap();
            assert!(matches!(target, Target::Direct(path) if path == Path::new(open)), "{open}");
        }
        assert!(matches!(of("in/c").unwrap(), Target::File(path, None) if path == at("in/../new")));
        assert_eq!(of("round").unwrap_err().code, 1);
    }

    #[test]
    fn what_can_be_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for (name, why) in [
            ("in", "Is a directory"),
            ("in/", "Is a directory"),
            ("in/.", "Is a directory"),
            ("new/", "there is none"),
            ("new/.", "there is none"),
            ("new/x", "there is no folder"),
            ("file/x", "Not a directory"),
            ("file/", "Not a directory"),
        ] {
            let failure = Target::of(Some(&at(name))).unwrap_err();
            assert!(failure.code == 1 && failure.sentence.to_lowercase().contains(&why.to_lowercase()), "{failure}");
        }
    }
}
