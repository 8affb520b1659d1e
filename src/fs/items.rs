//! `tags/`, `properties/` and `members/`: each file is one of them, made, removed, renamed and written as such.

use std::collections::HashSet;
use std::sync::Arc;

use super::commit::{text_value, value_of};
use super::document::{self, Item, Meant};
use super::error::FsError;
use super::inode::Ino;
use super::node::{Collection, Node, View};
use super::tree::unnameable;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, MemberStatus, Visibility};
use crate::name;
use crate::schema::Schema;
use crate::service::{Change, Kind};
use crate::sync::{Mutex, MutexGuard, lock};

/// Why an entry is no tag, property or member.
const NO_ITEM: &str = "a '%' is written %25 here";

/// Properties that were made and have no value yet. The service knows them from their first value on: so a shell's
/// `echo x > properties/p` is one request.
#[derive(Default)]
pub(super) struct Begun(Mutex<HashSet<(ImageId, Box<str>)>>);

impl Begun {
    fn add(&self, image: ImageId, entry: &str) {
        self.all().insert((image, entry.into()));
    }

    /// It has a value, or is gone. Answers whether it had none.
    fn remove(&self, image: ImageId, entry: &str) -> bool {
        self.all().remove(&(image, entry.into()))
    }

    fn has(&self, image: ImageId, entry: &str) -> bool {
        self.all().contains(&(image, entry.into()))
    }

    /// The image is gone, and what was begun in it.
    pub(super) fn forget(&self, image: ImageId) {
        self.all().retain(|(of, _)| *of != image);
    }

    fn of(&self, image: ImageId) -> Vec<Box<str>> {
        self.all().iter().filter(|(of, _)| *of == image).map(|(_, entry)| entry.clone()).collect()
    }

    fn all(&self) -> MutexGuard<'_, HashSet<(ImageId, Box<str>)>> {
        lock(&self.0)
    }
}

impl FileSystem {
    /// The entries of a collection; asks for the members where they are meant.
    pub(super) async fn items(&self, image: &Image, collection: Collection) -> Result<Vec<Item>> {
        let members = match collection {
            Collection::Members => self.catalogue.members(image).await?.value,
            Collection::Tags | Collection::Properties => Arc::default(),
        };
        let begun = if collection == Collection::Properties { self.begun.of(image.id) } else { Vec::new() };
        let begun = begun.iter().filter_map(|entry| name::decode_item(entry));
        let begun = begun.filter(|name| !image.properties.contains_key(name)).collect();
        Ok(document::items(image, collection, &members, begun))
    }

    /// One of them.
    pub(super) async fn item(&self, image: &Image, collection: Collection, entry: &str) -> Result<Item> {
        let items = self.items(image, collection).await?;
        match document::meant(&items, entry) {
            Meant::One(item) => Ok(item.clone()),
            Meant::Nothing | Meant::Several => {
                let folder = Node::Collection(image.id, View::ById, collection).path();
                Err(FsError::NotFound { folder, name: entry.to_owned() })
            }
        }
    }

    /// The tag, property or project that an entry stands for, whether there is one already or not.
    async fn name_for(&self, image: &Image, collection: Collection, entry: &str) -> Result<String> {
        if document::may_be_cut(entry) {
            match document::meant(&self.items(image, collection).await?, entry) {
                Meant::One(item) => return Ok(item.name.clone()),
                Meant::Several => return Err(FsError::Ambiguous(entry.to_owned())),
                Meant::Nothing => {}
            }
        }
        item_name(image.id, collection, entry)
    }

    /// Makes a tag, a member, or a property without a value.
    pub(super) async fn make_item(&self, id: ImageId, collection: Collection, entry: &str) -> Result<()> {
        let image = self.catalogue.image(id).await?.value;
        let name = self.name_for(&image, collection, entry).await?;
        match collection {
            Collection::Tags => self.add_tag(id, &name).await,
            Collection::Members => self.add_member(&image, &name).await,
            Collection::Properties => {
                self.check_name(&name).await?;
                self.begun.add(id, entry);
                Ok(())
            }
        }
    }

    /// Removes a tag, a member or a property.
    pub(super) async fn remove_item(&self, image: &Image, collection: Collection, entry: &str) -> Result<()> {
        let removed = self.remove_known(image, collection, entry).await;
        if removed.is_ok() {
            self.draft_removed(&Node::Item(image.id, collection, entry.into()));
        }
        removed
    }

    async fn remove_known(&self, image: &Image, collection: Collection, entry: &str) -> Result<()> {
        let id = image.id;
        let name = self.item(image, collection, entry).await?.name;
        match collection {
            Collection::Properties if self.begun.remove(id, entry) && !image.properties.contains_key(&name) => Ok(()),
            Collection::Properties => self.update(id, &[Change::remove(name)]).await,
            Collection::Tags => {
                let _turn = self.editing.turn(id).await;
                self.service.remove_tag(id, &name).await.map_err(FsError::Change)?;
                self.catalogue.amend(id, |image| image.tags.retain(|tag| *tag != name));
                Ok(())
            }
            Collection::Members => {
                let removed = self.service.remove_member(id, &name).await;
                self.catalogue.forget_members(id);
                removed.map_err(FsError::Change)
            }
        }
    }

    /// Makes `text` what the file of a tag, a member or a property holds; makes it, where there is none.
    pub(super) async fn commit_item(&self, id: ImageId, collection: Collection, entry: &str, text: &str) -> Result<()> {
        let image = self.catalogue.image(id).await?.value;
        let known = match self.item(&image, collection, entry).await {
            Err(FsError::NotFound { .. }) => None,
            other => Some(other?),
        };
        let name = match &known {
            Some(item) => item.name.clone(),
            None => self.name_for(&image, collection, entry).await?,
        };
        match collection {
            Collection::Tags if !text.trim().is_empty() => Err(FsError::TagText),
            Collection::Tags if known.is_some() => Ok(()),
            Collection::Tags => self.add_tag(id, &name).await,
            Collection::Members => self.commit_member(&image, &name, text, known.is_some()).await,
            Collection::Properties => self.commit_property(id, entry, &name, text).await,
        }
    }

    async fn commit_property(&self, id: ImageId, entry: &str, name: &str, text: &str) -> Result<()> {
        self.check_property(name, value_of(text)).await?;
        self.update(id, &[Change::set(name, text_value(text))]).await?;
        self.begun.remove(id, entry);
        Ok(())
    }

    /// Refuses what is no property, or cannot have this value.
    async fn check_property(&self, name: &str, value: &str) -> Result<()> {
        let schema = self.check_name(name).await?;
        schema.check(name, &value.into()).map_err(FsError::Misfit)
    }

    /// Refuses the name of what is no property.
    async fn check_name(&self, name: &str) -> Result<Arc<Schema>> {
        let schema = self.schema().await;
        if schema.is_attribute(name) || schema.is_read_only(name) {
            return Err(FsError::Attribute(document::shown(name)));
        }
        Ok(schema)
    }

    async fn add_tag(&self, id: ImageId, tag: &str) -> Result<()> {
        let _turn = self.editing.turn(id).await;
        self.service.add_tag(id, tag).await.map_err(FsError::Change)?;
        self.catalogue.amend(id, |image| {
            if let Err(place) = image.tags.binary_search_by(|known| known.as_str().cmp(tag)) {
                image.tags.insert(place, tag.to_owned());
            }
        });
        Ok(())
    }

    async fn add_member(&self, image: &Image, project: &str) -> Result<()> {
        // Somebody else may have shared it since the last look.
        if image.visibility != Visibility::Shared && self.look(image.id).await?.visibility != Visibility::Shared {
            return Err(FsError::Unshared(image.id));
        }
        let added = self.service.add_member(image.id, project).await;
        self.catalogue.forget_members(image.id);
        added.map(drop).map_err(FsError::Change)
    }

    async fn commit_member(&self, image: &Image, project: &str, text: &str, is_known: bool) -> Result<()> {
        let word = text.trim();
        let wanted = MemberStatus::from(word);
        if matches!(wanted, MemberStatus::Other(_)) {
            return Err(FsError::NoMemberStatus(document::shown(word)));
        }
        if !is_known {
            self.add_member(image, project).await?;
            if wanted == MemberStatus::Pending {
                return Ok(());
            }
        }
        let outcome = self.service.set_member(image.id, project, &wanted).await;
        self.catalogue.forget_members(image.id);
        match outcome {
            Ok(_) => {
                if wanted == MemberStatus::Accepted && self.service.project() == Some(project) {
                    // Its listing shows it from now on.
                    self.catalogue.learn(image.clone());
                }
                Ok(())
            }
            // It is a member now, and what it thinks of that is its own to say.
            Err(error) if error.kind == Kind::Forbidden && !is_known => Ok(()),
            Err(error) if error.kind == Kind::Forbidden && self.is_so(image, project, &wanted).await => Ok(()),
            Err(error) if error.kind == Kind::Forbidden && self.may_share(image, project).await => Ok(()),
            Err(error) => Err(FsError::Change(error)),
        }
    }

    /// Whether who shares an image may leave the status out: it is another project's to set, and a backup that is put back
    /// has it. To share what is shared already changes nothing, and shows whether he may.
    async fn may_share(&self, image: &Image, project: &str) -> bool {
        self.service.project() != Some(project) && self.add_member(image, project).await.is_ok()
    }

    /// Whether a member has this status: who may not change it may say what it is.
    async fn is_so(&self, image: &Image, project: &str, status: &MemberStatus) -> bool {
        let members = self.catalogue.members(image).await;
        members.is_ok_and(|seen| seen.value.iter().any(|member| member.project == project && member.status == *status))
    }

    /// Gives a tag or a property another name.
    pub(super) async fn rename_item(&self, id: ImageId, collection: Collection, from: &str, to: &str) -> Result<()> {
        let _turn = self.editing.turn(id).await;
        let image = self.look(id).await?;
        let item = self.item(&image, collection, from).await?;
        let name = self.name_for(&image, collection, to).await?;
        let renamed = self.rename_known(&image, collection, item, name, from).await;
        if renamed.is_ok() {
            self.draft_removed(&Node::Item(id, collection, from.into()));
        }
        renamed
    }

    async fn rename_known(
        &self,
        image: &Image,
        collection: Collection,
        item: Item,
        name: String,
        from: &str,
    ) -> Result<()> {
        let id = image.id;
        match collection {
            Collection::Members => Err(FsError::NotPermitted("a member cannot become another project")),
            Collection::Tags => {
                let mut tags: Vec<_> = image.tags.iter().filter(|tag| **tag != item.name).cloned().collect();
                tags.push(name);
                self.update(id, &[Change::set("tags", tags)]).await
            }
            Collection::Properties => {
                self.removable(id).await?;
                self.check_property(&name, value_of(&item.text)).await?;
                // One that was begun is not there to be removed.
                let removal = image.properties.contains_key(&item.name).then(|| Change::remove(item.name));
                let set = Change::set(name, text_value(&item.text));
                let changes: Vec<_> = removal.into_iter().chain([set]).collect();
                self.update(id, &changes).await?;
                self.begun.remove(id, from);
                Ok(())
            }
        }
    }

    /// The property that was made and has no value yet, if `node` is one.
    pub(super) fn begun_of(&self, node: &Node) -> Option<(ImageId, Box<str>)> {
        match node {
            Node::Item(id, Collection::Properties, entry) if self.begun.has(*id, entry) => Some((*id, entry.clone())),
            _ => None,
        }
    }

    /// Nothing comes of a property that was made and has no value yet. Answers whether `node` was one.
    pub(super) fn give_up_begun(&self, node: &Node) -> bool {
        self.begun_of(node).is_some_and(|(image, entry)| self.begun.remove(image, &entry))
    }

    /// Notes what came of a write to a small file. Where a property was refused that had no value yet there is none, and who
    /// looks for the reason finds the folder.
    pub(super) fn noted_write(&self, ino: Ino, node: &Node, outcome: Result<()>) -> Result<()> {
        let is_gone = outcome.is_err() && self.give_up_begun(node);
        let outcome = self.noted(ino, node, outcome);
        if let (true, Node::Item(id, collection, _)) = (is_gone, node) {
            for view in View::ALL {
                let folder = Node::Collection(*id, view, *collection);
                self.failures.tell_also(self.inodes.number(&folder), ino);
            }
        }
        outcome
    }

    /// Somebody made a property and wants it to be there as it is: without a value.
    pub(super) async fn settle_begun(&self, id: ImageId, entry: &str) -> Result<()> {
        if !self.begun.has(id, entry) {
            return Ok(());
        }
        let node = Node::Item(id, Collection::Properties, entry.into());
        let outcome = self.commit_item(id, Collection::Properties, entry, "").await;
        self.noted_write(self.inodes.number(&node), &node, outcome)
    }
}

/// The tag, property or project that a new entry stands for.
fn item_name(id: ImageId, collection: Collection, entry: &str) -> Result<String> {
    let folder = || Node::Collection(id, View::ById, collection);
    name::decode_item(entry).ok_or_else(|| unnameable(&folder(), entry, NO_ITEM))
}
