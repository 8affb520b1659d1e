//! How to mount, validated. Every default says why it has its value.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folders::{self, Purpose};
use super::quantity;

/// How old what the kernel and we know about images may be. Longer hides what others do, shorter asks the service more;
/// 5 s is what people wait for anyway when they look a second time.
pub const TTL: Duration = Duration::from_secs(5);

/// Memory for image data in flight and cached. Ten readers of different images fit with a window of 16 MiB each, and
/// a small virtual machine still has room for its work.
pub const MEMORY: u64 = 256 << 20;

/// The least memory that is accepted: two readers with one block and its successor each.
pub const LEAST_MEMORY: u64 = 32 << 20;

/// Requests for image data under way at once, over all readers. So many keep a path of 20 ms and 100 MB/s a connection
/// full up to 1.6 GB/s; on a short path fewer are used, because they are added only while they bring more.
pub const MAX_PARALLEL: usize = 16;

/// The most requests at once that are accepted: with more, one mount takes a service's workers from everyone else.
pub const MOST_PARALLEL: usize = 64;

/// Bytes on disk for image data when only a folder for it is named: some ten images of servers as vendors publish them.
/// It is a bound and not taken ahead, and a disk that runs full bounds it earlier.
pub const CACHE_SIZE: u64 = 16 << 30;

/// The least size of a disk cache that is accepted: with less, four readers drive out each other's windows of 16 MiB.
pub const LEAST_CACHE_SIZE: u64 = 64 << 20;

/// The least that the kernel asks for at once: a page.
pub const LEAST_READ: u32 = 4096;

/// How long the end of a mount waits for uploads. What is left then is kept, and the next mount goes on; systemd kills after
/// 90 s.
pub const DRAIN: Duration = Duration::from_mins(1);

/// A disk cache: where it is, and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCache {
    /// The folder, as an absolute path. The program goes to another working folder after it was started.
    pub folder: PathBuf,
    /// Bytes that it may hold.
    pub size: u64,
}

/// Who may use the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The user who mounts. The kernel's own rule, because a mount can make others wait.
    #[default]
    Owner,
    /// That user and root.
    Root,
    /// Everybody, as far as the mode bits allow.
    Everyone,
}

/// How much the kernel may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one request. By default as many as it grants.
    pub max_read: Option<u32>,
    /// Requests of read-ahead that may wait at once. By default what lets parallel readers over a network have its rate.
    pub max_background: Option<u16>,
}

/// Whose the files appear to be, and with which modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The user. By default the one who mounts.
    pub uid: u32,
    /// The group. By default the one of the user who mounts.
    pub gid: u32,
    /// Mode bits that are taken away from files. None by default: the modes tell what is possible.
    pub file_mask: u16,
    /// Mode bits that are taken away from folders. None by default.
    pub folder_mask: u16,
}

impl Ownership {
    /// The mode to show, out of the mode that the filesystem gives.
    pub fn mode(&self, folder: bool, mode: u16) -> u16 {
        mode & !if folder { self.folder_mask } else { self.file_mask }
    }
}

/// What is wrong with the settings of a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Too little memory to read with.
    #[error("--memory {} is too little: reading needs {} at least", quantity::show_size(*.0), quantity::show_size(LEAST_MEMORY))]
    Memory(u64),
    /// A number of requests that is none, or too high.
    #[error("'{0}' is not a number of requests from 1 to {MOST_PARALLEL}")]
    Parallel(String),
    /// Too little disk space to cache anything.
    #[error("--cache-size {} is too little: {} is the least", quantity::show_size(*.0), quantity::show_size(LEAST_CACHE_SIZE))]
    CacheSize(u64),
    /// A size of the disk cache, and no place for it.
    #[error("--cache-size needs --cache-dir, because neither XDG_CACHE_HOME nor HOME tells where caches are")]
    NoCacheFolder,
    /// A folder whose absolute path cannot be told.
    #[error("--cache-dir '{folder}' cannot be used: {cause}", folder = .0.display(), cause = .1)]
    CacheFolder(PathBuf, io::ErrorKind),
    /// A folder whose absolute path cannot be told.
    #[error("--state-dir '{folder}' cannot be used: {cause}", folder = .0.display(), cause = .1)]
    StateFolder(PathBuf, io::ErrorKind),
    /// No number of a user, and nobody's name.
    #[error("'{0}' is neither the name nor the number of a user")]
    User(String),
    /// No number of a group, and no group's name.
    #[error("'{0}' is neither the name nor the number of a group")]
    Group(String),
    /// A mount has to be called something.
    #[error("'' is no name: what the mount is called in findmnt and df cannot be empty")]
    EmptyName,
    /// Less than the kernel asks for at once.
    #[error("'{0}' is not a number of bytes from {LEAST_READ}")]
    MaxRead(String),
    /// Not an octal mode mask.
    #[error("'{0}' is not a mask of mode bits in octal digits (such as 022 or 0077)")]
    Mask(String),
}

/// Parses `--memory`: bytes, at least [`LEAST_MEMORY`].
pub fn memory(text: &str) -> anyhow::Result<u64> {
    match quantity::size(text)? {
        enough @ LEAST_MEMORY.. => Ok(enough),
        little => Err(SettingError::Memory(little).into()),
    }
}

/// Parses `--max-parallel`: requests at once, from 1 to [`MOST_PARALLEL`].
pub fn parallel(text: &str) -> Result<usize, SettingError> {
    let number = text.parse().ok().filter(|number| (1..=MOST_PARALLEL).contains(number));
    number.ok_or_else(|| SettingError::Parallel(text.to_owned()))
}

/// Parses `--cache-size`: bytes, at least [`LEAST_CACHE_SIZE`].
pub fn cache_size(text: &str) -> anyhow::Result<u64> {
    match quantity::size(text)? {
        enough @ LEAST_CACHE_SIZE.. => Ok(enough),
        little => Err(SettingError::CacheSize(little).into()),
    }
}

/// The disk cache that `--cache-dir` and `--cache-size` ask for; none without either. The one that is not given has its
/// default: [`CACHE_SIZE`], and the usual folder for caches.
pub fn disk_cache(
    folder: Option<&Path>,
    size: Option<u64>,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    root: bool,
) -> Result<Option<DiskCache>, SettingError> {
    let folder = match (folder, size) {
        (None, None) => return Ok(None),
        (Some(folder), _) => folder.to_owned(),
        (None, Some(_)) => folders::usual(Purpose::Cache, variable, root).ok_or(SettingError::NoCacheFolder)?,
    };
    let absolute = std::path::absolute(&folder);
    let folder = absolute.map_err(|error| SettingError::CacheFolder(folder, error.kind()))?;
    Ok(Some(DiskCache { folder, size: size.unwrap_or(CACHE_SIZE) }))
}

/// Where uploads are kept that are not done: `--state-dir`, or the usual folder for state; `None` where nothing tells. It is
/// never the cache's folder: who empties that must lose nothing.
pub fn state_folder(
    folder: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    root: bool,
) -> Result<Option<PathBuf>, SettingError> {
    let usual = || folders::usual(Purpose::State, variable, root);
    let Some(folder) = folder.map(Path::to_owned).or_else(usual) else { return Ok(None) };
    let absolute = std::path::absolute(&folder);
    absolute.map(Some).map_err(|error| SettingError::StateFolder(folder, error.kind()))
}

/// Parses `--fsname`: a name that is not empty.
pub fn name(text: &str) -> Result<String, SettingError> {
    if text.is_empty() { Err(SettingError::EmptyName) } else { Ok(text.to_owned()) }
}

/// Parses `--max-read`: bytes, at least [`LEAST_READ`].
pub fn max_read(text: &str) -> Result<u32, SettingError> {
    let bytes = quantity::size(text).ok().and_then(|bytes| u32::try_from(bytes).ok());
    bytes.filter(|bytes| *bytes >= LEAST_READ).ok_or_else(|| SettingError::MaxRead(text.to_owned()))
}

/// Parses a mask of mode bits in octal digits.
pub fn mask(text: &str) -> Result<u16, SettingError> {
    let parsed = u16::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    parsed.ok_or_else(|| SettingError::Mask(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused_with_the_least_that_works() {
        assert_eq!(memory("256MiB").unwrap(), MEMORY);
        let sentence = memory("1MiB").unwrap_err().to_string();
        assert_eq!(sentence, "--memory 1MiB is too little: reading needs 32MiB at least");
    }

    #[test]
    fn requests_at_once_are_from_1_to_64() {
        assert_eq!((parallel("1"), parallel("16"), parallel("64")), (Ok(1), Ok(MAX_PARALLEL), Ok(64)));
        for wrong in ["0", "65", "-1", "many", "", "1.5"] {
            assert_eq!(parallel(wrong), Err(SettingError::Parallel(wrong.to_owned())));
        }
        assert_eq!(parallel("65").unwrap_err().to_string(), "'65' is not a number of requests from 1 to 64");
    }

    #[test]
    fn too_small_a_disk_cache_is_refused_with_the_least_that_works() {
        assert_eq!(cache_size("16GiB").unwrap(), CACHE_SIZE);
        assert_eq!(cache_size("1MiB").unwrap_err().to_string(), "--cache-size 1MiB is too little: 64MiB is the least");
        assert!(cache_size("plenty").is_err());
    }

    /// The disk cache of these options, where `variables` are set.
    fn disk(
        folder: &str,
        size: Option<u64>,
        variables: &[(&str, &str)],
        root: bool,
    ) -> Result<Option<DiskCache>, SettingError> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        disk_cache(Some(folder).filter(|folder| !folder.is_empty()).map(Path::new), size, &variable, root)
    }

    #[test]
    fn the_disk_cache_is_off_unless_asked_for() {
        assert_eq!(disk("", None, &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/c")], true), Ok(None));
    }

    #[test]
    fn either_option_of_the_disk_cache_turns_it_on_and_the_other_has_a_default() {
        let on = |folder: &str, size| Ok(Some(DiskCache { folder: folder.into(), size }));
        let home = ("HOME", "/home/me");
        assert_eq!(disk("/c", None, &[home], false), on("/c", CACHE_SIZE));
        assert_eq!(disk("/c", Some(1 << 30), &[home], false), on("/c", 1 << 30));
        let size = Some(1 << 30);
        for (variables, folder) in [
            (vec![("CACHE_DIRECTORY", "/var/cache/unit"), ("XDG_CACHE_HOME", "/x"), home], "/var/cache/unit"),
            (vec![("XDG_CACHE_HOME", "/x"), home], "/x/glancefs"),
            (vec![("XDG_CACHE_HOME", "relative"), home], "/home/me/.cache/glancefs"),
            (vec![], "/var/cache/glancefs"),
        ] {
            assert_eq!(disk("", size, &variables, true), on(folder, 1 << 30));
        }
        assert_eq!(disk("", size, &[], false), Err(SettingError::NoCacheFolder));
    }

    #[test]
    fn a_relative_cache_folder_is_taken_from_where_the_command_was_given() {
        let here = std::env::current_dir().unwrap();
        for (given, meant) in [("images", here.join("images")), ("./a/b", here.join("a/b"))] {
            assert_eq!(disk(given, None, &[], false).unwrap().unwrap().folder, meant);
        }
    }

    #[test]
    fn the_kernel_is_not_asked_for_less_than_a_page() {
        assert_eq!((max_read("4096"), max_read("128KiB")), (Ok(LEAST_READ), Ok(128 << 10)));
        for wrong in ["0", "4095", "8GiB", "-1", "many"] {
            assert_eq!(max_read(wrong), Err(SettingError::MaxRead(wrong.to_owned())));
        }
    }

    #[test]
    fn a_mask_is_octal_and_takes_bits_away() {
        assert_eq!(mask("0077"), Ok(0o77));
        assert!(mask("8").is_err() && mask("7777").is_err() && mask("").is_err());
        let ownership = Ownership { uid: 0, gid: 0, file_mask: 0o77, folder_mask: 0o27 };
        assert_eq!((ownership.mode(false, 0o444), ownership.mode(true, 0o555)), (0o400, 0o550));
    }
}
