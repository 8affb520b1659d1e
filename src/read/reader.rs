//! One open file: from reads to runs of blocks and back.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::cursor::{Asked, Cursors};
use super::error::ReadError;
use super::feed::{Feed, Passage, Waited};
use super::proof::Verified;
use super::seen::Seen;
use super::{Content, Reads, add};
use crate::cache::{Run, Use, block_at, lock};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;

/// A reader of one image, for one open file. It may be asked from many tasks at once.
#[derive(Debug)]
pub struct Reader {
    reads: Arc<Reads>,
    feed: Arc<Feed>,
    cursors: Mutex<Cursors>,
    /// What it has been given.
    seen: Mutex<Seen>,
    /// The reads that were given up last, and when.
    given_up: Mutex<Vec<(Range<u64>, Instant)>>,
    /// It goes through the image.
    passage: OnceLock<Passage>,
}

/// For how long a read that was given up is answered at once when it is asked for again. The kernel does not report that
/// what it reads ahead has failed: it asks for the first page of it again, and who reads would wait for two deadlines.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// From how many bytes in a row on a reader is taken for one who goes through the image: more than looking at what is in it
/// takes.
const FAR: u64 = 4 << 20;

impl Reader {
    pub(super) fn new(reads: Arc<Reads>, feed: Arc<Feed>) -> Self {
        feed.opened();
        add(&reads.open, 1);
        let seen = Mutex::new(Seen::new(feed.identity.blocks()));
        Self { reads, feed, cursors: Mutex::default(), seen, given_up: Mutex::default(), passage: OnceLock::new() }
    }

    /// What it reads.
    pub fn content(&self) -> &Content {
        &self.feed.content
    }

    /// The bytes from `offset` on, `len` of them or as many as there are before the end of the image.
    ///
    /// The read with which all bytes of the image have been read waits for the hash.
    ///
    /// # Errors
    /// [`ReadError::HashMismatch`] from then on, when the hash is another one than the service's. A read that failed
    /// otherwise may be repeated; one that met its deadline fails at once when it is repeated within a second.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Bytes, ReadError> {
        let end = offset.saturating_add(len.into()).min(self.feed.identity.size());
        self.feed.check()?;
        if offset >= end {
            return Ok(Bytes::new());
        }
        if self.was_given_up(&(offset..end)) {
            return Err(self.feed.timed_out(&self.reads));
        }
        let outcome = self.wanted(offset..end).await;
        if matches!(outcome, Err(ReadError::TimedOut { .. })) {
            self.give_up(offset..end);
        }
        outcome
    }

    /// Remembers that this read met its deadline, beside those that did so together with it.
    fn give_up(&self, read: Range<u64>) {
        let mut given_up = lock(&self.given_up);
        given_up.retain(|(_, at)| at.elapsed() < GIVEN_UP);
        given_up.push((read, Instant::now()));
    }

    /// Whether bytes of this read were waited for in vain a moment ago. It is said once.
    fn was_given_up(&self, read: &Range<u64>) -> bool {
        let mut given_up = lock(&self.given_up);
        let met = |(range, at): &(Range<u64>, Instant)| {
            range.start < read.end && read.start < range.end && at.elapsed() < GIVEN_UP
        };
        let found = given_up.iter().position(met);
        found.map(|place| given_up.swap_remove(place)).is_some()
    }

    /// The bytes `wanted`, not empty and within the image.
    async fn wanted(&self, wanted: Range<u64>) -> Result<Bytes, ReadError> {
        let Range { start: offset, end } = wanted;
        self.reads.refuse_beyond_half(end - offset)?;
        self.feed.prepare(&self.reads).await;
        let room = self.reads.hash_room();
        self.feed.wait_for_hash(&self.reads, |proof| !proof.is_full(room, &lock(&self.seen))).await?;
        let asked = self.note(&(offset..end));
        self.feed.go_ahead(&self.reads, &asked);
        let mut reply = self.gather(&(offset..end), &asked).await?;
        let is_due = self.feed.proof.is_due(&lock(&self.seen));
        if is_due {
            // Not held while waiting: the hash may need memory to fetch a block again.
            drop(reply);
            self.feed.wait_for_hash(&self.reads, |proof| proof.verdict().is_some()).await?;
            self.feed.check()?;
            reply = self.gather(&(offset..end), &asked).await?;
        }
        self.feed.check()?;
        self.reads.taken(end - offset, asked.passing);
        self.feed.reached(end);
        Ok(reply)
    }

    /// How much of the image was compared with the service's hash.
    pub fn verified(&self) -> Verified {
        self.feed.proof.verified()
    }

    fn note(&self, read: &Range<u64>) -> Asked {
        let room = self.reads.room();
        let asked = lock(&self.cursors).note(read, room, self.feed.identity.blocks());
        if asked.passed > FAR {
            self.passage.get_or_init(|| self.feed.pass());
        }
        asked
    }

    /// The bytes `read`, not empty and within the image.
    async fn gather(&self, read: &Range<u64>, asked: &Asked) -> Result<Bytes, ReadError> {
        let first = self.run(asked.own.clone(), asked).await?;
        if let Some(bytes) = first.share(&self.feed.identity, read) {
            self.delivered(read, &first, asked);
            return Ok(bytes);
        }
        // Who waits for memory must hold none that others need.
        drop(first);
        self.gather_pieces(read, asked).await
    }

    async fn gather_pieces(&self, read: &Range<u64>, asked: &Asked) -> Result<Bytes, ReadError> {
        let (reads, identity) = (&self.reads, &self.feed.identity);
        let length = read.end - read.start;
        let permits = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX).min(reads.replies_kib);
        let _permit = reads.replies.acquire_many(permits).await.map_err(|_| self.feed.timed_out(reads))?;
        let mut reply = reads.cache.buffer(length, Instant::now() + reads.settings.patience).await?;
        let mut at = read.start;
        while at < read.end {
            let run = self.run(block_at(at)..asked.own.end, asked).await?;
            let piece = at..read.end.min(run.range().end);
            reply.fill(run.bytes_of(identity, &piece).unwrap_or_default());
            self.delivered(&piece, &run, asked);
            at = piece.end;
        }
        Ok(reply.into_bytes())
    }

    async fn run(&self, blocks: Range<u64>, asked: &Asked) -> Result<Run, ReadError> {
        let how = if asked.passing { Use::Passing } else { Use::Kept };
        let (run, Waited(waited)) = self.feed.run(&self.reads, blocks, how).await?;
        add(if waited { &self.reads.counters.misses } else { &self.reads.counters.hits }, 1);
        if waited {
            lock(&self.cursors).waited(asked.sequence);
        }
        Ok(run)
    }

    /// The bytes `range`, all in `run`, go to the reader.
    fn delivered(&self, range: &Range<u64>, run: &Run, asked: &Asked) {
        lock(&self.seen).note(range.clone(), range.end == self.feed.identity.size());
        self.feed.delivered(&self.reads, range, run);
        if asked.passing && range.end == run.range().end {
            self.reads.cache.passed(run);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reads.open.fetch_sub(1, Ordering::Relaxed);
        self.feed.closed(&self.reads);
        self.reads.forget_oldest();
    }
}
