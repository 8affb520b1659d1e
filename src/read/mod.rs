//! Readers of image data.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::budget::{Budget, Exhausted};
use crate::image::{Checksums, ImageId};
use crate::service::{ImageService, ServiceError, Source};

/// What readers may use.
#[derive(Clone, Debug, Default)]
pub struct Settings {}

/// The readers of one mount.
pub struct Reads {
    service: Arc<dyn ImageService>,
}

/// The bytes of one image version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// The image.
    pub image: ImageId,
    /// Its length in bytes.
    pub size: u64,
    /// Its hashes.
    pub checksums: Checksums,
    /// The stores that hold it.
    pub stores: Vec<String>,
}

/// One open file.
pub struct Reader {
    service: Arc<dyn ImageService>,
    content: Content,
}

/// Whether what was read was compared with the service's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Nothing was compared.
    Unknown,
}

/// A failed read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The memory budget is used up.
    #[error(transparent)]
    Memory(#[from] Exhausted),
}

impl std::fmt::Display for Verified {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => out.write_str("no"),
        }
    }
}

impl Reads {
    /// The readers of one mount.
    pub fn new(service: Arc<dyn ImageService>, _budget: Budget, _settings: Settings) -> Arc<Self> {
        Arc::new(Self { service })
    }

    /// A reader of these bytes.
    pub fn open(self: &Arc<Self>, content: Content) -> Result<Reader, ReadError> {
        Ok(Reader { service: Arc::clone(&self.service), content })
    }

    /// Drops what is held of an image.
    pub fn forget(&self, _image: ImageId) {}
}

impl Reader {
    /// Bytes from `offset` on, `length` of them, fewer only at the end.
    pub async fn read(&self, offset: u64, length: u32) -> Result<Bytes, ReadError> {
        let end = offset.saturating_add(u64::from(length)).min(self.content.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let source = Source { image: self.content.image, size: self.content.size, store: None };
        let mut stream = self.service.read_range(&source, offset..end).await?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.freeze())
    }

    /// Whether what was read was compared with the service's hash.
    pub fn verified(&self) -> Verified {
        Verified::Unknown
    }
}
