//! What the service has not: it is missing in the tree or only to be read, and who tries all the same is told why, and what
//! to do instead.

use super::error::FsError;
use super::node::{Collection, Document, Node, Part};
use super::scratch::Place;
use super::tree::ONLY_IMAGES;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Visibility};
use crate::service::{Api, Offers};

/// Why nothing is made.
const NO_IMAGES: &str =
    "no image can be made through the Compute API: mount this cloud with --service image, and make it there";

/// Why nothing is called otherwise.
const NO_RENAMING: &str =
    "no image can be renamed through the Compute API: mount this cloud with --service image, and rename it there";

/// Why no folder is made.
const NO_FOLDERS: &str = "an image's folder has the folders that it has, and no image can be made through the Compute API: mount this \
                          cloud with --service image, and make one there";

/// What alone can be renamed, and what of it through the Compute API.
const ONLY_RENAMED: &str = "only images, tags, properties and scratch files can be renamed";
const ONLY_PROPERTIES_RENAMED: &str = "only properties and scratch files can be renamed through the Compute API: the rest of an image \
                                       is renamed in a mount of this cloud with --service image";

/// Why no data are taken.
const NO_UPLOAD: &str = "the Compute API takes no data, and those of an image that has them never change: mount this \
                         cloud with --service image to make an image of others";

/// Why there are no data.
const NO_DATA: &str =
    "the Compute API gives out no data, and this cloud has no Image service in its catalog that would do so";

/// Why no status is set.
const NO_STATUS: &str =
    "no status can be set through the Compute API: mount this cloud with --service image, and set it there";

/// Why there are no tags.
const NO_TAGS: &str = "the Compute API has no tags: mount this cloud with --service image to see and change them";

/// Why there are no members.
const NO_MEMBERS: &str =
    "the Compute API tells of no members: mount this cloud with --service image to see and change them";

/// Why there are no checksums.
const NO_CHECKSUMS: &str = "the Compute API tells no checksums: mount this cloud with --service image to see them";

/// Why nothing is imported.
const NO_IMPORT: &str =
    "nothing can be imported through the Compute API: mount this cloud with --service image, and import it there";

/// Why a file is only to be read that tells what the service makes of an image.
const ONLY_TOLD: &str = "the service tells this, and nobody can set it";

/// Why properties stay that could be changed but for what becomes of the image.
const SEEN_BY_OTHERS: &str = "others see this image too, and the Compute service makes such an image private with every change of its \
                              properties: change it in a mount with --service image, or mount with --allow-visibility-change";

/// Why there are no plain files.
const NO_FILES: &str = "files/ is there to make images, which the Compute API does not do: each image is in by-name and by-id, \
                        and this cloud mounted with --service image has files/";

/// Why something cannot be changed, whoever tries; `None` where the service takes changes.
pub(super) fn why_not(node: &Node, offers: Offers) -> Option<&'static str> {
    let unless = |may: bool, why| (!may).then_some(why);
    match node {
        Node::Data(_) => unless(offers.making, NO_UPLOAD),
        Node::Document(_, Document::Metadata)
        | Node::Collection(_, _, Collection::Properties)
        | Node::Item(_, Collection::Properties, _) => offers.why_no_properties(),
        Node::Document(_, Document::Status) => unless(offers.status, NO_STATUS),
        Node::Document(_, Document::Progress | Document::Server) => Some(ONLY_TOLD),
        Node::Document(_, Document::Checksums | Document::Import) => unless(offers.making, NO_IMPORT),
        Node::Collection(_, _, Collection::Tags) | Node::Item(_, Collection::Tags, _) => unless(offers.tags, NO_TAGS),
        Node::Collection(_, _, Collection::Members) | Node::Item(_, Collection::Members, _) => {
            unless(offers.members, NO_MEMBERS)
        }
        Node::Root
        | Node::Images(_)
        | Node::Image(..)
        | Node::Files
        | Node::Control
        | Node::ControlFile(_)
        | Node::Scratch(_)
        | Node::Queries
        | Node::Query(_)
        | Node::Link(..) => None,
    }
}

/// The same for an image, of which it may be known that others see it.
pub(super) fn why_not_of(node: &Node, image: &Image, offers: Offers) -> Option<&'static str> {
    let is_seen = offers.api == Api::Compute && matches!(image.visibility, Visibility::Shared | Visibility::Community);
    why_not(node, offers).or_else(|| (is_seen && is_of_properties(node)).then_some(SEEN_BY_OTHERS))
}

/// Whether to change a file or folder is to change properties.
pub(super) fn is_of_properties(node: &Node) -> bool {
    matches!(
        node,
        Node::Document(_, Document::Metadata)
            | Node::Collection(_, _, Collection::Properties)
            | Node::Item(_, Collection::Properties, _)
    )
}

/// Why an image folder has not one of its parts; `None` where it has, as far as the service goes.
fn why_absent(part: Part, offers: Offers) -> Option<&'static str> {
    (!part.is_offered(offers)).then_some(match part {
        Part::Data => NO_DATA,
        Part::Document(Document::Checksums) => NO_CHECKSUMS,
        Part::Document(Document::Import) => NO_IMPORT,
        Part::Collection(Collection::Tags) => NO_TAGS,
        Part::Collection(Collection::Members) => NO_MEMBERS,
        Part::Document(_) | Part::Collection(Collection::Properties) => ONLY_TOLD,
    })
}

impl FileSystem {
    /// Where a file called `name` in `folder` is a scratch file.
    pub(super) fn place_of(&self, folder: &Node, name: &str) -> Option<Place> {
        Place::of(folder, name, self.offers.api)
    }

    /// Refuses what the service does not offer to be changed.
    pub(super) fn changeable(&self, node: &Node) -> Result<()> {
        refused(why_not(node, self.offers))
    }

    /// The same for a file that is written as a whole. A document in which nothing differs changes nothing, so that one is
    /// looked at first.
    pub(super) fn may_be_written(&self, node: &Node) -> Result<()> {
        if matches!(node, Node::Document(_, Document::Metadata)) { Ok(()) } else { self.changeable(node) }
    }

    /// Refuses to set or remove a property of an image where the service does not offer that.
    pub(super) fn takes_properties(&self) -> Result<()> {
        refused(self.offers.why_no_properties())
    }

    /// Refuses to make an image where none can be made.
    pub(super) fn makes_images(&self) -> Result<()> {
        refused((!self.offers.making).then_some(NO_IMAGES))
    }

    /// Refuses to give an image another name where it keeps the one that it has.
    pub(super) fn renames_images(&self) -> Result<()> {
        refused((!self.offers.making).then_some(NO_RENAMING))
    }

    /// Why a folder that is no image cannot be made.
    pub(super) fn only_images(&self) -> FsError {
        FsError::NotPermitted(if self.offers.making { ONLY_IMAGES } else { NO_FOLDERS })
    }

    /// Why what is no image and no file of a collection keeps its name.
    pub(super) fn only_renamed(&self) -> FsError {
        FsError::NotPermitted(if self.offers.making { ONLY_RENAMED } else { ONLY_PROPERTIES_RENAMED })
    }

    /// Refuses to make a part of an image folder that no image has here.
    pub(super) fn is_part(&self, part: Part) -> Result<()> {
        refused(why_absent(part, self.offers))
    }

    /// Tells of a part that no image has here that there is none.
    pub(super) fn has_part(&self, part: Part) -> Result<()> {
        why_absent(part, self.offers).map_or(Ok(()), |why| Err(FsError::Absent(why)))
    }

    /// Tells where there are no plain files that there are none.
    pub(super) fn has_files(&self) -> Result<()> {
        if self.offers.making { Ok(()) } else { Err(FsError::Absent(NO_FILES)) }
    }

    /// Whether somebody is removing all of an image, file by file. What a program that removes a folder with all that is in
    /// it meets first is hidden by then; nobody removes those files for another reason.
    ///
    /// Where each removal of a property is a call that may make the image private or is refused for that, it is only
    /// remembered then, as that of the other files is.
    pub(super) fn is_being_removed(&self, id: ImageId) -> bool {
        let is_hidden = |document| self.removals.is_hidden(&Node::Document(id, document));
        self.offers.api == Api::Compute && is_hidden(Document::Metadata) && is_hidden(Document::Status)
    }
}

fn refused(why: Option<&'static str>) -> Result<()> {
    why.map_or(Ok(()), |why| Err(FsError::NotPermitted(why)))
}

/// The id of the server that an image was made of, where the service tells of one.
pub(super) fn server_of(image: &Image) -> Option<&str> {
    image.other.get("server")?.get("id")?.as_str()
}
