//! The bytes of a spool as a stream for the service.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::task::JoinHandle;

use super::upload::Upload;
use crate::service::{ByteStream, Kind, ServiceError};
use crate::sync::{Mutex, lock};

/// Bytes in a frame. Servers take frames below 1 MiB; a smaller one costs more calls, a larger one brings nothing.
const FRAME: usize = 256 << 10;

/// Frames of one sender: the one that is read, and those that are on their way.
const FRAMES: usize = 4;

/// What the buffers of one sender hold, in bytes.
pub(super) const MEMORY: u64 = (FRAMES * FRAME) as u64;

/// Why the spool could not be read, if so: the service's error tells only that the upload was broken off.
pub(super) type Trouble = Arc<Mutex<Option<io::Error>>>;

/// A frame that is read while the one before it is sent.
type Reading = JoinHandle<io::Result<Bytes>>;

/// Where the sender is.
struct Source {
    upload: Arc<Upload>,
    size: u64,
    /// Bytes that were asked of the disk.
    asked: u64,
    ahead: Option<Reading>,
    /// Frames that were sent. One that nobody holds any more is filled again.
    frames: VecDeque<Bytes>,
    trouble: Trouble,
}

/// The first `size` bytes of the spool. The hashes are computed behind it, where they are not known.
pub(super) fn body(upload: &Arc<Upload>, size: u64) -> (ByteStream, Trouble) {
    let trouble = Trouble::default();
    upload.spool.digest.is_sent(size);
    let source = Source {
        upload: Arc::clone(upload),
        size,
        asked: 0,
        ahead: None,
        frames: VecDeque::new(),
        trouble: Arc::clone(&trouble),
    };
    (Box::pin(stream::unfold(source, Source::next)), trouble)
}

impl Source {
    async fn next(mut self) -> Option<(Result<Bytes, ServiceError>, Self)> {
        let frame = match self.ahead.take() {
            Some(reading) => reading.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())),
            None => self.first().await?,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Some((Err(self.broken_off(error)), self)),
        };
        self.upload.spool.digest.passed(self.asked);
        self.upload.sent.fetch_add(frame.len() as u64, Ordering::AcqRel);
        self.frames.push_back(frame.clone());
        self.ahead = self.read();
        Some((Ok(frame), self))
    }

    fn broken_off(&mut self, error: io::Error) -> ServiceError {
        *lock(&self.trouble) = Some(error);
        // Nothing comes after it.
        self.asked = self.size;
        ServiceError::new(Kind::Unavailable, format!("upload image {}", self.upload.image()))
            .with_words("its spool cannot be read")
    }

    /// The frame that nobody has begun to read; `None` at the end.
    async fn first(&mut self) -> Option<io::Result<Bytes>> {
        let read = self.reading()?;
        Some(self.upload.step(|_| read()).await)
    }

    /// Begins to read the next frame; `None` at the end.
    fn read(&mut self) -> Option<Reading> {
        let read = self.reading()?;
        Some(self.upload.home.runtime.spawn_blocking(read))
    }

    /// How the next frame is read; `None` at the end.
    fn reading(&mut self) -> Option<impl FnOnce() -> io::Result<Bytes> + Send + 'static> {
        let length = usize::try_from(self.size - self.asked).unwrap_or(FRAME).min(FRAME);
        if length == 0 {
            return None;
        }
        let (mut buffer, file, at) = (self.buffer(length), self.upload.file(), self.asked);
        self.asked += length as u64;
        Some(move || file.read_exact_at(&mut buffer, at).map(|()| buffer.freeze()))
    }

    fn buffer(&mut self, length: usize) -> BytesMut {
        let used = if self.frames.len() + 1 < FRAMES { None } else { self.frames.pop_front() };
        let mut buffer = used.and_then(|frame| frame.try_into_mut().ok()).unwrap_or_default();
        buffer.resize(length, 0);
        buffer
    }
}
