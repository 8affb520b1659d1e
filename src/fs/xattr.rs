//! Extended attributes: `user.glance.<attribute>` of an image, `user.glancefs.error` and what else the mount knows
//! of a file.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use serde_json::Value;

use super::error::FsError;
use super::failures::Failed;
use super::inode::Ino;
use super::node::Node;
use super::{FileSystem, Result, document};
use crate::image::{Image, ImageId};
use crate::read::Verified;
use crate::service::Api;

const ATTRIBUTE: &str = "user.glance.";
const ERROR: &str = "user.glancefs.error";
/// The same for programs, with all that is known of it: its line in `.glancefs/errors`. In no list of attributes, since it
/// says nothing that people would not find in the sentence.
const FAILURE: &str = "user.glancefs.failure";
/// The same of a folder for a name in it, which stands behind the dot: of what could not be made, no file tells.
const FAILURE_OF: &str = "user.glancefs.failure.";
/// What keeps the one who asks from changing it, a sentence on each line. In no list, since nothing failed.
const LIMITS: &str = "user.glancefs.limits";
/// How old in seconds what is shown is, while the service cannot be asked; else absent.
const STALE: &str = "user.glancefs.stale";
const VERIFIED: &str = "user.glancefs.verified";

impl FileSystem {
    /// The value of an extended attribute, as `user` asks for it.
    pub async fn getxattr(&self, ino: Ino, name: &OsStr, user: u32) -> Result<Vec<u8>> {
        let name = name.to_str().filter(|name| name.starts_with("user.")).ok_or(FsError::ForeignAttribute)?;
        let node = self.node(ino)?;
        let value = match (name.strip_prefix(ATTRIBUTE), node.image()) {
            (Some(attribute), Some(id)) => value_of(&self.catalogue.image(id).await?.value, attribute, self.offers.api),
            _ if name == ERROR => self.failures.last(ino).map(|failed| failed.sentence.clone()),
            _ if name == FAILURE => self.failures.last(ino).map(|failed| failed.to_json()),
            _ if name.starts_with(FAILURE_OF) => self.failure_of(&node, name).map(|failed| failed.to_json()),
            _ if name == LIMITS => self.limits(&node, user).await?,
            _ if name == VERIFIED => self.verdict(&node),
            _ if name == STALE => self.staleness(),
            _ => None,
        };
        value.map(String::into_bytes).ok_or(FsError::NoAttribute)
    }

    /// The names of the extended attributes: all on `data` and on an image's folder. Other files would only repeat
    /// them to whoever copies a tree with its attributes.
    pub async fn listxattr(&self, ino: Ino) -> Result<Vec<OsString>> {
        let node = self.node(ino)?;
        let mut names = Vec::new();
        if let Node::Data(id) | Node::Image(id, _) = &node {
            let image = self.catalogue.image(*id).await?.value;
            names.extend(names_of(&image, self.offers.api).map(|name| OsString::from(format!("{ATTRIBUTE}{name}"))));
        }
        names.extend(self.failures.last(ino).map(|_| ERROR.into()));
        names.extend(self.verdict(&node).map(|_| VERIFIED.into()));
        names.extend(self.staleness().filter(|_| node.image().is_some()).map(|_| STALE.into()));
        Ok(names)
    }

    /// Why a name of this folder could not be made, or the folder not be changed, whichever was last.
    fn failure_of(&self, folder: &Node, attribute: &str) -> Option<Arc<Failed>> {
        let name = attribute.strip_prefix(FAILURE_OF)?;
        self.failures.last_at(&[folder.told_in(name), folder.told()])
    }

    fn verdict(&self, node: &Node) -> Option<String> {
        let Node::Data(id) = node else { return None };
        self.verdict_of(*id).map(|verified| verified.to_string())
    }

    /// How far the bytes of an image were compared. Those who read have the last word: what was proved may have been dropped
    /// since, and come from the service again.
    pub(super) fn verdict_of(&self, image: ImageId) -> Option<Verified> {
        let (content, verified) = self.contents.verdict(image)?;
        Some(self.reads.verified(&content).unwrap_or(verified))
    }
}

/// An attribute or property as text; `None` where it is absent or null.
fn value_of(image: &Image, attribute: &str, api: Api) -> Option<String> {
    let (_, value) = document::lines_of(image, api).into_iter().find(|(name, _)| *name == attribute)?;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn names_of(image: &Image, api: Api) -> impl Iterator<Item = &str> {
    // The kernel's limit is 255 bytes with the prefix (XATTR_NAME_MAX of linux/limits.h).
    let fits = |name: &str| !name.is_empty() && name.len() + ATTRIBUTE.len() <= 255 && !name.contains('\0');
    document::lines_of(image, api)
        .into_iter()
        .filter(move |(name, value)| fits(name) && !value.is_null())
        .map(|(name, _)| name)
}
