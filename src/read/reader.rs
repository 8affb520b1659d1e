//! One open file: from reads to blocks and back.

use std::ops::{Range, RangeInclusive};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::cursor::Cursors;
use super::error::ReadError;
use super::flight::{Arrival, Place};
use super::route::Route;
use super::stream::Stream;
use super::verify::{Job, Verified, Verifier};
use super::{Content, Reads, add, fetch};
use crate::cache::{BLOCK, Block, BlockKey, Identity, lock};
use crate::service::{Kind, ServiceError};

/// How often a read looks again for a block whose fetch ended without it: it was given up for want of memory, or the
/// store proved to answer no ranges (once for each store of the image).
const LOOKS: usize = 16;

/// Blocks that may wait for the hash with their bytes in memory: what arrives in the time of a hiccup.
const BACKLOG: u64 = 8;

/// A reader of one image, for one open file. It may be asked from many tasks at once.
#[derive(Debug)]
pub struct Reader(Arc<Open>);

/// What a reader and the tasks that work for it share.
pub(super) struct Open {
    reads: Arc<Reads>,
    content: Arc<Content>,
    identity: Identity,
    cursors: Mutex<Cursors>,
    /// Held for as long as the file is open: the stream and what it spooled live as long as their readers.
    stream: Mutex<Option<Arc<Stream>>>,
    verifier: Verifier,
}

type Flight = watch::Receiver<Arrival>;

impl Reader {
    pub(super) fn new(reads: Arc<Reads>, content: Content) -> Self {
        let identity = Identity::new(content.image, content.size, content.checksums.clone());
        let backlog = (reads.cache.budget().total() / 64 / BLOCK).clamp(1, BACKLOG);
        let backlog = usize::try_from(backlog).unwrap_or(1);
        let verifier = Verifier::new(&identity, &content.checksums, backlog);
        add(&reads.open, 1);
        Self(Arc::new(Open {
            reads,
            content: Arc::new(content),
            identity,
            cursors: Mutex::default(),
            stream: Mutex::default(),
            verifier,
        }))
    }

    /// What it reads.
    pub fn content(&self) -> &Content {
        &self.0.content
    }

    /// The bytes from `offset` on, `len` of them or as many as there are before the end of the image.
    ///
    /// The read with which all bytes of the image have been read waits for the hash.
    ///
    /// # Errors
    /// [`ReadError::HashMismatch`] from then on, when the hash is another one than the service's. A read that failed
    /// otherwise may be repeated.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Bytes, ReadError> {
        let open = &self.0;
        let end = offset.saturating_add(len.into()).min(open.identity.size());
        open.verified()?;
        if offset >= end {
            return Ok(Bytes::new());
        }
        open.reads.refuse_beyond_half(end - offset)?;
        open.wait_for_hash(|verifier| !verifier.is_full()).await?;
        let due = lock(&open.cursors).note(offset..end, open.reads.window(), open.identity.blocks());
        let own = due.start..due.start;
        let mut reply = open.gather(offset..end, due).await?;
        if open.verifier.is_due() {
            // Not held while waiting: the hash may need memory to fetch a block again.
            drop(reply);
            open.wait_for_hash(|verifier| verifier.verdict().is_some()).await?;
            open.verified()?;
            reply = open.gather(offset..end, own).await?;
        }
        open.verified().map(|()| reply)
    }

    /// How much of the image was compared with the service's hash through this reader.
    pub fn verified(&self) -> Verified {
        self.0.verifier.verified()
    }
}

impl Open {
    /// Gets those of the blocks `due` under way that are not here; the answer is the flight of the first one, where it
    /// was started now.
    fn start(&self, due: Range<u64>) -> Option<Flight> {
        let first = due.start;
        let route = lock(&self.reads.routes).of(&self.content, &self.identity);
        let runs = self.reads.flights.claim(&self.reads.cache, &self.identity, due);
        let claim = runs.first().and_then(|run| run.first()).filter(|claim| claim.key().index == first);
        let flight = claim.map(super::flight::Claim::join);
        for run in runs {
            match &route {
                Route::Stream => self.stream().ask(&self.reads, run),
                Route::Ranges(store) => {
                    let (reads, content) = (Arc::clone(&self.reads), Arc::clone(&self.content));
                    tokio::spawn(fetch::run(reads, content, self.identity.clone(), store.clone(), run));
                }
            }
        }
        flight
    }

    fn stream(&self) -> Arc<Stream> {
        let mut stream = lock(&self.stream);
        Arc::clone(stream.get_or_insert_with(|| Stream::of(&self.reads, &self.identity)))
    }

    /// The block `index`; `flight` is its flight where that is known.
    async fn block(&self, index: u64, mut flight: Option<Flight>) -> Result<Block, ReadError> {
        let key = self.identity.block(index);
        for look in 0..LOOKS {
            let place = match flight.take() {
                Some(flight) => Place::Coming(flight),
                None => self.reads.flights.find(&self.reads.cache, &key),
            };
            let coming = match place {
                Place::Here(block) => {
                    add(&self.reads.counters.hits, u64::from(look == 0));
                    return Ok(block);
                }
                Place::Coming(coming) => coming,
                Place::Absent => match self.start(index..index + 1) {
                    Some(coming) => coming,
                    None => continue,
                },
            };
            if let Some(block) = self.arrival(coming).await? {
                add(&self.reads.counters.misses, 1);
                return Ok(block);
            }
        }
        Err(self.timed_out())
    }

    /// What comes of a flight. `None` when it ended without the block, for a reason that makes another try worthwhile.
    async fn arrival(&self, mut flight: Flight) -> Result<Option<Block>, ReadError> {
        loop {
            let before = self.progress();
            let landed = flight.wait_for(|arrival| !matches!(arrival, Arrival::Awaited));
            match timeout(self.reads.settings.patience, landed).await {
                Ok(Ok(arrival)) => return outcome(&arrival),
                Ok(Err(_given_up)) => return Ok(None),
                Err(_) if self.progress() == before => return Err(self.timed_out()),
                Err(_) => {}
            }
        }
    }

    /// Changes with every block that passes in the stream: one that is far away may take its time.
    fn progress(&self) -> u64 {
        lock(&self.stream).as_ref().map_or(0, |stream| stream.progress())
    }

    fn timed_out(&self) -> ReadError {
        ReadError::TimedOut { image: self.content.image, waited: self.reads.settings.patience }
    }

    /// The bytes `read`, not empty and within the image; the blocks `due` are to be on their way for it.
    async fn gather(self: &Arc<Self>, read: Range<u64>, due: Range<u64>) -> Result<Bytes, ReadError> {
        match (read.start / BLOCK, (read.end - 1) / BLOCK) {
            (one, last) if one == last => self.from_one(one, read, due).await,
            (begin, last) => self.from_many(begin..=last, read, due).await,
        }
    }

    async fn from_one(self: &Arc<Self>, index: u64, read: Range<u64>, due: Range<u64>) -> Result<Bytes, ReadError> {
        let flight = self.start(due);
        let block = self.block(index, flight).await?;
        self.delivered(read.clone(), &block);
        let key = self.identity.block(index);
        block.share(&key, within(&key, &read)).ok_or_else(|| self.timed_out())
    }

    async fn from_many(
        self: &Arc<Self>,
        blocks: RangeInclusive<u64>,
        read: Range<u64>,
        due: Range<u64>,
    ) -> Result<Bytes, ReadError> {
        let length = read.end - read.start;
        let permits = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX).min(self.reads.replies_kib);
        let _permit = self.reads.replies.acquire_many(permits).await.map_err(|_| self.timed_out())?;
        let mut reply = self.reads.cache.buffer(length, Instant::now() + self.reads.settings.patience).await?;
        // Not before the memory for the reply is there: a flight that has landed holds its block, and who waits for
        // memory must hold none that others need.
        let mut flight = self.start(due);
        for index in blocks {
            let block = self.block(index, flight.take()).await?;
            let key = self.identity.block(index);
            let part = within(&key, &read);
            reply.fill(block.bytes_of(&key).and_then(|bytes| bytes.get(part)).unwrap_or_default());
            self.delivered(read.start.max(key.offset())..read.end.min(key.offset() + key.length()), &block);
        }
        Ok(reply.into_bytes())
    }

    /// Tells the verifier that the bytes `range`, all in `block`, go to the reader.
    fn delivered(self: &Arc<Self>, range: Range<u64>, block: &Block) {
        if self.verifier.note(range, block) {
            tokio::spawn(Arc::clone(self).hash());
        }
    }

    /// Waits for the hash of what was delivered until `done` says so.
    async fn wait_for_hash(self: &Arc<Self>, done: impl Fn(&Verifier) -> bool) -> Result<(), ReadError> {
        if done(&self.verifier) {
            return Ok(());
        }
        if self.verifier.needs_worker() {
            tokio::spawn(Arc::clone(self).hash());
        }
        timeout(self.reads.settings.patience, self.verifier.wait(done)).await.map_err(|_| self.timed_out())?
    }

    /// The worker: hashes what is queued, and ends when nothing is.
    async fn hash(self: Arc<Self>) {
        while let Job::Block(index, held) = self.verifier.next() {
            let block = match held {
                Some(block) => Ok(block),
                None => self.block(index, None).await,
            };
            let open = Arc::clone(&self);
            let fed = match block {
                Ok(block) => tokio::task::spawn_blocking(move || open.verifier.feed(&block)).await,
                Err(error) => return self.verifier.give_up(index, error),
            };
            if fed.is_err() {
                let action = format!("compare image {} with its hash", self.content.image);
                let error = ServiceError::new(Kind::Unavailable, action).with_words("the program failed");
                return self.verifier.give_up(index, error.into());
            }
        }
        if self.verified().is_err() {
            self.reads.distrust(&self.identity);
        }
    }

    /// Fails once the bytes have proved to be damaged.
    fn verified(&self) -> Result<(), ReadError> {
        self.verifier.verdict().unwrap_or(Ok(()))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reads.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Open({}, verified: {:?})", self.content.image, self.verifier.verified())
    }
}

fn outcome(arrival: &Arrival) -> Result<Option<Block>, ReadError> {
    match arrival {
        Arrival::Landed(block) => Ok(Some(block.clone())),
        Arrival::Failed(ReadError::Service(failure)) if failure.kind == Kind::Unseekable => Ok(None),
        Arrival::Failed(error) => Err(error.clone()),
        Arrival::Awaited => Ok(None),
    }
}

/// The part of the block `key` that `read` touches, in bytes of the block.
fn within(key: &BlockKey, read: &Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at.saturating_sub(key.offset()).min(key.length())).unwrap_or(usize::MAX);
    place(read.start)..place(read.end)
}
