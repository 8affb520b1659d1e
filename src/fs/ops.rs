//! The operations.

use jiff::Timestamp;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use super::attr::{Attr, Entry, Rights};
use super::error::{FsError, Weight};
use super::failures::Failed;
use super::handle::HandleId;
use super::import::is_importable;
use super::inode::Ino;
use super::kernel::Hold;
use super::listing::Listing;
use super::node::{CONTROL, Collection, ControlFile, Document, FILES, Node, Part, QUERIES, View};
use super::offered::server_of;
use super::scratch::Place;
use super::writing::Asker;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Status};
use crate::name::{LONGEST, encode_item};
use crate::service::Kind;
use crate::write::Upload;

/// What `df` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of a block in bytes.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Images that may exist.
    pub files: u64,
    /// Images that may still be made.
    pub files_free: u64,
    /// The longest name, in bytes.
    pub name_max: u32,
}

/// The unit of `df`.
const SPACE_BLOCK: u32 = 4096;

/// What `df` shows where the service tells no limit: 1 EiB, more than any service holds and within what every program
/// can count.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// The same for the number of images.
const UNLIMITED_IMAGES: u64 = 1 << 32;

impl FileSystem {
    /// The file `name` in the folder `parent`; counts as told to the kernel.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Entry> {
        let folder = self.node(parent)?;
        let outcome = self.find(&folder, name).await;
        if folder == Node::Root {
            // Who goes on into a folder of images meets no name there that stands for nothing any more.
            self.kernel.has_forgotten().await;
        }
        let node = match (&folder, name.to_str()) {
            (Node::Queries, Some(expression)) => Node::Query(expression.into()),
            _ if matches!(outcome, Err(FsError::Absent(_))) => return self.noted_in(parent, &folder, name, outcome),
            _ => folder,
        };
        self.noted_if_unusual(parent, &node, outcome)
    }

    async fn find(&self, folder: &Node, name: &OsStr) -> Result<Entry> {
        let node = self.find_node(folder, name).await?;
        let entry = self.entry(&node, self.is_listed(folder, name)).await?;
        let ino = self.inodes.tell(node);
        Ok(Entry { attr: Attr { ino, ..entry.attr }, ..entry })
    }

    /// Whether it is told when a name in a folder stands for nothing any more: for each one but those that an image has
    /// without being listed by them, and those in `files`.
    fn is_listed(&self, folder: &Node, name: &OsStr) -> bool {
        match folder {
            Node::Images(View::ByName) => name.to_str().is_some_and(|name| self.catalogue.lists(name)),
            Node::Files => false,
            _ => true,
        }
    }

    /// What the name stands for; whether that exists is seen when it is looked at.
    pub(super) async fn find_node(&self, folder: &Node, name: &OsStr) -> Result<Node> {
        if name.len() > LONGEST {
            return Err(FsError::NameTooLong);
        }
        let missing = || FsError::NotFound { folder: folder.path(), name: name.to_string_lossy().into_owned() };
        let text = name.to_str().ok_or_else(missing)?;
        let node = match folder {
            Node::Root if text == FILES => {
                self.has_files()?;
                Some(Node::Files)
            }
            Node::Root if text == QUERIES => Some(Node::Queries),
            Node::Root if text == CONTROL => Some(Node::Control),
            Node::Root => View::ALL.into_iter().find(|view| view.name() == text).map(Node::Images),
            Node::Images(View::ById) => text.parse().ok().map(|id: ImageId| Node::Image(id, View::ById)),
            Node::Images(view) => self.catalogue.named(text).await?.map(|id| Node::Image(id, *view)),
            Node::Files => match self.place_of(folder, text) {
                Some(place) => self.scratches.get(place, text).map(Node::Scratch),
                None => self.catalogue.listing().await?.value.file(text).map(Node::Data),
            },
            Node::Image(id, view) => match Part::named(text, self.offers.api) {
                Some(part) => {
                    self.has_part(part)?;
                    Some(Node::part(*id, *view, part))
                }
                None => self.scratches.get(Place::Image(*id), text).map(Node::Scratch),
            },
            Node::Collection(id, _, collection) => match self.place_of(folder, text) {
                Some(place) => self.scratches.get(place, text).map(Node::Scratch),
                None => Some(Node::Item(*id, *collection, text.into())),
            },
            Node::Control => ControlFile::named(text).map(Node::ControlFile),
            Node::Queries => Some(Node::Query(text.into())),
            Node::Query(expression) => {
                let image = self.result(expression, text).await?;
                image.map(|id| Node::Link(Arc::clone(expression), id))
            }
            Node::Data(_)
            | Node::Document(..)
            | Node::Item(..)
            | Node::Scratch(_)
            | Node::ControlFile(_)
            | Node::Link(..) => {
                return Err(FsError::NotAFolder(folder.path()));
            }
        };
        node.filter(|node| !self.removals.is_hidden(node)).ok_or_else(missing)
    }

    /// The kernel forgot `count` of the times that it was told of `ino`.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// Whether it is the folder of an image.
    pub fn is_image(&self, ino: Ino) -> bool {
        matches!(self.node(ino), Ok(Node::Image(..)))
    }

    /// The status of the image whose data a file is; `None` of any other file.
    pub async fn status_of_data(&self, ino: Ino) -> Result<Option<Status>> {
        let Node::Data(id) = self.node(ino)? else { return Ok(None) };
        Ok(Some(self.catalogue.image(id).await?.value.status.clone()))
    }

    /// What `stat` shows.
    pub async fn getattr(&self, ino: Ino) -> Result<Entry> {
        let node = self.node(ino)?;
        let outcome = self.entry(&node, true).await;
        let outcome = self.noted_if_unusual(ino, &node, outcome);
        let entry = outcome.map_err(|error| gone(&node, error))?;
        Ok(Entry { attr: Attr { ino, ..entry.attr }, ..entry })
    }

    /// The same for who may have it open, as `handle` or as the process that asks: a small file ends for him where what he
    /// wrote does.
    pub async fn stat(&self, ino: Ino, handle: Option<HandleId>, by: Asker) -> Result<Entry> {
        if let (Some(_), Some(entry)) = (handle, self.held_entry(ino)) {
            return Ok(entry);
        }
        let entry = self.getattr(ino).await?;
        let size = self.draft_length(&self.node(ino)?, handle, by).unwrap_or(entry.attr.size);
        Ok(Entry { attr: Attr { size, ..entry.attr }, ..entry })
    }

    /// What is known of `data` that somebody has open. The kernel asks for it in front of reads, also of bytes that it has: who
    /// reads what cannot change does not wait for the service.
    fn held_entry(&self, ino: Ino) -> Option<Entry> {
        let node = self.node(ino).ok()?;
        let Node::Data(id) = node else { return None };
        let seen = self.catalogue.known(id).filter(|seen| seen.value.status.has_data())?;
        if seen.fresh_for.is_zero() && !self.settings.ttl.is_zero() {
            let catalogue = self.catalogue.clone();
            // What comes of it is seen by who asks next.
            tokio::spawn(async move { drop(catalogue.image(id).await) });
        }
        let entry = self.image_entry(ino, &node, &seen.value, 0, self.hold(&seen));
        Some(Entry { attr: Attr { ino, ..entry.attr }, ..entry })
    }

    /// The attributes of a node, with a number of its own; `may_be_vouched` for where it is told when they are others.
    async fn entry(&self, node: &Node, may_be_vouched: bool) -> Result<Entry> {
        let ino = self.inodes.number(node);
        let Some(id) = node.image() else { return self.entry_of_mount(ino, node).await };
        let seen = self.catalogue.image(id).await?;
        let item = match node {
            Node::Item(_, collection, entry) => self.item(&seen.value, *collection, entry).await?.text.len(),
            Node::Document(_, document) if !is_there(*document, &seen.value) => {
                let folder = Node::Image(id, View::ById).path();
                return Err(FsError::NotFound { folder, name: Part::Document(*document).name().to_owned() });
            }
            _ => 0,
        };
        let item = u64::try_from(item).unwrap_or(u64::MAX);
        let hold = if may_be_vouched { self.hold(&seen) } else { Hold::NONE };
        Ok(self.image_entry(ino, node, &seen.value, item, hold))
    }

    async fn entry_of_mount(&self, ino: Ino, node: &Node) -> Result<Entry> {
        match node {
            Node::Scratch(file) => self.scratch_entry(ino, file),
            Node::Query(expression) => {
                // Whether it asks for something is known when it was asked.
                let mtime = self.answer_time(expression).await?;
                let Entry { attr, .. } = self.own_entry(ino, node);
                // What the kernel has of the folder it compares by this time, which a change of ours moves.
                Ok(Entry { attr: Attr { mtime, ..attr }, ttl: Duration::ZERO })
            }
            Node::Link(expression, _) => {
                let fresh_for = self.results(expression).await?.fresh_for;
                Ok(Entry { ttl: fresh_for, ..self.own_entry(ino, node) })
            }
            // Whoever goes through here brings the listing up to date, and what the kernel knows of it.
            Node::Images(_) | Node::Files => {
                let entry = self.own_entry(ino, node);
                let Some(seen) = self.catalogue.known_listing().await else { return Ok(entry) };
                let mtime = self.shelf_time(node, &seen.value);
                Ok(Entry { attr: Attr { mtime, ctime: mtime, ..entry.attr }, ttl: seen.fresh_for })
            }
            _ => Ok(self.own_entry(ino, node)),
        }
    }

    /// The spool that `data` shows in place of the image's bytes.
    pub(super) fn spool_of(&self, node: &Node, image: &Image) -> Option<Arc<Upload>> {
        match node {
            Node::Data(id) if !image.status.has_data() => self.spooled(*id),
            _ => None,
        }
    }

    /// What a folder lists behind the position `from`. A folder need not be opened: images that come and go between two
    /// pieces of it neither hide others nor show them twice.
    pub async fn readdir(&self, ino: Ino, from: u64) -> Result<Listing> {
        let node = self.node(ino)?;
        let outcome = self.list(node.clone(), from).await;
        self.noted(ino, &node, outcome)
    }

    /// What `df` shows: the image quota where the service tells it, otherwise a large constant.
    pub async fn statfs(&self) -> Result<Space> {
        let usage = self.catalogue.usage().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the quota could not be asked for");
            None
        });
        let bytes = usage.and_then(|usage| Some((usage.limit?, usage.used))).unwrap_or((UNLIMITED_BYTES, 0));
        let images = usage.and_then(|usage| Some((usage.image_limit?, usage.images))).unwrap_or((UNLIMITED_IMAGES, 0));
        Ok(Space {
            block_size: SPACE_BLOCK,
            blocks: bytes.0 / u64::from(SPACE_BLOCK),
            free: bytes.0.saturating_sub(bytes.1) / u64::from(SPACE_BLOCK),
            files: images.0,
            files_free: images.0.saturating_sub(images.1),
            name_max: u32::try_from(LONGEST).unwrap_or(u32::MAX),
        })
    }

    /// Whose everything is, and what may be done with it.
    pub(super) fn rights(&self) -> Rights {
        Rights { owner: self.settings.owner, change: !self.settings.read_only, offers: self.offers }
    }

    /// The same for an image: those of other projects are only to be read, but by an administrator. Where it is not known
    /// it is allowed: what the modes forbid, the kernel refuses by itself, and nobody says why.
    pub(super) fn rights_on(&self, image: &Image) -> Rights {
        let is_anothers = self.service.project().zip(image.owner.as_deref()).is_some_and(|(own, owner)| own != owner);
        let change = !is_anothers || self.service.is_administrator();
        Rights { change: !self.settings.read_only && change, ..self.rights() }
    }

    /// The same for one of its files: a member of an image sets its own status in it.
    pub(super) fn rights_on_node(&self, node: &Node, image: &Image) -> Rights {
        let own = self.service.project();
        match node {
            Node::Item(_, Collection::Members, entry) if own.is_some_and(|own| encode_item(own) == **entry) => {
                self.rights()
            }
            _ => self.rights_on(image),
        }
    }

    /// The node of a number that the kernel was told.
    pub(super) fn node(&self, ino: Ino) -> Result<Node> {
        self.inodes.node(ino).ok_or(FsError::Forgotten)
    }

    /// Remembers and logs why an operation on a file failed.
    pub(super) fn noted<T>(&self, ino: Ino, node: &Node, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.note(ino, node.told(), error))
    }

    /// The same for what is not there, or is only to be made: `name` in a folder, which tells of it.
    pub(super) fn noted_in<T>(&self, ino: Ino, folder: &Node, name: &OsStr, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            self.note(ino, folder.told_in(&name.to_string_lossy()), error);
            self.tell_folder(folder, ino);
        })
    }

    /// Tells of the last failure on a file, or on a folder under one of its names, to who looks at this folder or other file.
    pub(super) fn tell_folder(&self, folder: &Node, of: Ino) {
        for folder in [Some(folder.clone()), folder.other_view()].into_iter().flatten() {
            self.failures.tell_also(self.inodes.number(&folder), of);
        }
    }

    fn note(&self, ino: Ino, path: String, error: &FsError) {
        let failed = Failed::of(Timestamp::now(), path, error);
        let (path, sentence) = (&failed.path, &failed.sentence);
        match error.weight() {
            Weight::Ordinary => tracing::debug!(path, error = %sentence, "refused"),
            Weight::Refusal => tracing::info!(path, error = %sentence, "refused"),
            Weight::Failure => tracing::warn!(path, error = %sentence, "failed"),
        }
        self.failures.note(ino, failed);
    }

    /// The same where it is worth knowing: names that do not exist are looked up all the time.
    fn noted_if_unusual<T>(&self, ino: Ino, node: &Node, outcome: Result<T>) -> Result<T> {
        if outcome.as_ref().is_err_and(|error| !error.is_ordinary()) { self.noted(ino, node, outcome) } else { outcome }
    }
}

/// Whether an image has a small file that not all have.
pub(super) fn is_there(document: Document, image: &Image) -> bool {
    match document {
        Document::Import => is_importable(image),
        Document::Server => server_of(image).is_some(),
        Document::Metadata | Document::Status | Document::Progress | Document::Checksums => true,
    }
}

/// What the kernel knew and the service does not know any more is stale. Who asked by a path is led to look the name up
/// again, and hears that it does not exist; who asked with an open file hears that it is gone.
pub(super) fn gone(node: &Node, error: FsError) -> FsError {
    match (node.image(), &error) {
        (Some(image), FsError::Service(failure)) if failure.kind == Kind::NotFound => FsError::Replaced(image),
        _ => error,
    }
}
