//! What a path in the mount can be: one enum, one place.

use std::sync::Arc;

use super::attr::FileKind;
use super::scratch::ScratchFile;
use crate::image::ImageId;
use crate::service::{Api, Offers};

/// Which of the two folders of images a path goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum View {
    /// `by-id/`.
    ById,
    /// `by-name/`.
    ByName,
}

impl View {
    /// Both, in the order in which the root lists them.
    pub(super) const ALL: [Self; 2] = [Self::ById, Self::ByName];

    /// Its name in the root.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ById => "by-id",
            Self::ByName => "by-name",
        }
    }
}

/// A small file of an image folder. Which of them there are is told by what the service offers ([`Part::is_offered`]);
/// `import` is there while there is something to import, and `server` where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Document {
    /// `metadata.json`: every attribute.
    Metadata,
    /// `status`: the status word.
    Status,
    /// `progress`: how much of the image is there, from 0 to 100.
    Progress,
    /// `checksums`: for `cksum -c`.
    Checksums,
    /// `server`: the id of the server that the image was made of.
    Server,
    /// `import`: what the service fetches by itself.
    Import,
}

/// A folder that each image folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Collection {
    /// `members/`: a file a project.
    Members,
    /// `tags/`: an empty file a tag.
    Tags,
    /// `properties/`: a file an additional property.
    Properties,
}

/// An entry of an image folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// `data`: the image's bytes.
    Data,
    /// A small file.
    Document(Document),
    /// A folder of small files.
    Collection(Collection),
}

impl Part {
    /// All of them, in the order in which an image folder lists them.
    pub(super) const ALL: [Self; 10] = [
        Self::Data,
        Self::Document(Document::Metadata),
        Self::Document(Document::Status),
        Self::Document(Document::Progress),
        Self::Document(Document::Checksums),
        Self::Collection(Collection::Members),
        Self::Collection(Collection::Tags),
        Self::Collection(Collection::Properties),
        Self::Document(Document::Server),
        Self::Document(Document::Import),
    ];

    /// Its name in an image folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Document(Document::Metadata) => "metadata.json",
            Self::Document(Document::Status) => "status",
            Self::Document(Document::Progress) => "progress",
            Self::Document(Document::Checksums) => "checksums",
            Self::Document(Document::Server) => "server",
            Self::Document(Document::Import) => "import",
            Self::Collection(Collection::Members) => "members",
            Self::Collection(Collection::Tags) => "tags",
            Self::Collection(Collection::Properties) => "properties",
        }
    }

    /// The part of this name; also one that the service does not offer, but none that its API does not know of, where it is
    /// a name as any other.
    pub(super) fn named(name: &str, api: Api) -> Option<Self> {
        let is_known =
            |part: &Self| api == Api::Compute || !matches!(part, Self::Document(Document::Progress | Document::Server));
        Self::ALL.into_iter().filter(is_known).find(|part| part.name() == name)
    }

    /// Whether image folders have it.
    pub(super) fn is_offered(self, offers: Offers) -> bool {
        match self {
            Self::Data => offers.data,
            Self::Document(Document::Metadata | Document::Status) | Self::Collection(Collection::Properties) => true,
            Self::Document(Document::Progress | Document::Server) => offers.api == Api::Compute,
            Self::Document(Document::Checksums) => offers.api == Api::Image,
            Self::Document(Document::Import) => offers.making,
            Self::Collection(Collection::Members) => offers.members,
            Self::Collection(Collection::Tags) => offers.tags,
        }
    }
}

/// A file of `.glancefs/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ControlFile {
    /// `uploads`: what is not in the service yet.
    Uploads,
    /// `errors`: what failed lately.
    Errors,
    /// `status.json`: how the mount does.
    Status,
    /// `metrics`: the same, for monitoring.
    Metrics,
}

impl ControlFile {
    /// All of them, in the order in which `.glancefs/` lists them.
    pub(super) const ALL: [Self; 4] = [Self::Uploads, Self::Errors, Self::Status, Self::Metrics];

    /// Its name there.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Errors => "errors",
            Self::Status => "status.json",
            Self::Metrics => "metrics",
        }
    }

    /// The file of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }
}

/// The name of `.glancefs/` in the root, which does not list it.
pub(super) const CONTROL: &str = ".glancefs";

/// A file or folder of the mount. Folders differ between the two views; the files in them are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// The mount itself.
    Root,
    /// `by-id/` or `by-name/`.
    Images(View),
    /// `files/`.
    Files,
    /// `.glancefs/`.
    Control,
    /// A file of it.
    ControlFile(ControlFile),
    /// The folder of an image.
    Image(ImageId, View),
    /// The image's bytes: in its folder, and in `files/`.
    Data(ImageId),
    /// A small file of an image.
    Document(ImageId, Document),
    /// `members/`, `tags/` or `properties/` of an image.
    Collection(ImageId, View, Collection),
    /// An entry of one of those, by its name there.
    Item(ImageId, Collection, Box<str>),
    /// A file that is no image's.
    Scratch(ScratchFile),
    /// `query/`.
    Queries,
    /// A folder of it, by its name there.
    Query(Arc<str>),
    /// The link to an image that answers the question which its folder is called.
    Link(Arc<str>, ImageId),
}

/// The name of `query/` in the root.
pub(super) const QUERIES: &str = "query";

/// The name of `files/` in the root.
pub(super) const FILES: &str = "files";

impl Node {
    /// The node of an image folder's entry.
    pub(super) fn part(image: ImageId, view: View, part: Part) -> Self {
        match part {
            Part::Data => Self::Data(image),
            Part::Document(document) => Self::Document(image, document),
            Part::Collection(collection) => Self::Collection(image, view, collection),
        }
    }

    /// Whether it is a folder.
    pub(super) fn is_folder(&self) -> bool {
        match self {
            Self::Root
            | Self::Images(_)
            | Self::Files
            | Self::Queries
            | Self::Query(_)
            | Self::Control
            | Self::Image(..)
            | Self::Collection(..) => true,
            Self::Data(_)
            | Self::Document(..)
            | Self::Item(..)
            | Self::ControlFile(_)
            | Self::Scratch(_)
            | Self::Link(..) => false,
        }
    }

    /// What kind of file it is.
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Scratch(file) => file.kind(),
            Self::Link(..) => FileKind::Link,
            node if node.is_folder() => FileKind::Directory,
            _ => FileKind::File,
        }
    }

    /// The image that it belongs to.
    pub(super) fn image(&self) -> Option<ImageId> {
        match self {
            Self::Root | Self::Images(_) | Self::Files | Self::Scratch(_) | Self::Control | Self::ControlFile(_) => {
                None
            }
            // What is done to a link is not done to the image.
            Self::Queries | Self::Query(_) | Self::Link(..) => None,
            Self::Image(id, _)
            | Self::Data(id)
            | Self::Document(id, _)
            | Self::Collection(id, ..)
            | Self::Item(id, ..) => Some(*id),
        }
    }

    /// The folder above; the root is its own. For a file, which has two, the one under `by-id`.
    pub(super) fn parent(&self) -> Self {
        match self {
            Self::Root | Self::Images(_) | Self::Files | Self::Scratch(_) | Self::Control | Self::Queries => Self::Root,
            Self::Query(_) => Self::Queries,
            Self::Link(expression, _) => Self::Query(Arc::clone(expression)),
            Self::ControlFile(_) => Self::Control,
            Self::Image(_, view) => Self::Images(*view),
            Self::Collection(id, view, _) => Self::Image(*id, *view),
            Self::Data(id) | Self::Document(id, _) => Self::Image(*id, View::ById),
            Self::Item(id, collection, _) => Self::Collection(*id, View::ById, *collection),
        }
    }

    /// The path by which people are told of it: that under `by-id`, where an image has one whatever it is called.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Image(id, _) => Self::Image(*id, View::ById).path(),
            Self::Collection(id, _, collection) => Self::Collection(*id, View::ById, *collection).path(),
            other => other.path(),
        }
    }

    /// The same for what is not there: `name` in this folder.
    pub(super) fn told_in(&self, name: &str) -> String {
        if *self == Self::Root { name.to_owned() } else { format!("{}/{name}", self.told()) }
    }

    /// The same folder once more, where an image has it under two names.
    pub(super) fn other_view(&self) -> Option<Self> {
        let other = |view: &View| if *view == View::ById { View::ByName } else { View::ById };
        match self {
            Self::Image(id, view) => Some(Self::Image(*id, other(view))),
            Self::Collection(id, view, collection) => Some(Self::Collection(*id, other(view), *collection)),
            _ => None,
        }
    }

    /// A path of this node, relative to the mount, for sentences.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Root => ".".to_owned(),
            Self::Images(view) => view.name().to_owned(),
            Self::Files => FILES.to_owned(),
            Self::Scratch(file) => file.path().to_owned(),
            Self::Control => CONTROL.to_owned(),
            Self::Queries => QUERIES.to_owned(),
            Self::Query(expression) => format!("{QUERIES}/{expression}"),
            Self::Link(expression, id) => format!("{QUERIES}/{expression}/{id}"),
            Self::ControlFile(file) => format!("{CONTROL}/{}", file.name()),
            Self::Image(id, view) => format!("{}/{id}", view.name()),
            Self::Data(id) => format!("by-id/{id}/data"),
            Self::Document(id, document) => format!("by-id/{id}/{}", Part::Document(*document).name()),
            Self::Collection(id, view, collection) => {
                format!("{}/{id}/{}", view.name(), Part::Collection(*collection).name())
            }
            Self::Item(id, collection, entry) => {
                format!("by-id/{id}/{}/{entry}", Part::Collection(*collection).name())
            }
        }
    }
}
