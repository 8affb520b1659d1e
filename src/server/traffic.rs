//! What has passed through the service since its start.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Numbers since the start; tests measure with them what a reader costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests to the Image API, whatever became of them.
    pub requests: u64,
    /// Downloads that asked for a range.
    pub ranged_downloads: u64,
    /// Downloads that asked for everything.
    pub whole_downloads: u64,
    /// Bytes of image data handed to connections.
    pub body_bytes_sent: u64,
    /// Uploads, whatever became of them.
    pub uploads: u64,
    /// Bytes of image data taken from connections.
    pub body_bytes_received: u64,
}

/// The counters behind [`Traffic`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) ranged: AtomicU64,
    pub(crate) whole: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) uploads: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Numbers the uploads since the behaviour was last set.
    pub(crate) upload_number: AtomicUsize,
    /// Numbers the requests since the faults were last set.
    pub(crate) fault_number: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            ranged_downloads: self.ranged.load(Ordering::Relaxed),
            whole_downloads: self.whole.load(Ordering::Relaxed),
            body_bytes_sent: self.bytes.load(Ordering::Relaxed),
            uploads: self.uploads.load(Ordering::Relaxed),
            body_bytes_received: self.received.load(Ordering::Relaxed),
        }
    }
}
