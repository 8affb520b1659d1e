//! A stream of bytes as it arrives, cut into blocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;

use super::error::ReadError;
use crate::cache::Buffer;
use crate::image::ImageId;
use crate::service::{ByteStream, Kind, ServiceError};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::timeout;

/// How often a stream may say that what arrives was here before until others may go first: some tens of MiB, in chunks as
/// sockets have them.
const PATIENT: u32 = 512;

/// A stream, and what of it arrived and was not taken yet.
pub(super) struct Intake {
    image: ImageId,
    stream: ByteStream,
    rest: Bytes,
    stall: Duration,
    /// Changes with each sign of life.
    heard: Arc<AtomicU64>,
}

impl Intake {
    /// The stream of bytes of `image`. When none arrive for `stall`, taking from it fails; whatever arrives changes `heard`.
    pub(super) fn new(image: ImageId, stream: ByteStream, stall: Duration, heard: Arc<AtomicU64>) -> Self {
        Self { image, stream, rest: Bytes::new(), stall, heard }
    }

    /// Fills all of `buffer`, and tells `arrived` how many bytes came at a time. `false` where much has come that was here
    /// before, so that others may go first; then it is to be called again.
    pub(super) async fn fill(&mut self, buffer: &mut Buffer, arrived: impl Fn(u64)) -> Result<bool, ReadError> {
        while buffer.missing() > 0 {
            if !self.more().await? {
                return Ok(false);
            }
            let taken = buffer.fill(&self.rest);
            self.rest.advance(taken);
            arrived(u64::try_from(taken).unwrap_or(u64::MAX));
        }
        Ok(true)
    }

    /// Takes some of the next `most` bytes, and keeps none; answers how many. None where much has come that was here before.
    pub(super) async fn skip(&mut self, most: u64) -> Result<u64, ReadError> {
        self.more().await?;
        let step = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        self.rest.advance(step);
        Ok(u64::try_from(step).unwrap_or(most))
    }

    /// Waits until there are bytes to take, or much has come that was here before.
    async fn more(&mut self) -> Result<bool, ReadError> {
        for _ in 0..PATIENT {
            if !self.rest.is_empty() {
                return Ok(true);
            }
            let waited = self.stall;
            let next = timeout(waited, self.stream.next()).await;
            self.rest = match next {
                Ok(Some(bytes)) => {
                    self.heard.fetch_add(1, Ordering::Relaxed);
                    bytes?
                }
                Ok(None) => return Err(self.ended_early().into()),
                Err(_) => return Err(ReadError::TimedOut { image: self.image, waited }),
            };
        }
        Ok(!self.rest.is_empty())
    }

    fn ended_early(&self) -> ServiceError {
        ServiceError::new(Kind::Malformed, format!("read image {}", self.image)).with_words("its bytes ended too early")
    }
}
