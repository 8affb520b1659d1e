//! The filesystem in plain async Rust, without FUSE types: each operation is an async function on plain values.
//!
//! A failed operation is a [`FsError`], whose `Display` is a sentence and whose errno is the kernel's.

mod attr;
mod begun;
mod commit;
mod control;
mod create;
mod document;
mod draft;
mod edit;
mod errno;
mod error;
mod failures;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod import;
mod inode;
mod items;
mod kernel;
mod limits;
mod listing;
mod mode;
mod node;
mod offered;
mod open;
mod ops;
mod pacing;
mod position;
mod query;
mod removals;
mod rename;
mod restoring;
mod results;
mod scratch;
mod shelves;
mod status;
#[cfg(test)]
pub(crate) mod testing;
// The same, for a fuzzer that is no test.
#[cfg(all(fuzzing, not(test)))]
#[path = "testing.rs"]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod turns;
mod write_handle;
mod writing;
mod xattr;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::attr::{Attr, Entry, FileKind, Owner};
pub use self::document::{Malformed, Refused};
pub use self::draft::Untaken;
pub use self::error::FsError;
pub use self::failures::Failed;
pub use self::handle::HandleId;
pub use self::import::Standstill;
pub use self::inode::Ino;
pub use self::kernel::{VoidNames, VoidPages};
pub use self::listing::{Listed, Listing};
pub use self::mode::Mode;
pub use self::open::{Asked, Opened, Writing};
pub use self::ops::Space;
pub use self::query::NoQuery;
pub use self::tree::Unmakeable;
pub use self::writing::{Asker, Closing, Modified, Process};
use crate::budget::Budget;
use crate::cache::disk::DiskError;
use crate::catalogue::Catalogue;
use crate::read::{self, Division, Reads};
use crate::service::{ImageService, Offers};
use crate::write::Uploads;

/// A result of the filesystem.
pub type Result<T> = std::result::Result<T, FsError>;

/// How a filesystem behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How old an answer of the service may be when it is shown again.
    pub ttl: Duration,
    /// Nothing may be changed through it.
    pub read_only: bool,
    /// A close does not wait until the image is active: the queue goes on behind it.
    pub write_back: bool,
    /// Who owns everything.
    pub owner: Owner,
    /// Bytes of memory for image data, wherever it is on its way.
    pub memory: u64,
    /// How images are read.
    pub read: read::Settings,
}

/// One mounted Image service.
pub struct FileSystem {
    service: Arc<dyn ImageService>,
    /// What that offers.
    offers: Offers,
    /// Where images are written; `None` where nothing can be.
    uploads: Option<Arc<Uploads>>,
    catalogue: Catalogue,
    answers: results::Answers,
    reads: Arc<Reads>,
    inodes: inode::Inodes,
    handles: handle::Handles,
    contents: handle::Contents,
    modes: Arc<mode::Modes>,
    kernel: kernel::Kernel,
    shelves: shelves::Shelves,
    removals: removals::Removals,
    scratches: scratch::Scratches,
    failures: failures::Failures,
    readings: document::Readings,
    restorers: restoring::Restorers,
    begun: begun::Begun,
    guesses: import::Guesses,
    editing: turns::Turns,
    pacing: pacing::Pacing,
    settings: Settings,
    /// What tests say is the sealed file of every image.
    #[cfg(test)]
    sealed_by_test: std::sync::OnceLock<Arc<std::fs::File>>,
    /// The time of the folders that belong to no image.
    began: SystemTime,
}

impl FileSystem {
    /// The filesystem of what `service` shows; `began` is the time shown for folders that belong to no image.
    ///
    /// # Errors
    /// Where the cache on disk cannot be used.
    pub fn new(
        service: Arc<dyn ImageService>,
        uploads: Option<Arc<Uploads>>,
        settings: Settings,
        began: SystemTime,
    ) -> std::result::Result<Arc<Self>, DiskError> {
        let Division { requests, blocks } = Division::of(settings.memory, settings.read.max_parallel);
        let reading = read::Settings { max_parallel: requests, ..settings.read.clone() };
        let offers = service.offers();
        let catalogue = Catalogue::new(Arc::clone(&service), settings.ttl);
        if let Some(uploads) = &uploads {
            let told = catalogue.clone();
            uploads.on_finish(move |image| told.learn(image.clone()));
        }
        let fs = Arc::new(Self {
            catalogue,
            answers: results::Answers::default(),
            reads: Reads::new(Arc::clone(&service), Budget::new(blocks), reading)?,
            offers,
            service,
            uploads,
            inodes: inode::Inodes::default(),
            handles: handle::Handles::default(),
            contents: handle::Contents::default(),
            modes: Arc::default(),
            kernel: kernel::Kernel::default(),
            shelves: shelves::Shelves::default(),
            removals: removals::Removals::default(),
            scratches: scratch::Scratches::default(),
            failures: failures::Failures::default(),
            readings: document::Readings::of(offers.api),
            restorers: restoring::Restorers::default(),
            begun: begun::Begun::default(),
            guesses: import::Guesses::default(),
            editing: turns::Turns::default(),
            pacing: pacing::Pacing::default(),
            settings,
            #[cfg(test)]
            sealed_by_test: std::sync::OnceLock::new(),
            began,
        });
        if let Some(uploads) = &fs.uploads {
            fs.tell_unreadable(uploads.aside());
            let told = Arc::downgrade(&fs);
            uploads.on_failure(move |image, cause| {
                if let Some(fs) = told.upgrade() {
                    fs.failed_behind(image, cause);
                }
            });
        }
        Ok(fs)
    }

    /// Ends what is still open where the kernel has gone without closing it, and does not wait for its readers.
    pub fn close_all(&self) {
        for handle in self.handles.remove_all() {
            if let handle::Handle::Write(file) = handle.as_ref() {
                file.abandoned();
            }
        }
    }

    /// Whether images are being written to the cache on disk, proved there or sealed.
    pub fn is_keeping(&self) -> bool {
        self.reads.is_keeping()
    }

    /// Waits until they are; while somebody reads, that may be never.
    pub async fn kept(&self) {
        self.reads.kept().await;
    }
}
