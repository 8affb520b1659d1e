//! The data of an upload: hashed, recognised and written on a thread of its own, kept only when it is complete.

use super::disk::remove_if_there;
use super::record::{Received, Record, Status, hex};
use super::sniff::{HEAD, sniff};
use super::store::{Store, Unwritten};
use axum::body::Bytes;
use md5::{Digest, Md5};
use sha2::Sha512;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks that wait for the writer, so that the network and the hashes work at once.
pub(crate) const WAITING: usize = 16;

/// Chunks, then `None` as the end; a channel that closes before that means the sender is gone.
pub(crate) type Chunks = mpsc::Receiver<Option<Bytes>>;

/// How an upload ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Stored,
    /// The sender stopped; nothing is kept.
    Cut,
    /// The image was deleted meanwhile.
    Gone,
    /// Over the service's cap.
    TooLarge,
    /// More bytes than promised.
    Longer {
        expected: u64,
        got: u64,
    },
    /// Fewer bytes than promised.
    Shorter {
        expected: u64,
        got: u64,
    },
    /// The bytes are not what the image says. They are kept, and the image is of no more use, as in Glance.
    OtherFormat {
        declared: String,
        found: String,
    },
    Disk(io::Error),
}

/// What an upload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It becomes the image's data, in the store of this name.
    Data(&'static str),
    /// It waits for an import.
    Stage,
}

impl Purpose {
    /// The status of an image meanwhile.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Data(_) => Status::Saving,
            Self::Stage => Status::Uploading,
        }
    }
}

/// How many bytes may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many must, where the sender promised.
    pub(crate) promised: Option<u64>,
    /// The service's cap.
    pub(crate) cap: u64,
}

impl Limits {
    fn check(&self, got: u64) -> Result<(), Outcome> {
        match self.promised {
            _ if got > self.cap => Err(Outcome::TooLarge),
            Some(expected) if got > expected => Err(Outcome::Longer { expected, got }),
            _ => Ok(()),
        }
    }

    fn check_end(&self, got: u64) -> Result<(), Outcome> {
        let short = self.promised.filter(|expected| *expected != got);
        short.map_or(Ok(()), |expected| Err(Outcome::Shorter { expected, got }))
    }
}

/// An upload into an image that has its status already.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) store: Arc<Store>,
    /// The image as it was before.
    pub(crate) record: Arc<Record>,
    pub(crate) purpose: Purpose,
    pub(crate) limits: Limits,
}

impl Upload {
    /// Starts the writer.
    pub(crate) fn start(self) -> (mpsc::Sender<Option<Bytes>>, JoinHandle<Outcome>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, tokio::task::spawn_blocking(move || self.run(receiver)))
    }

    fn run(self, chunks: Chunks) -> Outcome {
        let (disk, id) = (self.store.disk(), &self.record.id);
        let part = if self.purpose == Purpose::Stage { disk.staged_part(id) } else { disk.part(id) };
        let outcome = match receive(&self.store, id, &part, self.limits, chunks) {
            Ok(received) => self.keep(&part, received),
            Err(outcome) => outcome,
        };
        if !matches!(outcome, Outcome::Stored | Outcome::OtherFormat { .. }) {
            self.undo(&part);
        }
        outcome
    }

    fn keep(&self, part: &Path, received: Received) -> Outcome {
        let (declared, found) = (self.record.disk_format.clone().unwrap_or_default(), received.format.clone());
        let fits = self.purpose == Purpose::Stage || received.fits(&self.record);
        let kept = self.store.change(&self.record.id, |record| {
            // Glance writes back all that it read when the upload began; what was changed meanwhile is lost.
            let members = std::mem::take(&mut record.members);
            *record = Record { members, ..Record::clone(&self.record) };
            self.put(record, part, received)
        });
        match kept {
            Ok(Ok(_)) if fits => Outcome::Stored,
            Ok(Ok(_)) => Outcome::OtherFormat { declared, found },
            Ok(Err(error)) | Err(Unwritten::Disk(error)) => Outcome::Disk(error),
            Err(Unwritten::Missing | Unwritten::Taken) => Outcome::Gone,
        }
    }

    fn put(&self, record: &mut Record, part: &Path, received: Received) -> io::Result<()> {
        let disk = self.store.disk();
        match self.purpose {
            Purpose::Data(store) => {
                disk.keep(&record.id, part, &disk.data(&record.id))?;
                record.status = if received.fits(record) { Status::Active } else { Status::Queued };
                record.data = Some(received.into_data(record, store.to_owned()));
            }
            Purpose::Stage => {
                disk.keep(&record.id, part, &disk.staged(&record.id))?;
                record.status = Status::Uploading;
                record.staged = Some(received);
            }
        }
        Ok(())
    }

    fn undo(&self, part: &Path) {
        let id = &self.record.id;
        if let Err(error) = remove_if_there(part) {
            tracing::warn!(%error, id, "the rest of an upload could not be removed");
        }
        if self.store.change_status(id, self.purpose.status(), Status::Queued).is_err() {
            tracing::debug!(id, "the image of an interrupted upload is gone");
        }
    }
}

/// Writes what comes into `part`, which lies safely on the disk in the end. Blocks.
pub(crate) fn receive(
    store: &Store,
    id: &str,
    part: &Path,
    limits: Limits,
    mut chunks: Chunks,
) -> Result<Received, Outcome> {
    let file = File::create(part).map_err(|error| {
        // A folder that has gone means a deletion between the look and the opening.
        if store.get(id).is_none() { Outcome::Gone } else { Outcome::Disk(error) }
    })?;
    let mut sink = Sink::new(file);
    loop {
        match chunks.blocking_recv() {
            Some(Some(chunk)) => {
                sink.write(&chunk).map_err(Outcome::Disk)?;
                limits.check(sink.size)?;
            }
            Some(None) => break,
            None => return Err(Outcome::Cut),
        }
    }
    limits.check_end(sink.size)?;
    sink.file.sync_all().map_err(Outcome::Disk)?;
    Ok(sink.finish())
}

/// Where the bytes go: the file, both hashes, and the head that tells the format.
struct Sink {
    file: File,
    md5: Md5,
    sha512: Sha512,
    head: Vec<u8>,
    size: u64,
}

impl Sink {
    fn new(file: File) -> Self {
        Self { file, md5: Md5::new(), sha512: Sha512::new(), head: Vec::new(), size: 0 }
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        self.md5.update(chunk);
        self.sha512.update(chunk);
        let wanted = HEAD.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend(chunk.iter().take(wanted));
        self.size += chunk.len() as u64;
        Ok(())
    }

    fn finish(self) -> Received {
        let sniffed = sniff(&self.head);
        Received {
            size: self.size,
            md5: hex(&self.md5.finalize()),
            sha512: hex(&self.sha512.finalize()),
            format: sniffed.format.to_owned(),
            virtual_size: sniffed.virtual_size,
        }
    }
}
