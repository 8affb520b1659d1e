//! `.glancefs/status.json`: how the mount does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::FileSystem;

/// What the file shows. Names stay as they are, for programs.
#[derive(Debug, Serialize)]
struct Status {
    catalogue: Listing,
    reading: Reading,
    /// Uploads that are not done, by the word for their state.
    uploads: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Listing {
    /// Images in the listing.
    images: usize,
    /// The service could not be asked the last time, so that what is shown is what was known before.
    stale: bool,
    /// How old the listing is; null before the first one.
    listed_seconds_ago: Option<u64>,
    /// How old the last listing is that was complete.
    complete_seconds_ago: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Reading {
    open_files: u64,
    ranged_requests: u64,
    streams: u64,
    fetched_bytes: u64,
    memory_bytes: u64,
}

impl FileSystem {
    /// What the file holds now.
    pub(super) fn status(&self) -> String {
        let (health, stats) = (self.catalogue.health(), self.reads.stats());
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
        let mut uploads = BTreeMap::new();
        for report in self.uploads.iter().flat_map(|uploads| uploads.list()) {
            *uploads.entry(report.state.word()).or_default() += 1;
        }
        let told = Status {
            catalogue: Listing {
                images: health.images,
                stale: health.stale,
                listed_seconds_ago: seconds(health.listed),
                complete_seconds_ago: seconds(health.complete),
            },
            reading: Reading {
                open_files: stats.readers,
                ranged_requests: stats.ranges,
                streams: stats.streams,
                fetched_bytes: stats.fetched,
                memory_bytes: stats.memory,
            },
            uploads,
        };
        // Nothing in it can fail to be written as JSON.
        serde_json::to_string_pretty(&told).unwrap_or_default() + "\n"
    }

    /// How old in seconds what is shown of images is, while the service cannot be asked.
    pub(super) fn staleness(&self) -> Option<String> {
        let health = self.catalogue.health();
        health.listed.filter(|_| health.stale).map(|age| age.as_secs().to_string())
    }
}
