//! Folders: what they list, piece by piece.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::attr::{self, Attr, Entry, FileKind};
use super::document;
use super::error::FsError;
use super::inode::Ino;
use super::kernel::Hold;
use super::node::{Collection, ControlFile, Document, FILES, Node, Part, QUERIES, View};
use super::ops::is_there;
use super::position::{self, Order};
use super::scratch::Place;
use super::{FileSystem, Result};
use crate::catalogue::Snapshot;
use crate::image::{Image, ImageId, Visibility};
use crate::name::encode;

/// What a folder lists now, each line at its position.
pub struct Listing {
    folder: Node,
    /// The image whose folder it is, or is in.
    image: Option<Arc<Image>>,
    /// The lines behind this position are wanted.
    from: u64,
    lines: Lines,
    hold: Hold,
}

enum Lines {
    /// In the order of their positions.
    Rows(Vec<Row>),
    /// A folder of images, and what else is in it. Images are many, so that their lines are made as they are taken.
    Images(Arc<Snapshot>, Arc<Order>, Vec<Row>),
}

struct Row {
    position: u64,
    name: Box<str>,
    node: Node,
    /// The content length of an entry of a collection.
    length: u64,
}

/// A line as it is taken.
struct Line<'a> {
    next: u64,
    name: &'a str,
    node: &'a Node,
    length: u64,
    image: Option<&'a Image>,
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
    /// The entries of `by-name` of all images that are called as the entry `name` says, in their order.
    pub async fn namesakes(&self, name: &str) -> Result<Vec<String>> {
        let listing = self.catalogue.listing().await?.value;
        let names = listing.names();
        let is_one = |image: &Image| image.name.as_deref().is_some_and(|own| encode(own) == name);
        let all = (0..names.len()).map_while(|number| names.at(number));
        Ok(all.filter(|(_, image)| is_one(image)).map(|(entry, _)| entry.into_owned()).collect())
    }

    /// What the folder lists now behind the position `from`.
    pub(super) async fn list(&self, folder: Node, from: u64) -> Result<Listing> {
        let listing = Listing { folder, image: None, from, lines: Lines::Rows(Vec::new()), hold: Hold::NONE };
        let folder = &listing.folder;
        match folder {
            Node::Root => Ok(Listing { lines: self.root_lines(), ..listing }),
            Node::Control => {
                let line = |file: ControlFile| (file.name(), Node::ControlFile(file));
                Ok(Listing { lines: fixed(ControlFile::ALL.map(line)), ..listing })
            }
            Node::Queries => Ok(listing),
            Node::Files | Node::Images(_) => {
                let seen = self.catalogue.listing().await?;
                // Nobody tells which names are void in `files`: they are asked for each time.
                let hold = if *folder == Node::Files { Hold::NONE } else { self.hold(&seen) };
                self.shelves.listed(seen.value.version(), self.began);
                let order = self.shelves.order(folder, &seen.value);
                let beside = if *folder == Node::Files { self.scratch_rows(Place::Files) } else { Vec::new() };
                Ok(Listing { lines: Lines::Images(seen.value, order, beside), hold, ..listing })
            }
            Node::Image(id, view) => {
                let seen = self.catalogue.image(*id).await?;
                let hold = self.hold(&seen);
                let mut rows = self.part_rows(&seen.value, *view);
                rows.extend(self.scratch_rows(Place::Image(*id)));
                Ok(Listing { lines: Lines::Rows(rows), image: Some(seen.value), hold, ..listing })
            }
            Node::Collection(id, _, collection) => {
                let seen = self.catalogue.image(*id).await?;
                let hold = self.hold(&seen);
                let mut rows = self.item_rows(&seen.value, *collection).await?;
                rows.extend(self.scratch_rows(Place::Collection(*id, *collection)));
                Ok(Listing { lines: Lines::Rows(arranged(rows)), image: Some(seen.value), hold, ..listing })
            }
            Node::Query(expression) => {
                let results = self.results_from(expression, from).await?;
                let row = |(number, (name, id)): (usize, (&str, ImageId))| Row {
                    position: position::result(results.number(), number),
                    name: name.into(),
                    node: Node::Link(Arc::clone(expression), id),
                    length: 0,
                };
                let lines = Lines::Rows(results.rows().enumerate().map(row).collect());
                Ok(Listing { lines, from: position::in_answer(from, results.number()), ..listing })
            }
            Node::Data(_)
            | Node::Document(..)
            | Node::Item(..)
            | Node::Scratch(_)
            | Node::ControlFile(_)
            | Node::Link(..) => Err(FsError::NotAFolder(folder.path())),
        }
    }

    /// An image's own files and folders.
    fn part_rows(&self, image: &Image, view: View) -> Vec<Row> {
        let row = |(number, part): (usize, Part)| Row {
            position: position::fixed(number),
            name: part.name().into(),
            node: Node::part(image.id, view, part),
            length: 0,
        };
        let is_here = |(_, part): &(usize, Part)| match part {
            Part::Document(document) => part.is_offered(self.offers) && is_there(*document, image),
            part => part.is_offered(self.offers),
        };
        let rows = Part::ALL.into_iter().enumerate().filter(is_here).map(row);
        rows.filter(|row| !self.removals.is_hidden(&row.node)).collect()
    }

    fn scratch_rows(&self, place: Place) -> Vec<Row> {
        let row = |(name, file)| Row::named(name, Node::Scratch(file), 0);
        arranged(self.scratches.of(place).into_iter().map(row).collect())
    }

    async fn item_rows(&self, image: &Arc<Image>, collection: Collection) -> Result<Vec<Row>> {
        let row = |item: document::Item| {
            let length = u64::try_from(item.text.len()).unwrap_or(u64::MAX);
            let node = Node::Item(image.id, collection, item.entry.as_str().into());
            Row::named(item.entry.into(), node, length)
        };
        let rows = self.items(image, collection).await?.into_iter().map(row);
        Ok(rows.filter(|row| !self.removals.is_hidden(&row.node)).collect())
    }

    fn root_lines(&self) -> Lines {
        let [one, other] = View::ALL.map(|view| (view.name(), Node::Images(view)));
        let queries = (QUERIES, Node::Queries);
        match self.has_files() {
            Ok(()) => fixed([one, other, (FILES, Node::Files), queries]),
            Err(_) => fixed([one, other, queries]),
        }
    }

    /// Gives the lines to `take`, until that answers `true`: it is full.
    ///
    /// With `plus` each line but `.` and `..` has its attributes and, unless it was the one that did not fit, counts as
    /// told to the kernel.
    pub fn lines(&self, listing: &Listing, plus: bool, take: &mut dyn FnMut(Listed<'_>) -> bool) {
        let Listing { folder, from, .. } = listing;
        let dots = [(position::SELF, ".", folder.clone()), (position::PARENT, "..", folder.parent())];
        for (next, name, node) in dots.into_iter().filter(|(position, ..)| position > from) {
            let ino = self.inodes.number(&node);
            if take(Listed { next, name, ino, kind: FileKind::Directory, entry: None }) {
                return;
            }
        }
        let rows = match &listing.lines {
            Lines::Rows(rows) => rows,
            Lines::Images(snapshot, order, beside) => {
                for (next, number) in order.behind(*from) {
                    let Some((name, node, image)) = of_image(folder, snapshot, number) else { continue };
                    let line = Line { next, name: &name, node: &node, length: 0, image: Some(image) };
                    if self.line(&line, listing.hold, plus, take) {
                        return;
                    }
                }
                beside
            }
        };
        let image = listing.image.as_deref();
        for Row { position, name, node, length } in rows.iter().skip_while(|row| row.position <= *from) {
            let line = Line { next: *position, name, node, length: *length, image };
            if self.line(&line, listing.hold, plus, take) {
                return;
            }
        }
    }

    fn line(&self, line: &Line<'_>, hold: Hold, plus: bool, take: &mut dyn FnMut(Listed<'_>) -> bool) -> bool {
        let &Line { next, name, node, .. } = line;
        let kind = node.kind();
        if !plus {
            return take(Listed { next, name, ino: self.inodes.number(node), kind, entry: None });
        }
        let ino = self.inodes.tell(node.clone());
        // Who is told no attributes asks for them.
        let full = take(Listed { next, name, ino, kind, entry: self.line_entry(line, ino, hold) });
        if full {
            self.inodes.forget(ino, 1);
        }
        full
    }

    fn line_entry(&self, line: &Line<'_>, ino: Ino, hold: Hold) -> Option<Entry> {
        match (line.node, line.image) {
            (Node::Scratch(file), _) => self.scratch_entry(ino, file).ok(),
            // Whoever goes there asks for it, which brings the listing up to date.
            (Node::Images(_) | Node::Files, _) => Some(Entry { ttl: Duration::ZERO, ..self.own_entry(ino, line.node) }),
            (node, Some(image)) => Some(self.image_entry(ino, node, image, line.length, hold)),
            (node, None) => Some(self.own_entry(ino, node)),
        }
    }

    /// What is shown of a node of an image, and for how long the kernel may rely on it. A spool grows while somebody
    /// looks.
    pub(super) fn image_entry(&self, ino: Ino, node: &Node, image: &Image, item: u64, hold: Hold) -> Entry {
        let attr = attr::of_image_node(ino, node, image, item, self.rights_on_node(node, image));
        match node {
            Node::Data(_) => self.data_entry(attr, node, image, hold),
            // A write to any small file of an image changes what the others hold.
            Node::Document(_, document) => {
                let expected = (*document == Document::Checksums).then(|| self.checksums_text(image));
                let size = expected.and_then(|text| u64::try_from(text.len()).ok()).unwrap_or(attr.size);
                Entry { attr: Attr { size, ..attr }, ttl: Duration::ZERO }
            }
            Node::Item(..) => Entry { attr, ttl: Duration::ZERO },
            // What is hidden is back when its time is over, which nobody tells.
            Node::Image(id, _) | Node::Collection(id, ..) if self.removals.is_in(*id) => {
                Entry { attr: self.listed_at(attr, node, image), ttl: Duration::ZERO }
            }
            // Nor is it told what becomes of members.
            Node::Collection(_, _, Collection::Members) if image.visibility == Visibility::Shared => {
                Entry { attr: self.listed_at(attr, node, image), ttl: Duration::ZERO }
            }
            _ => Entry { attr: self.listed_at(attr, node, image), ttl: hold.vouched },
        }
    }

    fn data_entry(&self, attr: Attr, node: &Node, image: &Image, hold: Hold) -> Entry {
        if let Some(upload) = self.spool_of(node, image)
            && let Ok(size) = upload.len()
        {
            let mtime = upload.time().map_or(attr.mtime, attr::system_time);
            return Entry { attr: Attr { size, mtime, ..attr }, ttl: Duration::ZERO };
        }
        if let Some(newer) = self.since_filled(image) {
            let attr = attr::of_image_node(attr.ino, node, &newer, 0, self.rights_on_node(node, &newer));
            return Entry { attr, ttl: hold.fresh_for };
        }
        Entry { attr, ttl: if image.status.has_data() { hold.vouched } else { hold.fresh_for } }
    }

    /// An image that had no data when it was looked at, and has them now: what is known of it is newer before its spool
    /// goes away.
    fn since_filled(&self, image: &Image) -> Option<Arc<Image>> {
        if image.status.has_data() {
            return None;
        }
        self.catalogue.known(image.id).map(|seen| seen.value).filter(|newer| newer.status.has_data())
    }
}

impl Row {
    fn named(name: Box<str>, node: Node, length: u64) -> Self {
        Self { position: position::named(&name), name, node, length }
    }
}

/// A line of a folder of images.
fn of_image<'a>(folder: &Node, snapshot: &'a Snapshot, number: usize) -> Option<(Cow<'a, str>, Node, &'a Image)> {
    match folder {
        Node::Images(view @ View::ByName) => {
            snapshot.names().at(number).map(|(name, image)| (name, Node::Image(image.id, *view), image.as_ref()))
        }
        Node::Images(view @ View::ById) => {
            let image = snapshot.images().get(number)?;
            Some((Cow::Borrowed(image.id.as_str()), Node::Image(image.id, *view), image))
        }
        _ => {
            let (name, id) = snapshot.files().at(number)?;
            Some((Cow::Borrowed(name), Node::Data(id), snapshot.image(id)?))
        }
    }
}

/// Lines that are always there.
fn fixed<const N: usize>(lines: [(&str, Node); N]) -> Lines {
    let row = |(number, (name, node)): (usize, (&str, Node))| Row {
        position: position::fixed(number),
        name: name.into(),
        node,
        length: 0,
    };
    Lines::Rows(lines.into_iter().enumerate().map(row).collect())
}

/// Rows in the order of their positions, each at one of its own.
fn arranged(rows: Vec<Row>) -> Vec<Row> {
    let order = Order::new(rows.iter().map(|row| row.position));
    let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
    let at = |(position, number): (u64, usize)| Some(Row { position, ..rows.get_mut(number)?.take()? });
    order.behind(0).filter_map(at).collect()
}
