//! `tags/`, `properties/` and `members/`: each file is one of them, made, removed, renamed and written as such.

use std::sync::Arc;

use serde_json::json;

use super::commit::{text_value, value_of};
use super::document::{self, Item, Meant};
use super::error::FsError;
use super::node::{Collection, Node, View};
use super::tree::unnameable;
use super::writing::Process;
use super::{FileSystem, Result};
use crate::image::{Image, ImageId, MemberStatus, Visibility};
use crate::name;
use crate::schema;
use crate::service::{Api, Change, Kind};

/// Why an entry is no tag, property or member.
const NO_ITEM: &str = "a '%' is written %25 here";

impl FileSystem {
    /// The entries of a collection; asks for the members where they are meant.
    pub(super) async fn items(&self, image: &Image, collection: Collection) -> Result<Vec<Item>> {
        let members = match collection {
            Collection::Members => self.catalogue.members(image).await?.value,
            Collection::Tags | Collection::Properties => Arc::default(),
        };
        let begun = self.begun.of(image.id, collection).iter().filter_map(|entry| name::decode_item(entry)).collect();
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
    pub(super) async fn name_for(&self, image: &Image, collection: Collection, entry: &str) -> Result<String> {
        if document::may_be_cut(entry) {
            match document::meant(&self.items(image, collection).await?, entry) {
                Meant::One(item) => return Ok(item.name.clone()),
                Meant::Several => return Err(FsError::Ambiguous(entry.to_owned())),
                Meant::Nothing => {}
            }
        }
        item_name(image.id, collection, entry)
    }

    /// Whether the service has it, as far as is known.
    pub(super) async fn has_item(&self, image: &Image, collection: Collection, name: &str) -> Result<bool> {
        Ok(match collection {
            Collection::Tags => image.tags.iter().any(|tag| tag == name),
            Collection::Members => self.catalogue.members(image).await?.value.iter().any(|one| one.project == name),
            Collection::Properties => image.properties.contains_key(name),
        })
    }

    /// Begins a tag, a member or a property; refuses what can be none.
    pub(super) async fn begin_item(&self, id: ImageId, collection: Collection, entry: &str) -> Result<()> {
        let image = self.catalogue.image(id).await?.value;
        let name = self.name_for(&image, collection, entry).await?;
        self.changeable(&Node::Item(id, collection, entry.into()))?;
        match collection {
            Collection::Tags => {}
            Collection::Members => self.sharing(&image).await?,
            Collection::Properties => self.check_name(&name).await?,
        }
        self.begin(id, collection, entry);
        Ok(())
    }

    /// Makes a tag, a member, or a property without a value.
    pub(super) async fn make_known(&self, image: &Image, collection: Collection, entry: &str) -> Result<()> {
        let name = self.name_for(image, collection, entry).await?;
        match collection {
            Collection::Tags => self.add_tag(image.id, &name).await?,
            Collection::Members => self.add_member(image, &name).await?,
            Collection::Properties => self.commit_property(image.id, &name, "").await?,
        }
        self.end_begun(&Node::Item(image.id, collection, entry.into()));
        Ok(())
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
        let is_begun = self.end_begun(&Node::Item(id, collection, entry.into()));
        if is_begun && !self.has_item(image, collection, &name).await? {
            return Ok(());
        }
        match collection {
            Collection::Properties => self.update(id, &[Change::remove(name)]).await,
            Collection::Tags => {
                let _turn = self.editing.turn(id).await;
                self.beside_data(id, || self.service.remove_tag(id, &name)).await?;
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
    /// `by` are those who wrote it.
    pub(super) async fn commit_item(
        &self,
        (id, collection, entry): (ImageId, Collection, &str),
        text: &str,
        by: &[Process],
    ) -> Result<()> {
        let image = self.catalogue.image(id).await?.value;
        let known = match self.item(&image, collection, entry).await {
            Err(FsError::NotFound { .. }) => None,
            other => Some(other?),
        };
        let name = match &known {
            Some(item) => item.name.clone(),
            None => self.name_for(&image, collection, entry).await?,
        };
        let is_known = known.is_some() && self.has_item(&image, collection, &name).await?;
        match collection {
            Collection::Tags if !text.trim().is_empty() => return Err(FsError::TagText),
            Collection::Tags if is_known => {}
            Collection::Tags => self.add_tag(id, &name).await?,
            Collection::Members => self.commit_member(&image, &name, text, is_known).await?,
            Collection::Properties if self.restorers.passes_over(&image, &name, value_of(text), by) => {}
            Collection::Properties => self.commit_property(id, &name, text).await?,
        }
        self.end_begun(&Node::Item(id, collection, entry.into()));
        Ok(())
    }

    async fn commit_property(&self, id: ImageId, name: &str, text: &str) -> Result<()> {
        self.check_property(name, value_of(text)).await?;
        self.update(id, &[Change::set(name, text_value(text))]).await
    }

    /// Refuses what is no property, or cannot have this value.
    async fn check_property(&self, name: &str, value: &str) -> Result<()> {
        self.takes_properties()?;
        self.check_name(name).await?;
        match self.offers.api {
            Api::Image => self.schema().await.check(name, &value.into()).map_err(FsError::Misfit),
            // What it does not take is known where it is asked.
            Api::Compute => Ok(()),
        }
    }

    /// Refuses the name of what is no property.
    async fn check_name(&self, name: &str) -> Result<()> {
        if self.offers.api == Api::Compute {
            return Ok(());
        }
        let schema = self.schema().await;
        if schema.is_attribute(name) {
            Err(FsError::Attribute(document::shown(name)))
        } else if schema.is_read_only(name) {
            Err(FsError::Reserved(document::shown(name)))
        } else {
            Ok(())
        }
    }

    async fn add_tag(&self, id: ImageId, tag: &str) -> Result<()> {
        let _turn = self.editing.turn(id).await;
        self.beside_data(id, || self.service.add_tag(id, tag)).await?;
        self.catalogue.amend(id, |image| {
            if let Err(place) = image.tags.binary_search_by(|known| known.as_str().cmp(tag)) {
                image.tags.insert(place, tag.into());
            }
        });
        Ok(())
    }

    /// Refuses members of an image that is not shared.
    async fn sharing(&self, image: &Image) -> Result<()> {
        // Somebody else may have shared it since the last look.
        if image.visibility != Visibility::Shared && self.look(image.id).await?.visibility != Visibility::Shared {
            return Err(FsError::Unshared(image.id));
        }
        Ok(())
    }

    async fn add_member(&self, image: &Image, project: &str) -> Result<()> {
        self.sharing(image).await?;
        match self.service.add_member(image.id, project).await {
            Ok(member) => {
                self.catalogue.shared(image.id, &member);
                Ok(())
            }
            Err(error) => {
                self.catalogue.forget_members(image.id);
                Err(FsError::Change(error))
            }
        }
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
            Collection::Members => return Err(FsError::NotPermitted("a member cannot become another project")),
            Collection::Tags => {
                let mut tags: Vec<_> = image.tags.iter().filter(|tag| **tag != item.name).cloned().collect();
                tags.push(name.into());
                self.update(id, &[Change::set("tags", json!(tags))]).await?;
            }
            Collection::Properties => {
                self.removable(id).await?;
                self.check_property(&name, value_of(&item.text)).await?;
                // One that was begun is not there to be removed.
                let removal = image.properties.contains_key(item.name.as_str()).then(|| Change::remove(item.name));
                let set = Change::set(name, text_value(&item.text));
                let changes: Vec<_> = removal.into_iter().chain([set]).collect();
                self.update(id, &changes).await?;
            }
        }
        self.end_begun(&Node::Item(id, collection, from.into()));
        Ok(())
    }
}

/// The tag, property or project that a new entry stands for.
fn item_name(id: ImageId, collection: Collection, entry: &str) -> Result<String> {
    let folder = || Node::Collection(id, View::ById, collection);
    let name = name::decode_item(entry).ok_or_else(|| unnameable(&folder(), entry, NO_ITEM))?;
    if schema::is_beyond(&name) { Err(unnameable(&folder(), entry, schema::NOT_BEYOND)) } else { Ok(name) }
}
