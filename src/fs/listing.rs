//! Folders: what an open one lists, fixed when it was opened.

use std::sync::Arc;
use std::time::Duration;

use super::FileSystem;
use super::Result;
use super::attr::{self, Entry, FileKind};
use super::document;
use super::error::FsError;
use super::import::is_importable;
use super::inode::Ino;
use super::node::{Collection, ControlFile, Document, FILES, Node, Part, QUERIES, View};
use super::scratch::Place;
use crate::catalogue::Snapshot;
use crate::image::Image;

/// What a folder listed when it was opened. The position of an entry is its index plus one, so that a position can be
/// asked for again after an interrupted reply.
pub(super) struct Listing {
    folder: Node,
    of: Of,
    rows: Vec<Row>,
    ttl: Duration,
}

/// The images that the rows belong to.
enum Of {
    Nothing,
    Image(Arc<Image>),
    Images(Arc<Snapshot>),
}

struct Row {
    name: Box<str>,
    node: Node,
    /// The content length of an entry of a collection.
    item: u64,
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// Where to go on behind it.
    pub next: u64,
    /// Its name.
    pub name: &'a str,
    /// Its inode number.
    pub ino: Ino,
    /// What it is.
    pub kind: FileKind,
    /// Its attributes: for those who asked, and not for `.` and `..`.
    pub entry: Option<Entry>,
}

impl FileSystem {
    /// What the folder lists now.
    pub(super) async fn list(&self, folder: Node) -> Result<Listing> {
        match &folder {
            Node::Root => {
                let row = |view: View| Row { name: view.name().into(), node: Node::Images(view), item: 0 };
                let files = Row { name: FILES.into(), node: Node::Files, item: 0 };
                let queries = Row { name: QUERIES.into(), node: Node::Queries, item: 0 };
                let rows = View::ALL.map(row).into_iter().chain([files, queries]).collect();
                Ok(Listing { rows, of: Of::Nothing, ttl: self.settings.ttl, folder })
            }
            Node::Files => {
                let seen = self.catalogue.listing().await?;
                let row = |(name, id): (&str, _)| Row { name: name.into(), node: Node::Data(id), item: 0 };
                let rows = seen.value.files().iter().map(row).chain(self.scratch_rows(Place::Files)).collect();
                Ok(Listing { rows, of: Of::Images(seen.value), ttl: seen.fresh_for, folder })
            }
            Node::Images(view) => {
                let seen = self.catalogue.listing().await?;
                let rows = image_rows(&seen.value, *view);
                Ok(Listing { rows, of: Of::Images(seen.value), ttl: seen.fresh_for, folder })
            }
            Node::Image(id, view) => {
                let seen = self.catalogue.image(*id).await?;
                let row = |part: Part| Row { name: part.name().into(), node: Node::part(*id, *view, part), item: 0 };
                let is_there = |part: &Part| *part != Part::Document(Document::Import) || is_importable(&seen.value);
                let here = Part::ALL.into_iter().filter(is_there).map(row);
                let here = here.filter(|row| !self.removals.is_hidden(&row.node));
                let rows = here.chain(self.scratch_rows(Place::Image(*id))).collect();
                Ok(Listing { rows, of: Of::Image(seen.value), ttl: seen.fresh_for, folder })
            }
            Node::Collection(id, _, collection) => {
                let seen = self.catalogue.image(*id).await?;
                let mut rows = self.item_rows(&seen.value, *collection).await?;
                rows.extend(self.scratch_rows(Place::Collection(*id, *collection)));
                Ok(Listing { rows, of: Of::Image(seen.value), ttl: seen.fresh_for, folder })
            }
            Node::Control => {
                let row = |file: ControlFile| Row { name: file.name().into(), node: Node::ControlFile(file), item: 0 };
                Ok(Listing { rows: ControlFile::ALL.map(row).into(), of: Of::Nothing, ttl: self.settings.ttl, folder })
            }
            Node::Queries => Ok(Listing { rows: Vec::new(), of: Of::Nothing, ttl: self.settings.ttl, folder }),
            Node::Query(expression) => {
                let seen = self.results(expression).await?;
                let row = |(name, id): (&str, _)| Row {
                    name: name.into(),
                    node: Node::Link(Arc::clone(expression), id),
                    item: 0,
                };
                let rows = seen.value.rows().map(row).collect();
                Ok(Listing { rows, of: Of::Nothing, ttl: seen.fresh_for, folder })
            }
            Node::Data(_)
            | Node::Document(..)
            | Node::Item(..)
            | Node::Scratch(_)
            | Node::ControlFile(_)
            | Node::Link(..) => Err(FsError::NotAFolder(folder.path())),
        }
    }

    fn scratch_rows(&self, place: Place) -> impl Iterator<Item = Row> + use<> {
        let row = |(name, file)| Row { name, node: Node::Scratch(file), item: 0 };
        self.scratches.of(place).into_iter().map(row)
    }

    async fn item_rows(&self, image: &Arc<Image>, collection: Collection) -> Result<Vec<Row>> {
        let items = self.items(image, collection).await?;
        let row = |item: document::Item| Row {
            item: u64::try_from(item.text.len()).unwrap_or(u64::MAX),
            node: Node::Item(image.id, collection, item.entry.as_str().into()),
            name: item.entry.into(),
        };
        Ok(items.into_iter().map(row).collect())
    }

    /// Gives the lines behind the position `from` to `take`, until it answers that it is full. With `plus` each line
    /// has its attributes, and each line taken counts as a look-up.
    pub(super) fn lines(&self, listing: &Listing, from: u64, plus: bool, take: &mut dyn FnMut(Listed<'_>) -> bool) {
        let dots = [(".", listing.folder.clone()), ("..", listing.folder.parent())];
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        for (index, (name, node)) in dots.iter().enumerate().skip(from) {
            let ino = self.inodes.number(node);
            if take(Listed { next: position(index), name, ino, kind: FileKind::Directory, entry: None }) {
                return;
            }
        }
        for (index, row) in listing.rows.iter().enumerate().skip(from.saturating_sub(dots.len())) {
            if self.line(listing, row, position(index + dots.len()), plus, take) {
                return;
            }
        }
    }

    fn line(
        &self,
        listing: &Listing,
        row: &Row,
        next: u64,
        plus: bool,
        take: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> bool {
        let kind = row.node.kind();
        if !plus {
            let ino = self.inodes.number(&row.node);
            return take(Listed { next, name: &row.name, ino, kind, entry: None });
        }
        let ino = self.inodes.tell(row.node.clone());
        // Who is told no attributes asks for them.
        let entry = self.row_entry(listing, row, ino);
        let full = take(Listed { next, name: &row.name, ino, kind, entry });
        if full {
            self.inodes.forget(ino, 1);
        }
        full
    }

    fn row_entry(&self, listing: &Listing, row: &Row, ino: Ino) -> Option<Entry> {
        if let Node::Scratch(file) = &row.node {
            return self.scratch_entry(ino, file).ok();
        }
        let image = match &listing.of {
            Of::Nothing => None,
            Of::Image(image) => Some(image),
            Of::Images(snapshot) => row.node.image().and_then(|id| snapshot.image(id)),
        };
        Some(match image {
            Some(image) => self.image_entry(ino, &row.node, image, row.item, listing.ttl),
            None => self.own_entry(ino, &row.node),
        })
    }

    /// What is shown of a node of an image, whose attributes hold for `ttl`. A spool grows while somebody looks.
    pub(super) fn image_entry(&self, ino: Ino, node: &Node, image: &Image, item: u64, ttl: Duration) -> Entry {
        let attr = attr::of_image_node(ino, node, image, item, self.rights_on_node(node, image));
        let spool = self.spool_of(node, image).and_then(|upload| Some((upload.len().ok()?, upload.time())));
        if spool.is_none()
            && matches!(node, Node::Data(_))
            && let Some(newer) = self.since_filled(image)
        {
            return self.image_entry(ino, node, &newer, item, ttl);
        }
        match spool {
            Some((size, time)) => {
                let mtime = time.map_or(attr.mtime, attr::system_time);
                Entry { attr: attr::Attr { size, mtime, ..attr }, ttl: Duration::ZERO }
            }
            // A write to any small file of an image changes what the others hold.
            None if matches!(node, Node::Document(..) | Node::Item(..)) => {
                let expected =
                    matches!(node, Node::Document(_, Document::Checksums)).then(|| self.checksums_text(image));
                let size = expected.and_then(|text| u64::try_from(text.len()).ok()).unwrap_or(attr.size);
                Entry { attr: attr::Attr { size, ..attr }, ttl: Duration::ZERO }
            }
            None => Entry { attr, ttl },
        }
    }
}

impl FileSystem {
    /// An image that had no data when it was looked at, and has them now: what is known of it is newer before its spool
    /// goes away.
    fn since_filled(&self, image: &Image) -> Option<Arc<Image>> {
        if image.status.has_data() {
            return None;
        }
        self.catalogue.known(image.id).filter(|newer| newer.status.has_data())
    }
}

fn image_rows(snapshot: &Snapshot, view: View) -> Vec<Row> {
    match view {
        View::ByName => snapshot
            .names()
            .iter()
            .map(|(name, id)| Row { name: name.into(), node: Node::Image(id, view), item: 0 })
            .collect(),
        View::ById => snapshot
            .images()
            .iter()
            .map(|image| Row { name: image.id.as_str().into(), node: Node::Image(image.id, view), item: 0 })
            .collect(),
    }
}

fn position(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1)
}
