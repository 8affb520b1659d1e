//! The steps of an upload: each is written down before it is acted on, and void once the upload was taken back.

use std::io;
use std::sync::Arc;

use super::home::Table;
use super::job::Job;
use super::journal::Removed;
use super::state::State;
use super::upload::{Stage, Upload};
use crate::image::Image;
use crate::sync::lock;

/// A step that was not made.
#[derive(Debug)]
pub(super) enum Missed {
    /// The upload was taken back.
    Superseded,
    /// The record could not be written.
    Disk(io::Error),
}

/// How safe a record has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    /// From a kill.
    Kill,
    /// From a power cut too, with all bytes.
    PowerCut,
}

impl Upload {
    /// Goes to `next`, for who began in `epoch`: first the record, and then nobody goes back behind it. It blocks.
    pub(super) fn enter(&self, epoch: u64, next: State, safe: Safe) -> Result<(), Missed> {
        if safe == Safe::PowerCut {
            self.spool.sync().map_err(Missed::Disk)?;
        }
        let mut record = lock(&self.record);
        if record.is_discarded || record.epoch != epoch || !record.job.state.may_become(&next) {
            return Err(Missed::Superseded);
        }
        let mut job = record.job.clone();
        if matches!(next, State::Writing | State::Sealed(_)) && !matches!(job.state, State::Failed { .. }) {
            // What was durable before may have been written to since.
            job.durable = false;
            job.is_of_this_boot();
        }
        job.resting = false;
        // Who writes it in a mount has seen its image.
        job.foretold &= next != State::Writing || !self.home.settings.takes_up;
        job.state = next.clone();
        job.durable |= safe == Safe::PowerCut;
        self.write_job(&job, safe == Safe::PowerCut).map_err(Missed::Disk)?;
        record.job = job;
        self.show(|stage| {
            stage.reopened += u64::from(next == State::Writing);
            stage.state = next;
        });
        Ok(())
    }

    pub(super) fn write_job(&self, job: &Job, durable: bool) -> io::Result<()> {
        job.write(&self.home.journal.folder(self.image()), durable)?;
        if durable { self.home.journal.sync() } else { Ok(()) }
    }

    /// The same where the disk takes no record of it: in memory only.
    pub(super) fn pretend(&self, epoch: u64, next: State) -> Result<(), Missed> {
        let mut record = lock(&self.record);
        if record.epoch != epoch || !record.job.state.may_become(&next) {
            return Err(Missed::Superseded);
        }
        record.job.state = next.clone();
        self.show(|stage| stage.state = next);
        Ok(())
    }

    /// The image is active with these bytes: nothing is left to keep. It blocks.
    pub(super) fn finish(&self, epoch: u64, image: Image, table: &Table) -> Result<(), Missed> {
        let mut record = lock(&self.record);
        if record.epoch != epoch {
            return Err(Missed::Superseded);
        }
        let removed = self.home.journal.retire(self.image(), self.file());
        record.job.state = State::Done;
        drop(record);
        if let Err(error) = removed.and_then(Removed::delete) {
            // The next mount finds that it is done.
            tracing::warn!(image = %self.image(), %error, "an upload that is done could not be removed from the disk");
        }
        // Before nobody finds the bytes here any more.
        self.home.finished(&image);
        lock(table).remove(&self.image());
        self.show(|stage| {
            stage.state = State::Done;
            stage.image = Some(Arc::new(image));
        });
        Ok(())
    }

    fn show(&self, change: impl FnOnce(&mut Stage)) {
        self.stage.send_modify(change);
        self.home.moved.notify_waiters();
    }

    /// From now on whatever a worker does is void. Answers the new epoch.
    pub(super) fn supersede(&self) -> u64 {
        let mut record = lock(&self.record);
        record.epoch += 1;
        let epoch = record.epoch;
        self.show(|stage| stage.epoch = epoch);
        epoch
    }

    /// Waits until what was begun in `epoch` is void.
    pub(super) async fn superseded(&self, epoch: u64) {
        let _ = self.stage.subscribe().wait_for(|stage| stage.epoch != epoch).await;
    }

    /// Removes it from the disk. It blocks.
    pub(super) fn discard(&self) -> io::Result<()> {
        self.replace(|| self.home.journal.remove(self.image()))
    }

    /// Lets `work` give its folder to another upload of the image: from then on this one is not sent. It blocks.
    pub(super) fn replace<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut record = lock(&self.record);
        let done = work()?;
        record.is_discarded = true;
        drop(record);
        self.show(|stage| stage.discarded = true);
        Ok(done)
    }
}
