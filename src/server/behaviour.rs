//! Switches that make the service behave like what is hard to have: other stores, slow lines, faults.

use super::keystone::accounts::Quota;
use super::upload_fault::UploadFault;
use super::web_access::WebAccess;
use std::time::Duration;

/// What the store does with a ranged download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranges {
    /// 206 with the part, as a filesystem or Cinder store answers.
    #[default]
    Honoured,
    /// 400 with the store library's words, as Ceph RBD, Swift and S3 stores answer.
    Refused,
    /// 200 with the whole image, as behind a proxy that swallows the header.
    Ignored,
    /// 206 with the whole image, as some releases and proxies answer.
    Whole206,
}

/// Seeded faults: the same seed gives the same faults to the same sequence of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The seed of the sequence.
    pub seed: u64,
    /// One request in this many meets a fault; 0 means none does.
    pub one_in: u32,
}

/// How the service behaves; a change holds for the requests that follow it.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What becomes of ranged downloads.
    pub ranges: Ranges,
    /// A wait before each request is looked at.
    pub latency: Duration,
    /// Bytes a second for each download; without a value as fast as the disk gives them.
    pub rate: Option<u64>,
    /// Faults to meet, if any.
    pub faults: Option<Faults>,
    /// Whether connections are kept; Glance under uWSGI closes after each answer.
    pub keep_alive: bool,
    /// How long tokens issued from now on are valid.
    pub token_lifetime: Duration,
    /// The largest image in bytes (`image_size_cap`).
    pub size_cap: u64,
    /// Flips a byte of each download, so that a reader who verifies hashes must notice.
    pub corrupt: bool,
    /// What befalls the uploads that follow, one each, before `faults` has its turn. It begins anew when it is set.
    pub uploads: Vec<UploadFault>,
    /// Bytes a second for each upload; without a value as fast as they come.
    pub upload_rate: Option<u64>,
    /// How long a sender may be silent before its upload fails; under uWSGI it is `socket-timeout`.
    pub sender_patience: Duration,
    /// Where the imports that follow may fetch from.
    pub web_download: WebAccess,
    /// The limits of the one caller of a service without accounts; accounts have limits of their own.
    pub quota: Option<Quota>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ranges: Ranges::Honoured,
            latency: Duration::ZERO,
            rate: None,
            faults: None,
            keep_alive: true,
            // Keystone's default.
            token_lifetime: Duration::from_hours(1),
            // Glance's default, 1 TiB.
            size_cap: 1 << 40,
            corrupt: false,
            uploads: Vec::new(),
            upload_rate: None,
            sender_patience: Duration::from_mins(1),
            web_download: WebAccess::default(),
            quota: None,
        }
    }
}
