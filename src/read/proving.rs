//! The proof of one content at work: the worker that hashes behind the readers, the verdict, and the seal on the disk.

use std::ops::Range;
use std::sync::Arc;

use super::Reads;
use super::error::ReadError;
use super::feed::Feed;
use super::proof::{Proof, Work};
use crate::cache::{Run, Use};
use crate::priority::Ahead;
use crate::service::{Kind, ServiceError};
use crate::sync::atomic::Ordering;
use crate::sync::{spawn, timeout};

impl Feed {
    /// Tells the proof that the bytes `range`, all in `run`, go to a reader.
    pub(super) fn delivered(self: &Arc<Self>, reads: &Arc<Reads>, range: &Range<u64>, run: &Run) {
        if self.proof.note(range, run, reads.hash_room()) {
            self.begin_to_prove(reads);
        }
    }

    /// Waits for the hash until `done` says so.
    pub(super) async fn wait_for_hash(
        self: &Arc<Self>,
        reads: &Arc<Reads>,
        done: impl Fn(&Proof) -> bool,
    ) -> Result<(), ReadError> {
        while !done(&self.proof) {
            // Before there is a worker, so that no failure of it is missed; what failed before that is nothing to this one.
            let given_up = self.proof.given_up();
            if self.proof.needs_worker() {
                self.begin_to_prove(reads);
            }
            // What is to be hashed may have to be fetched again.
            let progress = || (self.proof.hashed(), self.progress.load(Ordering::Relaxed));
            let before = progress();
            match timeout(reads.settings.patience, self.proof.wait(given_up, &done)).await {
                Ok(outcome) => outcome?,
                Err(_) if progress() == before => return Err(self.timed_out(reads)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Starts the worker, as the proof has said.
    pub(super) fn begin_to_prove(self: &Arc<Self>, reads: &Arc<Reads>) {
        spawn(Arc::clone(self).prove(Arc::clone(reads)));
    }

    /// The worker: hashes what is queued, and ends when nothing is. For nobody it asks the service for nothing: an image whose
    /// readers have seen its parts in another order, and gone, stays proved in part.
    async fn prove(self: Arc<Self>, reads: Arc<Reads>) {
        let mut keeping = None;
        loop {
            let work = self.proof.next();
            // Whoever waits for the seal sees it begin before anybody hears the verdict.
            if keeping.is_none() && (work == Work::Judge || self.is_kept_whole(&reads)) {
                keeping = reads.keep();
            }
            let failed = match work {
                Work::Rest => return,
                Work::Judge => {
                    self.judge(&reads).await;
                    None
                }
                Work::Feed => {
                    let feed = Arc::clone(&self);
                    let hash = move || {
                        // The last read waits for it, and everything else can go on while it does.
                        let _ahead = Ahead::begin();
                        feed.proof.feed();
                    };
                    tokio::task::spawn_blocking(hash).await.err().map(|_| self.failed())
                }
                Work::Fetch(blocks) if self.is_idle() && !self.is_here(&reads, blocks.start) => {
                    self.proof.pause();
                    // Somebody may have opened it meanwhile, and have seen a worker at it.
                    if (self.is_idle() && !self.is_here(&reads, blocks.start)) || !self.proof.needs_worker() {
                        return;
                    }
                    None
                }
                Work::Fetch(blocks) => {
                    let is_here = self.is_here(&reads, blocks.start);
                    let run = tokio::select! {
                        biased;
                        run = self.run(&reads, blocks, Use::Passing) => run,
                        () = self.left(), if !is_here => continue,
                    };
                    run.map(|(run, _)| self.proof.give(&run)).err()
                }
            };
            // What came of it in the end is for all readers, and not for the one who waits.
            if let Some(error) = failed.filter(|error| !error.is_damage()) {
                return self.proof.give_up(error);
            }
        }
    }

    /// Whether a block need not be asked of the service.
    fn is_here(&self, reads: &Reads, block: u64) -> bool {
        reads.cache.has(&self.identity, block) || self.shelf.get().is_some_and(|image| image.has(block))
    }

    /// What proved to be damaged is gone before anybody hears of it and tries again.
    async fn judge(self: &Arc<Self>, reads: &Arc<Reads>) {
        let verdict = self.proof.judge().unwrap_or_else(|| Err(self.failed()));
        let sound = verdict.is_ok();
        if !sound {
            self.damaged.store(true, Ordering::Release);
            reads.distrust(&self.identity).await;
        }
        self.proof.publish(verdict);
        if sound {
            self.seal(reads).await;
        }
    }

    fn failed(&self) -> ReadError {
        let action = format!("compare image {} with its hash", self.content.image);
        ServiceError::new(Kind::Unavailable, action).with_words("the program failed").into()
    }

    /// Fails once the bytes have proved to be damaged.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        self.proof.verdict().unwrap_or(Ok(()))
    }

    /// The last block has reached the disk, perhaps after the last reader has gone.
    pub(super) async fn completed(self: &Arc<Self>, reads: &Arc<Reads>) {
        if self.proof.is_concluded() {
            self.seal(reads).await;
        } else if self.is_idle() && reads.disk.is_some() {
            self.shelf.open(reads, &self.identity).await;
            Arc::clone(self).prove_from_disk(Arc::clone(reads)).await;
        }
    }

    /// Proves and seals what is complete on disk and was read in pieces.
    pub(super) async fn prove_from_disk(self: Arc<Self>, reads: Arc<Reads>) {
        if self.proof.see_all() {
            Arc::clone(&self).prove(reads).await;
        }
        // A worker that was at it before needs the disk as well.
        self.proof.rested().await;
        self.close_if_idle();
    }

    /// Seals the image on disk, where it is complete and proved.
    pub(super) async fn seal(self: &Arc<Self>, reads: &Arc<Reads>) {
        if reads.disk.is_none() {
            return;
        }
        // The last reader may have closed it since.
        self.shelf.open(reads, &self.identity).await;
        let Some(image) = self.shelf.get().filter(|image| image.is_complete()) else { return };
        let feed = Arc::clone(self);
        let sealed = tokio::task::spawn_blocking(move || feed.proof.seal(&image)).await;
        match sealed {
            Ok(Ok(true)) => tracing::debug!(image = %self.content.image, "complete on disk, and proved"),
            Ok(Err(error)) => tracing::warn!(image = %self.content.image, %error, "could not seal the cache on disk"),
            Ok(Ok(false)) | Err(_) => {}
        }
        self.close_if_idle();
    }
}
