//! What the tests of this module share.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;

use crate::image::{Checksums, Image, ImageId, Member, Status, Usage, Visibility};
use crate::service::{
    ByteStream, Change, ImageService, Kind, ListQuery, NewImage, Outgoing, Page, Result, ServiceError, Source,
};

/// An image without bytes and formats.
pub(super) fn queued(name: Option<&str>) -> Image {
    Image {
        id: ImageId::random(),
        name: name.map(str::to_owned),
        status: Status::Queued,
        visibility: Visibility::Shared,
        owner: Some("own".to_owned()),
        size: None,
        virtual_size: None,
        disk_format: None,
        container_format: None,
        checksums: Checksums::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        updated_at: "2026-01-02T03:04:05Z".parse().unwrap(),
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

/// A service that is away.
pub(super) struct Away;

fn away<T>() -> Result<T> {
    Err(ServiceError::new(Kind::Unreachable, "reach the service"))
}

#[async_trait]
impl ImageService for Away {
    async fn list(&self, _: &ListQuery, _: Option<ImageId>) -> Result<Page> {
        away()
    }

    async fn show(&self, _: ImageId) -> Result<Image> {
        away()
    }

    async fn members(&self, _: ImageId) -> Result<Vec<Member>> {
        away()
    }

    async fn read_range(&self, _: &Source, _: Range<u64>) -> Result<ByteStream> {
        away()
    }

    async fn read_all(&self, _: &Source) -> Result<ByteStream> {
        away()
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        away()
    }

    async fn create(&self, _: &NewImage) -> Result<Image> {
        away()
    }

    async fn delete(&self, _: ImageId) -> Result<()> {
        away()
    }

    async fn update(&self, _: ImageId, _: &[Change]) -> Result<Image> {
        away()
    }

    async fn upload(&self, _: Outgoing) -> Result<()> {
        away()
    }
}
