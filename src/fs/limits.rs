//! What cannot be changed, or not by everybody, and why: what the mode bits say, in words.
//!
//! The kernel refuses what they forbid before the mount hears of it, so that there is no failure which could be told
//! afterwards. Who asks for the reason is told what holds for the file.

use std::sync::Arc;

use super::control::ONLY_READ;
use super::create::ONLY_THESE;
use super::error::FsError;
use super::node::{Collection, ControlFile, Node};
use super::offered::{is_of_properties, why_not, why_not_of};
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, Text};
use crate::name::decode_item;
use crate::plain::Plain;
use crate::service::Api;
use crate::write::WriteError;

/// The user to whom the kernel forbids nothing.
const ROOT: u32 = 0;

/// Something that holds for a file, whoever tries what.
#[derive(Debug, thiserror::Error)]
enum Limit {
    /// Nobody can change it, for a reason that is an error wherever it is tried.
    #[error(transparent)]
    Error(#[from] FsError),
    /// The image is another project's.
    #[error("image {image} belongs to project {owner}, and is only to be read here: only that project changes it")]
    Anothers {
        /// The image.
        image: ImageId,
        /// Its project.
        owner: Text,
    },
    /// The status of a member is another project's to set.
    #[error(
        "only project {project} sets its status here: what anybody else writes shares image {image} with it, and nothing more"
    )]
    Theirs {
        /// The image.
        image: ImageId,
        /// The member.
        project: String,
    },
    /// Whose the image is, nobody tells before it is tried.
    #[error(
        "whether this project may change image {0} shows when it is tried: the Compute API does not tell whose it is and what this \
         login may do"
    )]
    Untold(ImageId),
    /// Everything belongs to another user.
    #[error(
        "all of this mount belongs to user {0}, and others may only read: mount it with --uid to give it to another user"
    )]
    User(u32),
}

impl FileSystem {
    /// What keeps `user` from changing a file or folder, a sentence on each line; `None` where nothing does.
    pub(super) async fn limits(&self, node: &Node, user: u32) -> Result<Option<String>> {
        let limits = match self.writable() {
            Err(read_only) => vec![read_only.into()],
            Ok(()) => self.limits_of(node, user).await?,
        };
        let lines: Vec<_> = limits.iter().map(|limit| Plain(limit).to_string()).collect();
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }

    async fn limits_of(&self, node: &Node, user: u32) -> Result<Vec<Limit>> {
        let mut limits = Vec::new();
        match (node, node.image()) {
            (Node::Root | Node::Control | Node::Queries | Node::Query(_) | Node::Link(..), _) => {
                limits.push(FsError::NotPermitted(ONLY_THESE).into());
            }
            (Node::ControlFile(ControlFile::Errors | ControlFile::Status | ControlFile::Metrics), _) => {
                limits.push(FsError::NotPermitted(ONLY_READ).into());
            }
            (_, Some(id)) => {
                let image = self.with_rights(self.catalogue.image(id).await?.value).await;
                let is_ours = self.rights_on_node(node, &image).change;
                let offers =
                    why_not_of(node, &image, self.offers).filter(|_| is_ours || why_not(node, self.offers).is_some());
                limits.extend(offers.map(|why| FsError::NotPermitted(why).into()));
                if matches!(node, Node::Data(_)) && image.status.has_data() && offers.is_none() {
                    limits.push(FsError::from(WriteError::Immutable(id)).into());
                }
                if let (false, Some(owner)) = (is_ours, image.owner.clone()) {
                    limits.push(Limit::Anothers { image: id, owner });
                }
                limits.extend(self.is_untold(node, &image).then_some(Limit::Untold(id)));
                if let Node::Item(_, Collection::Members, entry) = node
                    && let Some(project) = decode_item(entry).filter(|project| self.is_theirs(&image, project))
                {
                    limits.push(Limit::Theirs { image: id, project });
                }
                // The mount hears of every removal: who was refused one has been told so.
                if image.protected && self.failures.last(self.inodes.number(node)).is_none() {
                    limits.push(FsError::Protected(id).into());
                }
            }
            _ => {}
        }
        let owner = self.settings.owner.uid;
        limits.extend((user != owner && user != ROOT).then_some(Limit::User(owner)));
        Ok(limits)
    }

    /// An image with whose it is and who sees it, where the service shows that only to who asks for it. Where it cannot be
    /// asked, what is known already.
    async fn with_rights(&self, image: Arc<Image>) -> Arc<Image> {
        if self.offers.api == Api::Image {
            return image;
        }
        match self.service.with_rights(Image::clone(&image)).await {
            Ok(told) => {
                self.catalogue.completes(&told);
                told.into()
            }
            Err(error) => {
                tracing::debug!(image = %image.id, %error, "it could not be asked whose an image is");
                image
            }
        }
    }

    /// Whether a file could be changed as far as is known, and it is not known whose image it is.
    fn is_untold(&self, node: &Node, image: &Image) -> bool {
        let is_changed_here = matches!(node, Node::Image(..)) || is_of_properties(node);
        let is_known = image.owner.is_some() || why_not(node, self.offers).is_some();
        self.offers.api == Api::Compute && is_changed_here && !is_known
    }

    /// Whether who may share the image may not set this member's status.
    fn is_theirs(&self, image: &Image, project: &str) -> bool {
        let is_own = self.service.project().is_none_or(|own| own == project);
        !is_own && !self.service.is_administrator() && self.rights_on(image).change
    }
}
