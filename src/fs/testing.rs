//! An Image service in memory, for tests of the filesystem.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use md5::{Digest, Md5};
use sha2::Sha512;
use tokio::sync::Semaphore;

use super::FileSystem;
use crate::image::{
    Checksum, Checksums, Image, ImageId, Member, MemberStatus, Status, Task, TaskStatus, Text, Usage, Visibility,
};
use crate::schema::Schema;
use crate::service::page::Contents;
use crate::service::{
    Action, ByteStream, Change, ImageService, Kind, ListQuery, Marker, NewImage, Offers, Outgoing, Page, Result,
    ServiceError, Source,
};

/// The id of the n-th image.
pub(crate) fn id(n: u32) -> ImageId {
    format!("{n:08}-0000-4000-8000-000000000000").parse().unwrap()
}

/// An active image of five bytes; without a name where `name` is empty.
pub(crate) fn image(n: u32, name: &str) -> Image {
    Image {
        id: id(n),
        name: Some(name.to_owned()),
        status: Status::Active,
        visibility: Visibility::Shared,
        owner: Some("own".into()),
        size: Some(5),
        virtual_size: None,
        disk_format: Some("raw".into()),
        container_format: Some("bare".into()),
        checksums: Checksums { md5: Some("5d41402abc4b2a76b9719d911017c592".into()), ..Checksums::default() },
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        updated_at: "2026-02-03T04:05:06Z".parse().unwrap(),
        protected: false,
        hidden: false,
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        stores: Vec::new(),
        properties: crate::image::Properties::default(),
        other: crate::image::Attributes::default(),
    }
}

/// The images of a page, by its number, and what is odd about it.
pub(crate) type MadeUp = fn(u32) -> (Vec<Arc<Image>>, Vec<String>);

/// What the tests change behind the filesystem's back. The bytes of every image are `hello`, over and over, unless others
/// were uploaded.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) images: Vec<Image>,
    /// Shown by id and in no listing.
    pub(crate) hidden: Vec<Image>,
    /// The members of every image.
    pub(crate) members: Vec<Member>,
    /// The tasks of every image, the newest last.
    pub(crate) tasks: Vec<(ImageId, Task)>,
    pub(crate) usage: Option<Usage>,
    /// What the service offers, if not everything.
    pub(crate) offers: Option<Offers>,
    /// Images with what has to be known before their bytes are read, where they are listed without it.
    pub(crate) with_data: BTreeMap<ImageId, Image>,
    /// Whose images are and who sees them, where they are listed without it.
    pub(crate) rights: BTreeMap<ImageId, (Option<Text>, Visibility)>,
    /// Whether who asks is one.
    pub(crate) is_administrator: bool,
    /// Whether bytes never arrive.
    pub(crate) stalled: bool,
    /// What every call fails with.
    pub(crate) failing: Option<Kind>,
    /// What calls of a name are refused with, and the service's words for it.
    pub(crate) refusing: BTreeMap<&'static str, (Kind, &'static str)>,
    /// Calls of a name, whose answers are on their way until the test lets them arrive.
    pub(crate) holding: BTreeMap<&'static str, Arc<Semaphore>>,
    /// The calls so far, by name.
    pub(crate) calls: Vec<&'static str>,
    /// Images a page.
    pub(crate) page: usize,
    /// The page that each page says is the next one.
    pub(crate) endless: Option<Marker>,
    /// Its pages, where it lists what there is not. There is always another one.
    pub(crate) makes_up: Option<MadeUp>,
    /// It makes up nothing where there is a filter.
    pub(crate) filters: bool,
    /// The page behind this one cannot be read.
    pub(crate) broken_behind: Option<Marker>,
    /// What its pages look as if they went on behind.
    pub(crate) looks_like: Option<Marker>,
    /// What was listed.
    pub(crate) queries: Vec<ListQuery>,
    /// What was uploaded.
    pub(crate) uploaded: BTreeMap<ImageId, Bytes>,
}

/// The service; clones share the world.
#[derive(Clone, Default)]
pub(crate) struct Fake(pub(super) Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn with(images: impl IntoIterator<Item = Image>) -> Self {
        let world = World { images: images.into_iter().collect(), page: 1000, ..World::default() };
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    #[cfg(test)]
    pub(crate) fn calls(&self, name: &str) -> usize {
        self.change(|world| world.calls.iter().filter(|call| **call == name).count())
    }

    /// Waits until the test lets the answer to a call arrive.
    async fn arrives(&self, name: &str) {
        let held = self.change(|world| world.holding.get(name).cloned());
        if let Some(held) = held {
            held.acquire().await.unwrap().forget();
        }
    }

    fn call<T>(&self, name: &'static str, answer: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        self.change(|world| {
            world.calls.push(name);
            if let Some((kind, words)) = world.refusing.get(name).cloned() {
                return Err(ServiceError::new(kind, name).with_words(words));
            }
            match world.failing.clone() {
                Some(kind) => Err(ServiceError::new(kind, name)),
                None => answer(world),
            }
        })
    }
}

fn known(world: &World, image: ImageId) -> Result<Image> {
    let found = world.images.iter().chain(&world.hidden).find(|known| known.id == image);
    found.cloned().ok_or_else(|| ServiceError::new(Kind::NotFound, format!("show image {image}")))
}

#[async_trait]
impl ImageService for Fake {
    fn project(&self) -> Option<&str> {
        Some("own")
    }

    fn is_administrator(&self) -> bool {
        self.change(|world| world.is_administrator)
    }

    fn offers(&self) -> Offers {
        self.change(|world| world.offers.unwrap_or(Offers::IMAGE))
    }

    async fn list(&self, query: &ListQuery, marker: Option<&Marker>) -> Result<Page> {
        let name = query.filters.iter().find_map(|(key, name)| (key == "name").then_some(name));
        let call = if name.is_some() { "named" } else { "list" };
        let answer = self.call(call, |world| {
            world.queries.push(query.clone());
            if marker.is_some() && marker == world.broken_behind.as_ref() {
                return Err(ServiceError::new(Kind::Malformed, "list"));
            }
            let is_honest = world.filters && !query.filters.is_empty();
            if let Some(makes_up) = world.makes_up.filter(|_| !is_honest) {
                let page = u32::try_from(world.queries.len()).unwrap();
                let next = Some(Marker(page.to_string()));
                let (images, odd) = makes_up(page);
                return Ok(Page::unread(move || Ok(Contents::of(images, odd, next)), None));
            }
            let mut images = world.images.clone();
            images.retain(|image| name.is_none_or(|name| image.name.as_ref() == Some(name)));
            for (_, value) in query.filters.iter().filter(|(key, _)| key == "updated_at") {
                let from = value.strip_prefix("gte:").expect("no other comparison is known");
                let from: Timestamp = from.parse().unwrap();
                images.retain(|image| image.updated_at >= from);
            }
            let start = match marker {
                None => 0,
                Some(marker) => images
                    .iter()
                    .position(|image| image.id.as_str() == marker.0)
                    .map(|at| at + 1)
                    .ok_or_else(|| ServiceError::new(Kind::MarkerGone, "list"))?,
            };
            let images: Vec<_> = images.into_iter().skip(start).take(world.page).collect();
            let next = images.last().filter(|_| images.len() == world.page).map(|image| Marker::from(image.id));
            let mut page = Page::of(images, world.endless.clone().or(next));
            page.likely_next = world.looks_like.clone().or(page.likely_next);
            Ok(page)
        });
        self.arrives(call).await;
        answer
    }

    async fn show(&self, image: ImageId) -> Result<Image> {
        let answer = self.call("show", |world| known(world, image));
        self.arrives("show").await;
        answer
    }

    async fn members(&self, _image: ImageId) -> Result<Vec<Member>> {
        let answer = self.call("members", |world| Ok(world.members.clone()));
        self.arrives("members").await;
        answer
    }

    async fn with_data(&self, image: Image) -> Result<Image> {
        let answer = self.call("with_data", |world| Ok(world.with_data.get(&image.id).cloned().unwrap_or(image)));
        self.arrives("with_data").await;
        answer
    }

    async fn with_rights(&self, image: Image) -> Result<Image> {
        self.call("with_rights", |world| {
            let told = world.rights.get(&image.id).cloned();
            let (owner, visibility) = told.unwrap_or((image.owner.clone(), image.visibility.clone()));
            Ok(Image { visibility, owner, ..image })
        })
    }

    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream> {
        self.call("read", |world| {
            known(world, source.image)?;
            if world.stalled {
                return Ok(futures_util::stream::pending().boxed());
            }
            if let Some(bytes) = world.uploaded.get(&source.image) {
                let part = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                return Ok(futures_util::stream::iter([Ok(bytes.slice(part))]).boxed());
            }
            let letters = b"hello".iter().copied().cycle().skip(usize::try_from(range.start % 5).unwrap());
            let bytes: Bytes = letters.take(usize::try_from(range.end - range.start).unwrap()).collect();
            Ok(futures_util::stream::iter([Ok(bytes)]).boxed())
        })
    }

    async fn read_all(&self, source: &Source) -> Result<ByteStream> {
        self.read_range(source, 0..source.size).await
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        let told = self.call("usage", |world| Ok(world.usage));
        self.arrives("usage").await;
        told
    }

    async fn create(&self, new: &NewImage) -> Result<Image> {
        self.call("create", |world| {
            if known(world, new.id).is_ok() {
                return Err(ServiceError::new(Kind::Conflict, "create"));
            }
            let made = Image {
                id: new.id,
                name: new.name.clone(),
                status: Status::Queued,
                visibility: new.visibility.clone().unwrap_or(Visibility::Shared),
                size: None,
                disk_format: new.disk_format.clone(),
                container_format: new.container_format.clone(),
                checksums: Checksums::default(),
                tags: new.tags.clone(),
                properties: new.properties.clone(),
                ..image(0, "")
            };
            world.images.push(made.clone());
            Ok(made)
        })
    }

    async fn delete(&self, image: ImageId) -> Result<()> {
        self.call("delete", |world| {
            if known(world, image)?.protected {
                return Err(ServiceError::new(Kind::Forbidden, "delete"));
            }
            world.images.retain(|known| known.id != image);
            world.hidden.retain(|known| known.id != image);
            Ok(())
        })
    }

    async fn update(&self, image: ImageId, changes: &[Change]) -> Result<Image> {
        self.call("update", |world| {
            let found = changing(world, image)?;
            for change in changes {
                apply(found, change);
            }
            Ok(found.clone())
        })
    }

    async fn upload(&self, outgoing: Outgoing) -> Result<()> {
        self.call("upload", |world| match changing(world, outgoing.image)?.status {
            Status::Queued => Ok(()),
            _ => Err(ServiceError::new(Kind::Conflict, "upload")),
        })?;
        let bytes = outgoing.body.try_collect::<Vec<_>>().await?.concat();
        assert_eq!(bytes.len() as u64, outgoing.size, "as many bytes as announced");
        self.change(|world| {
            let found = changing(world, outgoing.image)?;
            (found.status, found.size) = (Status::Active, Some(outgoing.size));
            found.checksums.md5 = Some(hex(&Md5::digest(&bytes)));
            found.checksums.algorithm = Some("sha512".into());
            found.checksums.value = Some(hex(&Sha512::digest(&bytes)));
            world.uploaded.insert(outgoing.image, bytes.into());
            Ok(())
        })
    }

    async fn act(&self, image: ImageId, action: Action) -> Result<()> {
        self.call("act", |world| {
            let found = changing(world, image)?;
            if !found.status.has_data() {
                return Err(ServiceError::new(Kind::Conflict, "act"));
            }
            found.status = match action {
                Action::Deactivate => Status::Deactivated,
                Action::Reactivate => Status::Active,
            };
            Ok(())
        })
    }

    async fn add_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        self.call("add_tag", |world| {
            let tags = &mut changing(world, image)?.tags;
            if let Err(at) = tags.binary_search_by(|present| present.as_str().cmp(tag)) {
                tags.insert(at, tag.into());
            }
            Ok(())
        })
    }

    async fn remove_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        self.call("remove_tag", |world| {
            let tags = &mut changing(world, image)?.tags;
            let at = tags.iter().position(|present| present == tag);
            let at = at.ok_or_else(|| ServiceError::new(Kind::NotFound, "remove_tag"))?;
            tags.remove(at);
            Ok(())
        })
    }

    async fn add_member(&self, image: ImageId, project: &str) -> Result<Member> {
        self.call("add_member", |world| {
            let members = sharing(world, image)?;
            if let Some(present) = members.iter().find(|member| member.project == project) {
                return Ok(present.clone());
            }
            let member = Member { project: project.to_owned(), status: MemberStatus::Pending, updated_at: None };
            members.push(member.clone());
            Ok(member)
        })
    }

    async fn remove_member(&self, image: ImageId, project: &str) -> Result<()> {
        self.call("remove_member", |world| {
            let members = sharing(world, image)?;
            let at = members.iter().position(|member| member.project == project);
            members.remove(at.ok_or_else(|| ServiceError::new(Kind::NotFound, "remove_member"))?);
            Ok(())
        })
    }

    /// The owner may not.
    async fn set_member(&self, image: ImageId, project: &str, status: &MemberStatus) -> Result<Member> {
        self.call("set_member", |world| {
            if known(world, image)?.owner.as_deref() == Some("own") {
                return Err(ServiceError::new(Kind::Forbidden, "set_member"));
            }
            let member = sharing(world, image)?.iter_mut().find(|member| member.project == project);
            let member = member.ok_or_else(|| ServiceError::new(Kind::NotFound, "set_member"))?;
            member.status = status.clone();
            Ok(member.clone())
        })
    }

    /// It begins, and goes on when the test says so.
    async fn import(&self, image: ImageId, url: &str) -> Result<()> {
        self.call("import", |world| {
            let found = changing(world, image)?;
            if found.status != Status::Queued {
                return Err(ServiceError::new(Kind::Conflict, "import"));
            }
            found.status = Status::Importing;
            let task = Task {
                id: format!("task-{}", world.tasks.len()),
                kind: "api_image_import".to_owned(),
                status: TaskStatus::Processing,
                message: String::new(),
                method: Some("web-download".to_owned()),
                uri: Some(url.to_owned()),
                created_at: None,
                request_id: Some("req-import".to_owned()),
            };
            world.tasks.push((image, task));
            Ok(())
        })
    }

    async fn tasks(&self, image: ImageId) -> Result<Vec<Task>> {
        self.call("tasks", |world| {
            let own = world.tasks.iter().filter(|(of, _)| *of == image);
            Ok(own.map(|(_, task)| task.clone()).collect())
        })
    }

    async fn schema(&self) -> Result<Arc<Schema>> {
        self.call("schema", |_| Ok(Arc::new(Schema::builtin())))
    }
}

/// The members, where the image may have any.
fn sharing(world: &mut World, image: ImageId) -> Result<&mut Vec<Member>> {
    match known(world, image)?.visibility {
        Visibility::Shared => Ok(&mut world.members),
        _ => Err(ServiceError::new(Kind::Forbidden, "share")),
    }
}

fn hex(hash: &[u8]) -> Checksum {
    hash.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}")).into()
}

fn changing(world: &mut World, image: ImageId) -> Result<&mut Image> {
    let found = world.images.iter_mut().chain(&mut world.hidden).find(|known| known.id == image);
    found.ok_or_else(|| ServiceError::new(Kind::NotFound, format!("change image {image}")))
}

fn apply(image: &mut Image, change: &Change) {
    let (key, value) = match change {
        Change::Remove { key } => return drop(image.properties.remove(key.as_str())),
        Change::Set { key, value } => (key.as_str(), value),
    };
    let text = || value.as_str().map(str::to_owned);
    match key {
        "name" => image.name = text(),
        "disk_format" => image.disk_format = text().map(Text::from),
        "container_format" => image.container_format = text().map(Text::from),
        "visibility" => image.visibility = value.as_str().unwrap().into(),
        "protected" => image.protected = value.as_bool().unwrap(),
        "min_disk" => image.min_disk = value.as_u64().unwrap(),
        "min_ram" => image.min_ram = value.as_u64().unwrap(),
        "os_hidden" => image.hidden = value.as_bool().unwrap(),
        "tags" => image.tags = value.as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().into()).collect(),
        property => drop(image.properties.insert(property.into(), text().unwrap().into())),
    }
}

impl FileSystem {
    /// What the blocks on disk would say is the complete file of every image.
    #[cfg(test)]
    pub(crate) fn seal(&self, file: std::fs::File) {
        self.sealed_by_test.set(Arc::new(file)).unwrap();
    }

    /// How many files and folders are open.
    #[cfg(test)]
    pub(crate) fn open_handles(&self) -> usize {
        self.handles.len()
    }
}
