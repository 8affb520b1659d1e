//! The data of an upload: hashed, recognised and written on a thread of its own, kept only when it is complete.

use super::disk::remove_if_there;
use super::record::{Data, Record, Status, hex};
use super::sniff::{HEAD, is_checked, sniff};
use super::store::{Store, Unwritten};
use axum::body::Bytes;
use md5::{Digest, Md5};
use sha2::Sha512;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Chunks that wait for the writer, so that the network and the hashes work at once.
const WAITING: usize = 16;

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
        found: &'static str,
    },
    Disk(io::Error),
}

/// An upload into an image that is saving already.
#[derive(Debug)]
pub(crate) struct Upload {
    store: Arc<Store>,
    record: Arc<Record>,
    kept_in: &'static str,
    promised: Option<u64>,
    cap: u64,
}

impl Upload {
    pub(crate) fn new(
        store: Arc<Store>,
        record: Arc<Record>,
        kept_in: &'static str,
        promised: Option<u64>,
        cap: u64,
    ) -> Self {
        Self { store, record, kept_in, promised, cap }
    }

    /// Starts the writer. It takes chunks, then `None` as the end; a channel that closes before that means the sender
    /// is gone.
    pub(crate) fn start(self) -> (mpsc::Sender<Option<Bytes>>, JoinHandle<Outcome>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, tokio::task::spawn_blocking(move || self.run(receiver)))
    }

    fn run(self, chunks: mpsc::Receiver<Option<Bytes>>) -> Outcome {
        let outcome = self.take(chunks).unwrap_or_else(|outcome| outcome);
        if !matches!(outcome, Outcome::Stored | Outcome::OtherFormat { .. }) {
            self.undo();
        }
        outcome
    }

    fn take(&self, mut chunks: mpsc::Receiver<Option<Bytes>>) -> Result<Outcome, Outcome> {
        let part = self.store.disk().part(&self.record.id);
        let mut sink = Sink::new(File::create(part).map_err(|error| self.disk(error))?);
        loop {
            match chunks.blocking_recv() {
                Some(Some(chunk)) => {
                    sink.write(&chunk).map_err(Outcome::Disk)?;
                    self.check_size(sink.size)?;
                }
                Some(None) => break,
                None => return Err(Outcome::Cut),
            }
        }
        if let Some(expected) = self.promised.filter(|promised| *promised != sink.size) {
            return Err(Outcome::Shorter { expected, got: sink.size });
        }
        sink.file.sync_all().map_err(Outcome::Disk)?;
        self.keep(sink)
    }

    fn check_size(&self, got: u64) -> Result<(), Outcome> {
        match self.promised {
            _ if got > self.cap => Err(Outcome::TooLarge),
            Some(expected) if got > expected => Err(Outcome::Longer { expected, got }),
            _ => Ok(()),
        }
    }

    fn keep(&self, sink: Sink) -> Result<Outcome, Outcome> {
        let (data, found) = sink.finish(&self.record, self.kept_in);
        let declared = self.record.disk_format.clone().unwrap_or_default();
        let checked = is_checked(self.record.container_format.as_deref(), Some(&declared));
        let fits = !checked || found == declared;
        let kept = self.store.change(&self.record.id, |record| {
            self.store.disk().keep_data(&record.id)?;
            // Glance writes back all that it read when the upload began; what was changed meanwhile is lost.
            let members = std::mem::take(&mut record.members);
            let status = if fits { Status::Active } else { Status::Queued };
            *record = Record { status, data: Some(data), members, ..Record::clone(&self.record) };
            Ok::<(), io::Error>(())
        });
        match kept {
            Ok(Ok(_)) if fits => Ok(Outcome::Stored),
            Ok(Ok(_)) => Ok(Outcome::OtherFormat { declared, found }),
            Ok(Err(error)) | Err(Unwritten::Disk(error)) => Err(Outcome::Disk(error)),
            Err(Unwritten::Missing | Unwritten::Taken) => Err(Outcome::Gone),
        }
    }

    /// A folder that has gone means a deletion between the look and the opening.
    fn disk(&self, error: io::Error) -> Outcome {
        if self.store.get(&self.record.id).is_none() { Outcome::Gone } else { Outcome::Disk(error) }
    }

    fn undo(&self) {
        let id = &self.record.id;
        if let Err(error) = remove_if_there(&self.store.disk().part(id)) {
            tracing::warn!(%error, id, "the rest of an upload could not be removed");
        }
        if self.store.change_status(id, Status::Saving, Status::Queued).is_err() {
            tracing::debug!(id, "the image of an interrupted upload is gone");
        }
    }
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

    fn finish(self, record: &Record, kept_in: &str) -> (Data, &'static str) {
        let sniffed = sniff(&self.head);
        let virtual_size = match (record.container_format.as_deref(), record.disk_format.as_deref()) {
            (Some("bare"), Some(format)) if format == sniffed.format && format != "raw" => sniffed.virtual_size,
            (Some("bare"), _) => Some(self.size).filter(|size| *size > 0),
            _ => None,
        };
        let data = Data {
            size: self.size,
            virtual_size,
            store: kept_in.to_owned(),
            md5: hex(&self.md5.finalize()),
            sha512: hex(&self.sha512.finalize()),
        };
        (data, sniffed.format)
    }
}
