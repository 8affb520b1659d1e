//! An Image service in memory, for tests of the filesystem.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use super::FileSystem;
use crate::image::{Checksums, Image, ImageId, Member, Status, Usage, Visibility};
use crate::service::{ByteStream, ImageService, Kind, ListQuery, Page, Result, ServiceError, Source};

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
        owner: Some("own".to_owned()),
        size: Some(5),
        virtual_size: None,
        disk_format: Some("raw".to_owned()),
        container_format: Some("bare".to_owned()),
        checksums: Checksums { md5: Some("5d41402abc4b2a76b9719d911017c592".into()), ..Checksums::default() },
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        updated_at: "2026-02-03T04:05:06Z".parse().unwrap(),
        protected: false,
        hidden: false,
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        stores: Vec::new(),
        properties: BTreeMap::new(),
        other: BTreeMap::new(),
    }
}

/// What the tests change behind the filesystem's back. The bytes of every image are `hello`, over and over.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) images: Vec<Image>,
    /// Shown by id and in no listing.
    pub(crate) hidden: Vec<Image>,
    pub(crate) members: Vec<Member>,
    pub(crate) usage: Option<Usage>,
    /// Whether bytes never arrive.
    pub(crate) stalled: bool,
    /// What every call fails with.
    pub(crate) failing: Option<Kind>,
    /// The calls so far, by name.
    pub(crate) calls: Vec<&'static str>,
    /// Images a page.
    pub(crate) page: usize,
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

    pub(crate) fn calls(&self, name: &str) -> usize {
        self.change(|world| world.calls.iter().filter(|call| **call == name).count())
    }

    fn call<T>(&self, name: &'static str, answer: impl FnOnce(&World) -> Result<T>) -> Result<T> {
        self.change(|world| {
            world.calls.push(name);
            match &world.failing {
                Some(kind) => Err(ServiceError::new(kind.clone(), name)),
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
    async fn list(&self, _query: &ListQuery, marker: Option<ImageId>) -> Result<Page> {
        self.call("list", |world| {
            let start = match marker {
                None => 0,
                Some(marker) => world
                    .images
                    .iter()
                    .position(|image| image.id == marker)
                    .map(|at| at + 1)
                    .ok_or_else(|| ServiceError::new(Kind::MarkerGone, "list"))?,
            };
            let images: Vec<_> = world.images.iter().skip(start).take(world.page).cloned().collect();
            let next = images.last().filter(|_| images.len() == world.page).map(|image| image.id);
            Ok(Page { images, next })
        })
    }

    async fn show(&self, image: ImageId) -> Result<Image> {
        self.call("show", |world| known(world, image))
    }

    async fn members(&self, _image: ImageId) -> Result<Vec<Member>> {
        self.call("members", |world| Ok(world.members.clone()))
    }

    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream> {
        self.call("read", |world| {
            known(world, source.image)?;
            if world.stalled {
                return Ok(futures_util::stream::pending().boxed());
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
        self.call("usage", |world| Ok(world.usage))
    }
}

impl FileSystem {
    /// What the blocks on disk would say is the complete file of every image.
    pub(crate) fn seal(&self, file: File) {
        self.sealed_by_test.set(Arc::new(file)).unwrap();
    }

    /// How many files and folders are open.
    pub(crate) fn open_handles(&self) -> usize {
        self.handles.len()
    }
}
