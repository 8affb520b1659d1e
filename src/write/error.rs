//! Why bytes cannot be taken, or did not get to the service.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::journal::Aside;
use super::state::Cause;
use crate::image::{ImageId, Status};
use crate::service::ServiceError;

/// A failure of the write side. Its `Display` is the sentence that people read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// There is a writer already, in this mount or in another one that shares the folder.
    #[error("image {0} is being written by another program")]
    Busy(ImageId),
    /// The image has its bytes, for ever.
    #[error(
        "the data of image {0} can be written once and are there: for others make a new image, with mkdir in by-name or by copying a file into files"
    )]
    Immutable(ImageId),
    /// The image is in a status in which nothing can be uploaded.
    #[error("image {image} is {status}: data can be written only while it is queued, so make a new one")]
    Status {
        /// The image.
        image: ImageId,
        /// Its status.
        status: Status,
    },
    /// An earlier upload left the image unusable.
    #[error("an earlier upload left image {0} unusable: delete it, and make a new one")]
    Poisoned(ImageId),
    /// The upload failed, for good or for longer than somebody waits.
    #[error(transparent)]
    Failed(#[from] Cause),
    /// Somebody opened the image for writing again before it was active.
    #[error("image {0} was opened for writing again before it was sent")]
    Reopened(ImageId),
    /// What the bytes have to be was said when they were complete.
    #[error("the data of image {0} are written and on their way: what they have to be comes too late")]
    Underway(ImageId),
    /// The upload was given up on request.
    #[error("the upload of image {0} was discarded")]
    Discarded(ImageId),
    /// There is no upload of this image, or none that this can be done with.
    #[error("there is no upload of image {0} to {1}")]
    Unknown(ImageId, &'static str),
    /// The record of an upload cannot be read.
    #[error(
        "{path}: an upload that cannot be read, and is not sent: {sentence}; what there is of its bytes is in 'data' there: write them again, and remove the folder",
        path = .0.path.display(), sentence = .0.sentence
    )]
    Unreadable(Aside),
    /// Nothing can be written any more.
    #[error("nothing can be written any more: the mount is ending")]
    Closed,
    /// The service could not be asked.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A file of an upload cannot be read or written.
    #[error("could not {action}: {source}")]
    Spool {
        /// What was tried.
        action: String,
        /// What the system says; its `raw_os_error` is for the one who wrote.
        source: Arc<io::Error>,
    },
    /// The folder cannot be made, or not be worked in.
    #[error("the folder for uploads, {}, cannot be used: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The folder is another user's, who could put anything into it.
    #[error("the folder for uploads, {}, belongs to another user; name one of your own", .0.display())]
    Owner(PathBuf),
}

impl WriteError {
    /// The errno of our own disk, where that is what failed.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Spool { source, .. } | Self::Folder { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    pub(super) fn spool(action: impl Into<String>, source: io::Error) -> Self {
        Self::Spool { action: action.into(), source: Arc::new(source) }
    }
}
