//! What `stat` shows of a node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::document;
use super::inode::Ino;
use super::node::{Document, Node};
use super::offered::why_not_of;
use crate::image::{DATA_MTIME, Image};
use crate::service::{Api, Offers};

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// The attributes of one inode (`struct fuse_attr` of `linux/fuse.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes; 0 for a folder.
    pub size: u64,
    /// The permission bits.
    pub perm: u16,
    /// The number of its names. A folder says 1: the number of its subfolders is not told, and programs that count
    /// them by it (`find`) must look.
    pub nlink: u32,
    /// The user that owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// When its content last changed.
    pub mtime: SystemTime,
    /// When the image's attributes last changed.
    pub ctime: SystemTime,
}

/// Attributes, and how long the kernel may go on without asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The attributes.
    pub attr: Attr,
    /// How long both the name and the attributes hold.
    pub ttl: Duration,
}

/// Who owns everything in the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Whose everything in the mount is, and whether anything of it may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) owner: Owner,
    pub(super) change: bool,
    /// What the service offers, whoever asks.
    pub(super) offers: Offers,
}

/// What everybody may do, and what the owner may do besides.
const FILE_MODE: u16 = 0o444;
const FOLDER_MODE: u16 = 0o555;
const CHANGE: u16 = 0o200;

impl Rights {
    /// The mode bits of a file or folder that `may` be changed, as far as the mount goes.
    fn mode(self, bits: u16, may: bool) -> u16 {
        bits | if self.change && may { CHANGE } else { 0 }
    }
}

/// Each file of an image is under `by-id` and, where the image has a name, under `by-name`.
fn links(image: &Image) -> u32 {
    if image.name.as_deref().unwrap_or_default().is_empty() { 1 } else { 2 }
}

/// The attributes of a folder; `since` is when the mount began, or the image changed. In the root
/// and in `.glancefs` nothing is made.
pub(super) fn of_folder(ino: Ino, node: &Node, rights: Rights, since: SystemTime) -> Attr {
    let Owner { uid, gid } = rights.owner;
    let perm = rights.mode(FOLDER_MODE, !matches!(node, Node::Root | Node::Control | Node::Queries | Node::Query(_)));
    Attr { ino, kind: FileKind::Directory, size: 0, perm, nlink: 1, uid, gid, mtime: since, ctime: since }
}

/// The attributes of a scratch file.
pub(super) fn of_scratch(ino: Ino, kind: FileKind, size: u64, modified: SystemTime, rights: Rights) -> Attr {
    let Owner { uid, gid } = rights.owner;
    // Nobody looks at the mode of a link (symlink(7)).
    let perm = if kind == FileKind::Link { 0o777 } else { rights.mode(FILE_MODE, true) };
    Attr { ino, kind, size, perm, nlink: 1, uid, gid, mtime: modified, ctime: modified }
}

/// The attributes of a file of `.glancefs` with `size` bytes, to which commands can be written.
pub(super) fn of_control_file(ino: Ino, node: &Node, size: u64, rights: Rights, since: SystemTime) -> Attr {
    let perm = rights.mode(FILE_MODE, true);
    Attr { kind: FileKind::File, size, perm, ..of_folder(ino, node, rights, since) }
}

/// The attributes of a node of an image; `item` is the content length of an entry of a collection.
pub(super) fn of_image_node(ino: Ino, node: &Node, image: &Image, item: u64, rights: Rights) -> Attr {
    let updated = system_time(image.updated_at);
    let folder = of_folder(ino, node, rights, updated);
    let may = why_not_of(node, image, rights.offers).is_none();
    let file = Attr { kind: FileKind::File, perm: FILE_MODE, nlink: links(image), ..folder.clone() };
    match node {
        Node::Root
        | Node::Images(_)
        | Node::Files
        | Node::Control
        | Node::ControlFile(_)
        | Node::Image(..)
        | Node::Collection(..)
        | Node::Scratch(_)
        | Node::Queries
        | Node::Query(_)
        | Node::Link(..) => folder,
        Node::Data(_) => {
            let perm = rights.mode(FILE_MODE, may && !image.status.has_data());
            Attr { size: data_size(image), mtime: data_time(image), perm, ..file }
        }
        Node::Document(_, document) => {
            let size = document_size(image, *document, rights.offers.api);
            Attr { size, perm: rights.mode(FILE_MODE, may), ..file }
        }
        Node::Item(..) => Attr { size: item, perm: rights.mode(FILE_MODE, may), ..file },
    }
}

/// The length of `data`: that of the image once it has its bytes, all of them.
pub(super) fn data_size(image: &Image) -> u64 {
    image.size.filter(|_| image.status.has_data()).unwrap_or(0)
}

fn document_size(image: &Image, document: Document, api: Api) -> u64 {
    u64::try_from(document::text_of(image, document, api).len()).unwrap_or(u64::MAX)
}

/// The time of `data`: the bytes never change after the image was created, whatever happens to its attributes, so that
/// a copy made earlier stays up to date. A property `data_mtime` (RFC 3339) overrides it.
fn data_time(image: &Image) -> SystemTime {
    let told = image.properties.get(DATA_MTIME).and_then(|text| text.parse::<Timestamp>().ok());
    system_time(told.unwrap_or(image.created_at))
}

/// A time before 1970 becomes 1970: the kernel's protocol has no earlier one that all programs show alike.
pub(super) fn system_time(time: Timestamp) -> SystemTime {
    let since_epoch = Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
    UNIX_EPOCH + since_epoch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::node::View;
    use crate::fs::testing::image;
    use crate::image::Status;

    const RIGHTS: Rights = Rights { owner: Owner { uid: 7, gid: 8 }, change: true, offers: Offers::IMAGE };

    fn data(image: &Image) -> Attr {
        of_image_node(Ino(99), &Node::Data(image.id), image, 0, RIGHTS)
    }

    #[test]
    fn data_has_the_images_size_only_once_it_has_its_bytes() {
        let mut image = image(1, "disk");
        image.size = Some(5);
        assert_eq!(data(&image).size, 5);
        for status in [Status::Queued, Status::Saving, Status::Uploading, Status::Importing, Status::Killed] {
            image.status = status;
            assert_eq!(data(&image).size, 0);
        }
        image.status = Status::Deactivated;
        assert_eq!(data(&image).size, 5);
    }

    #[test]
    fn an_edit_of_a_property_leaves_the_time_of_data_alone() {
        let mut image = image(1, "disk");
        let before = data(&image);
        image.updated_at = "2026-09-09T00:00:00Z".parse().unwrap();
        let after = data(&image);
        assert_eq!(after.mtime, before.mtime);
        assert_ne!(after.ctime, before.ctime);
        image.properties.insert("data_mtime".into(), "2001-02-03T04:05:06.5+01:00".into());
        assert_eq!(data(&image).mtime, UNIX_EPOCH + Duration::from_millis(981_169_506_500));
    }

    #[test]
    fn a_file_has_two_names_where_the_image_has_one() {
        assert_eq!(data(&image(1, "disk")).nlink, 2);
        assert_eq!(data(&image(1, "")).nlink, 1);
    }

    #[test]
    fn modes_tell_what_can_be_written() {
        let (mut image, folder) = (image(1, "disk"), Node::Images(View::ByName));
        let mode = |node: &Node, rights| of_folder(Ino(1), node, rights, UNIX_EPOCH).perm;
        assert_eq!(data(&image).perm, 0o444, "the bytes of an active image never change");
        image.status = Status::Queued;
        assert_eq!(data(&image).perm, 0o644);
        assert_eq!((mode(&folder, RIGHTS), mode(&Node::Root, RIGHTS)), (0o755, 0o555));

        let read_only = Rights { change: false, ..RIGHTS };
        assert_eq!(of_image_node(Ino(99), &Node::Data(image.id), &image, 0, read_only).perm, 0o444);
        assert_eq!(mode(&folder, read_only), 0o555);
    }
}
