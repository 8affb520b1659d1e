//! Scratch files: what editors and rsync write beside the files of an image, and rename onto them.
//!
//! Any name in an image's folder that is none of its own is a scratch file's, and so is one that begins with a dot in
//! `files/`. In `members/`, `tags/` and `properties/`, where any name can be one of the image's, those are that editors and
//! `sed` give to their temporaries and backups ([`is_programs_own`]). They are local, and an image never has them; renaming one onto a file
//! of an image, or to another name in those folders, is as if it had been written there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::attr::{self, Attr, Entry, FileKind};
use super::error::FsError;
use super::inode::Ino;
use super::node::{Collection, Node, Part};
use super::writing::Process;
use super::{FileSystem, Result};
use crate::image::ImageId;
use crate::name::is_programs_own;
use crate::service::Api;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::write::{Scratch, WriteError};

/// A folder that takes scratch files. An image's two folders have the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The folder of an image.
    Image(ImageId),
    /// `files/`.
    Files,
    /// `members/`, `tags/` or `properties/` of an image.
    Collection(ImageId, Collection),
}

impl Place {
    /// Where a file called `name` in `folder` is a scratch file.
    pub(super) fn of(folder: &Node, name: &str, api: Api) -> Option<Self> {
        match folder {
            Node::Image(id, _) => Part::named(name, api).is_none().then_some(Self::Image(*id)),
            Node::Files => name.starts_with('.').then_some(Self::Files),
            Node::Collection(id, _, collection) => is_programs_own(name).then_some(Self::Collection(*id, *collection)),
            _ => None,
        }
    }

    /// The image whose folder it is, or is in.
    fn image(self) -> Option<ImageId> {
        match self {
            Self::Image(id) | Self::Collection(id, _) => Some(id),
            Self::Files => None,
        }
    }
}

/// A scratch file, or a link of such a name. It is the same one whatever its name, and stays for as long as somebody knows
/// it.
#[derive(Clone)]
pub(super) struct ScratchFile(Arc<Inner>);

struct Inner {
    number: u64,
    /// Where it was made.
    path: String,
    what: What,
    /// The process that last opened it for writing.
    writer: Mutex<Process>,
}

/// What it is.
pub(super) enum What {
    /// A file with bytes.
    Bytes(Arc<Scratch>),
    /// A symbolic link, which leads where somebody said.
    Link(PathBuf, SystemTime),
}

impl ScratchFile {
    /// Where it was made, relative to the mount.
    pub(super) fn path(&self) -> &str {
        &self.0.path
    }

    /// Its bytes; none where it is a link.
    pub(super) fn bytes(&self) -> Option<&Arc<Scratch>> {
        match &self.0.what {
            What::Bytes(bytes) => Some(bytes),
            What::Link(..) => None,
        }
    }

    /// A process opened it for writing.
    pub(super) fn is_written_by(&self, process: Process) {
        *lock(&self.0.writer) = process;
    }

    /// The process that last opened it for writing.
    pub(super) fn writer(&self) -> Process {
        *lock(&self.0.writer)
    }

    pub(super) fn kind(&self) -> FileKind {
        match self.0.what {
            What::Bytes(_) => FileKind::File,
            What::Link(..) => FileKind::Link,
        }
    }
}

impl PartialEq for ScratchFile {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for ScratchFile {}

impl Hash for ScratchFile {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.number.hash(hasher);
    }
}

impl fmt::Debug for ScratchFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ScratchFile({}, {})", self.0.number, self.0.path)
    }
}

/// The names of all scratch files.
#[derive(Default)]
pub(super) struct Scratches {
    next: AtomicU64,
    names: Mutex<BTreeMap<(Place, Box<str>), ScratchFile>>,
}

impl Scratches {
    pub(super) fn get(&self, place: Place, name: &str) -> Option<ScratchFile> {
        self.names().get(&(place, name.into())).cloned()
    }

    /// All of a folder, by name.
    pub(super) fn of(&self, place: Place) -> Vec<(Box<str>, ScratchFile)> {
        let names = self.names();
        let here = names.iter().filter(|((at, _), _)| *at == place);
        here.map(|((_, name), file)| (name.clone(), file.clone())).collect()
    }

    /// Gives a new file its name, unless somebody has it.
    pub(super) fn make(&self, place: Place, name: &str, path: String, what: What) -> Option<ScratchFile> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let writer = Mutex::new(Process::UNKNOWN);
        let file = ScratchFile(Arc::new(Inner { number, path, what, writer }));
        let mut names = self.names();
        if names.contains_key(&(place, name.into())) {
            return None;
        }
        names.insert((place, name.into()), file.clone());
        Some(file)
    }

    /// Takes the name from the file, if it still has it.
    pub(super) fn remove(&self, place: Place, name: &str, file: &ScratchFile) {
        let mut names = self.names();
        if names.get(&(place, name.into())) == Some(file) {
            names.remove(&(place, name.into()));
        }
    }

    /// Gives the file another name, in place of what has that.
    pub(super) fn rename(&self, from: (Place, &str), to: (Place, &str)) {
        let mut names = self.names();
        if let Some(file) = names.remove(&(from.0, from.1.into())) {
            names.insert((to.0, to.1.into()), file);
        }
    }

    /// The image is gone, and its folder with it.
    pub(super) fn forget(&self, image: ImageId) {
        self.names().retain(|(place, _), _| place.image() != Some(image));
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<(Place, Box<str>), ScratchFile>> {
        lock(&self.names)
    }
}

impl FileSystem {
    /// Makes an empty scratch file.
    pub(super) async fn make_scratch(&self, folder: &Node, place: Place, name: &str) -> Result<Node> {
        let uploads = self.uploads.as_ref().ok_or(FsError::NoSpool)?;
        self.make_named(folder, place, name, What::Bytes(uploads.scratch().await?))
    }

    /// Makes an empty scratch file in place of one that has its name.
    pub(super) async fn replace_scratch(&self, folder: &Node, place: Place, name: &str) -> Result<Node> {
        if let Some(before) = self.scratches.get(place, name) {
            self.scratches.remove(place, name, &before);
        }
        self.make_scratch(folder, place, name).await
    }

    fn make_named(&self, folder: &Node, place: Place, name: &str, what: What) -> Result<Node> {
        let made = self.scratches.make(place, name, format!("{}/{name}", folder.path()), what);
        self.lists_otherwise(place);
        made.map(Node::Scratch).ok_or_else(|| FsError::Exists(name.to_owned()))
    }

    /// Makes a symbolic link, where scratch files are made: Emacs locks a file by one.
    pub async fn symlink(&self, parent: Ino, name: &OsStr, target: &Path) -> Result<Entry> {
        let folder = self.node(parent)?;
        let outcome = self.link(&folder, name, target);
        self.noted_in(parent, &folder, name, outcome)?;
        self.lookup(parent, name).await
    }

    fn link(&self, folder: &Node, name: &OsStr, target: &Path) -> Result<Node> {
        self.writable()?;
        let text = super::tree::makeable(folder, name)?;
        let place = self.place_of(folder, text).ok_or(FsError::NotPermitted("images and their files have no links"))?;
        self.make_named(folder, place, text, What::Link(target.to_owned(), SystemTime::now()))
    }

    /// Where a symbolic link leads.
    pub fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        match self.node(ino)? {
            Node::Scratch(ScratchFile(inner)) => match &inner.what {
                What::Link(target, _) => Ok(target.clone()),
                What::Bytes(_) => Err(FsError::NotALink),
            },
            Node::Link(_, image) => Ok(super::results::target(image)),
            _ => Err(FsError::NotALink),
        }
    }

    /// Notes why something could not be done with the bytes of a scratch file.
    pub(super) fn scratched<T>(&self, file: &ScratchFile, outcome: std::result::Result<T, WriteError>) -> Result<T> {
        let node = Node::Scratch(file.clone());
        self.noted(self.inodes.number(&node), &node, outcome.map_err(FsError::from))
    }

    /// The attributes of a scratch file. They hold for no time: once it is renamed onto `data`, the kernel goes on taking
    /// that name for this file until it asks.
    pub(super) fn scratch_entry(&self, ino: Ino, file: &ScratchFile) -> Result<Entry> {
        let (size, modified) = match &file.0.what {
            What::Bytes(bytes) => (bytes.len()?, bytes.time()?),
            What::Link(target, made) => (u64::try_from(target.as_os_str().len()).unwrap_or(u64::MAX), *made),
        };
        let attr: Attr = attr::of_scratch(ino, file.kind(), size, modified, self.rights());
        Ok(Entry { attr, ttl: Duration::ZERO })
    }
}
