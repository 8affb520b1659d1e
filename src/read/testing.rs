//! An Image service in memory, with switches for what is hard to have.

mod line;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use tokio::sync::Semaphore;

pub(super) use self::line::Line;
use super::Content;
use crate::image::{Checksums, Image, ImageId, Member, Text, Usage};
use crate::service::{
    ByteStream, Change, ImageService, Kind, ListQuery, Marker, NewImage, Outgoing, Page, Result, ServiceError, Source,
};

/// A request for bytes; without a range it is one for the whole image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) image: ImageId,
    pub(super) range: Option<Range<u64>>,
    pub(super) store: Option<Text>,
}

/// The service.
pub(super) struct Fake {
    images: Mutex<HashMap<ImageId, Bytes>>,
    log: Mutex<Vec<Request>>,
    /// Bytes that left it.
    sent: AtomicU64,
    /// Answers that have begun and not ended.
    answering: Arc<()>,
    /// The most of them at once.
    most: AtomicUsize,
    /// No store answers ranges.
    pub(super) seekless: AtomicBool,
    /// These stores answer no ranges.
    pub(super) seekless_stores: Mutex<HashSet<Text>>,
    /// So many of the next requests fail.
    pub(super) failures: AtomicU32,
    /// Answers end after so many bytes.
    pub(super) cut: AtomicUsize,
    /// A permit for each chunk that may leave; none are counted unless it is held.
    pub(super) chunks: Semaphore,
    pub(super) held: AtomicBool,
    /// So many signs of life come before the bytes of an answer, one every tenth of a second.
    pub(super) signs: AtomicU32,
    /// The way to it; without one, nothing takes time.
    pub(super) line: Mutex<Option<Arc<Line>>>,
}

/// Bytes in a chunk: nothing that divides a block.
pub(super) const CHUNK: usize = 100_003;

/// Random bytes repeat after so many times a power of two: cheap to make, and no two blocks are the same.
const PERIOD: usize = (1 << 20) + 7;

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            images: Mutex::default(),
            log: Mutex::default(),
            sent: AtomicU64::new(0),
            answering: Arc::default(),
            most: AtomicUsize::new(0),
            seekless: AtomicBool::new(false),
            seekless_stores: Mutex::default(),
            failures: AtomicU32::new(0),
            cut: AtomicUsize::new(usize::MAX),
            chunks: Semaphore::new(0),
            held: AtomicBool::new(false),
            signs: AtomicU32::new(0),
            line: Mutex::default(),
        }
    }

    /// Adds an image of `size` random bytes, with its MD5.
    pub(super) fn add(&self, seed: u64, size: usize) -> Content {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; size.min(PERIOD)];
        random.fill(&mut bytes);
        while bytes.len() < size {
            bytes.extend_from_within(..bytes.len().min(size - bytes.len()));
        }
        let image = ImageId::random();
        let md5 = Md5::digest(&bytes).iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        self.images.lock().unwrap().insert(image, bytes.into());
        let checksums = Checksums { md5: Some(md5.into()), ..Checksums::default() };
        Content { image, size: size as u64, checksums, stores: Vec::new() }
    }

    /// Adds an image with these bytes.
    #[cfg(feature = "shuttle")]
    pub(super) fn put(&self, image: ImageId, bytes: Bytes) {
        self.images.lock().unwrap().insert(image, bytes);
    }

    /// The bytes as they should be read.
    pub(super) fn bytes(&self, content: &Content) -> Bytes {
        self.images.lock().unwrap()[&content.image].clone()
    }

    /// Changes one byte of an image; its hash stays what it was.
    pub(super) fn damage(&self, content: &Content, at: usize) {
        let mut images = self.images.lock().unwrap();
        let mut bytes = images[&content.image].to_vec();
        bytes[at] ^= 1;
        images.insert(content.image, bytes.into());
    }

    pub(super) fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Answers that have begun and that nobody has ended.
    pub(super) fn answering(&self) -> usize {
        Arc::strong_count(&self.answering) - 1
    }

    /// The most answers that were under way at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// From now on nothing leaves, until [`Self::release`].
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Lets all chunks leave that are held, and all later ones.
    pub(super) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.chunks.add_permits(10_000);
    }

    /// Adds an image of `size` zeros whose hash nobody knows.
    pub(super) fn add_zeros(&self, size: usize) -> Content {
        let image = ImageId::random();
        self.images.lock().unwrap().insert(image, vec![0; size].into());
        Content { image, size: size as u64, checksums: Checksums::default(), stores: Vec::new() }
    }

    async fn answer(self: &Arc<Self>, source: &Source, range: Option<Range<u64>>) -> Result<ByteStream> {
        let (image, store) = (source.image, source.store.clone());
        self.log.lock().unwrap().push(Request { image, range: range.clone(), store: store.clone() });
        let fail = |kind| Err(ServiceError::new(kind, format!("read image {image}")));
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return fail(Kind::Unavailable);
        }
        let refuses = |store: Option<Text>| {
            let refusing = self.seekless_stores.lock().unwrap();
            store.map_or(!refusing.is_empty(), |store| refusing.contains(&store))
        };
        let seekless = refuses(store);
        if range.is_some() && (seekless || self.seekless.load(Ordering::SeqCst)) {
            return fail(Kind::Unseekable);
        }
        let bytes = self.images.lock().unwrap()[&image].clone();
        let range = range.map_or(0..bytes.len(), |range| place(range.start)..place(range.end));
        let bytes = bytes.slice(range);
        let bytes = bytes.slice(..bytes.len().min(self.cut.load(Ordering::SeqCst)));
        let (fake, answering) = (Arc::clone(self), Arc::clone(&self.answering));
        self.most.fetch_max(self.answering(), Ordering::SeqCst);
        let line = self.line.lock().unwrap().clone();
        let way = match line {
            Some(line) => Some((line.answer().await, line)),
            None => None,
        };
        let signs = stream::iter(0..self.signs.load(Ordering::SeqCst)).then(|_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Bytes::new())
        });
        let bytes = stream::unfold((bytes, answering, way), move |(mut rest, answering, mut way)| {
            let fake = Arc::clone(&fake);
            async move {
                if rest.is_empty() {
                    return None;
                }
                if fake.held.load(Ordering::SeqCst) {
                    fake.chunks.acquire().await.unwrap().forget();
                }
                tokio::task::yield_now().await;
                let chunk = rest.split_to(rest.len().min(CHUNK));
                if let Some((connection, line)) = &mut way {
                    line.carry(connection, chunk.len()).await;
                }
                fake.sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                Some((Ok(chunk), (rest, answering, way)))
            }
        });
        Ok(Box::pin(signs.chain(bytes)))
    }
}

/// The fake behind the trait; a stream needs the fake for longer than the call that began it.
pub(super) struct Shared(pub(super) Arc<Fake>);

#[async_trait]
impl ImageService for Shared {
    async fn list(&self, _: &ListQuery, _: Option<&Marker>) -> Result<Page> {
        unimplemented()
    }

    async fn show(&self, _: ImageId) -> Result<Image> {
        unimplemented()
    }

    async fn members(&self, _: ImageId) -> Result<Vec<Member>> {
        unimplemented()
    }

    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream> {
        assert!(range.start < range.end && range.end <= source.size, "{range:?}");
        self.0.answer(source, Some(range)).await
    }

    async fn read_all(&self, source: &Source) -> Result<ByteStream> {
        self.0.answer(source, None).await
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        unimplemented()
    }

    async fn create(&self, _: &NewImage) -> Result<Image> {
        unimplemented()
    }

    async fn delete(&self, _: ImageId) -> Result<()> {
        unimplemented()
    }

    async fn update(&self, _: ImageId, _: &[Change]) -> Result<Image> {
        unimplemented()
    }

    async fn upload(&self, _: Outgoing) -> Result<()> {
        unimplemented()
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

fn unimplemented<T>() -> Result<T> {
    Err(ServiceError::new(Kind::NotOffered, "do what no reader needs"))
}
