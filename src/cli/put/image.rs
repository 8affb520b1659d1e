//! The image of a `put`: made when there is something to put into it, taken away where that does not come to its end.

use std::ffi::OsStr;
use std::path::Path;

use tokio::task::JoinHandle;

use crate::cli::direct::{self, Direct};
use crate::cli::output::{self, Code, Failure};
use crate::fs::{Entry, FsError};
use crate::image::{ImageId, Status};
use crate::write::{Orphan, Uploads};

/// An image that is this program's own until it is active.
pub(super) struct Own<'a> {
    direct: &'a Direct,
    uploads: &'a Uploads,
    pub(super) id: ImageId,
    /// Where it is in the tree.
    path: &'a Path,
    name: &'a str,
    /// The request that makes it, while it is under way.
    making: Option<JoinHandle<Result<Entry, FsError>>>,
}

impl<'a> Own<'a> {
    /// One that is to be made.
    pub(super) fn new(direct: &'a Direct, uploads: &'a Uploads, path: &'a Path, name: &'a str) -> Self {
        Self { direct, uploads, id: ImageId::random(), path, name, making: None }
    }

    /// Makes it. What an earlier program left that was killed is taken away first.
    pub(super) async fn make(&mut self) -> Result<Entry, Failure> {
        let by_name = self.walk(Path::new("by-name")).await?;
        for orphan in self.uploads.orphans(self.name).await.map_err(|error| self.failed(&error.into()))? {
            self.begin_anew(orphan).await?;
        }
        self.uploads.foretell(self.id, self.name).await.map_err(|error| self.failed(&error.into()))?;
        let (files, id) = (self.direct.files.clone(), self.id);
        let (folder, entry) = (by_name.attr.ino, self.path.file_name().unwrap_or_default().to_owned());
        // Where nobody waits for the answer any more, it decides nevertheless whether there is an image.
        let making = self.making.insert(tokio::spawn(async move { files.mkdir_as(folder, &entry, id).await }));
        let made = making.await.unwrap_or(Err(FsError::Interrupted));
        self.making = None;
        match made {
            Err(error @ FsError::Taken(_)) => Err(self.taken(&error).await),
            made => made.map_err(|error| self.failed(&error)),
        }
    }

    async fn walk(&self, path: &Path) -> Result<Entry, Failure> {
        self.direct.walk(path).await.map_err(|error| self.failed(&error))
    }

    pub(super) fn failed(&self, error: &FsError) -> Failure {
        direct::failure(self.path, error)
    }

    /// The image of a program that was killed goes with its upload, unless it has come to something: then it stays.
    async fn begin_anew(&self, orphan: Orphan) -> Result<(), Failure> {
        let id = orphan.image();
        let is_gone = match orphan.status().await.map_err(|error| self.failed(&error.into()))? {
            Some(Status::Queued) => {
                self.delete(id).await.map_err(|error| self.failed(&error))?;
                true
            }
            // It came to its end, and was not told: now its upload alone goes.
            Some(Status::Active | Status::Deactivated) | None => true,
            Some(_) => false,
        };
        if is_gone {
            orphan.remove().await.map_err(|error| self.failed(&error.into()))?;
        }
        Ok(())
    }

    async fn delete(&self, id: ImageId) -> Result<(), FsError> {
        let by_id = self.direct.walk(Path::new("by-id")).await?.attr.ino;
        self.direct.files.rmdir(by_id, OsStr::new(id.as_str())).await
    }

    /// The name is taken; perhaps by what another program has begun here.
    async fn taken(&self, error: &FsError) -> Failure {
        let refused = self.failed(error);
        let begun = self.uploads.named(self.name).await.unwrap_or_default();
        match begun.into_iter().find(|id| *id != self.id) {
            Some(id) => Failure {
                sentence: format!(
                    "{}; its data were begun here: see 'glancefs uploads', and where nobody goes on with image {id}, \
                     give it up with 'glancefs uploads discard {id}' and 'openstack image delete {id}'",
                    refused.sentence
                ),
                ..refused
            },
            None => refused,
        }
    }

    /// Nobody asked for an image without its bytes.
    pub(super) async fn take_away(&mut self) {
        self.direct.files.close_all();
        if let Some(making) = self.making.take() {
            // What was asked for and not answered may have been made.
            let _ = making.await;
        }
        let removed = match self.delete(self.id).await {
            Err(error) if error.errno() != libc::ENOENT => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        };
        let removed = match removed {
            Ok(()) if self.uploads.of(self.id).is_some() => {
                self.uploads.discard(self.id).await.map_err(|error| error.to_string())
            }
            removed => removed,
        };
        if let Err(error) = removed {
            output::problem(format!("{} could not be removed again: {error}; {}", self.path.display(), self.left()));
        }
    }

    /// What is to be done where it stays.
    fn left(&self) -> String {
        format!("image {} may be left without data, and the next put of this name takes it away", self.id)
    }

    /// Somebody does not wait until it is taken away.
    pub(super) fn stays(&self) -> Failure {
        Failure::new(Code::Interrupted, format!("interrupted; {}", self.left()))
    }
}
