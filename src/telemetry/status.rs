//! How a mount does: what `.glancefs/status.json` holds, and what `glancefs status` reads there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a mount does. Names stay as they are, for programs; what a mount of another version does not tell is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// How long it is mounted.
    pub mounted_seconds: u64,
    /// What is known of the images.
    pub catalogue: Listing,
    /// What reading did.
    pub reading: Reading,
    /// What is being read.
    pub downloads: Vec<Download>,
    /// The cache on disk, if there is one.
    pub cache: Option<Cache>,
    /// Uploads that are not done, by the word for their state.
    pub uploads: BTreeMap<String, u64>,
    /// Where they are on the disk; null in a mount through which nothing can be written.
    pub uploads_folder: Option<PathBuf>,
    /// How it goes with the service.
    pub service: Service,
    /// How often something failed, by the name of the errno that a program was given.
    pub errors: BTreeMap<String, u64>,
}

/// The listing of all images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Images in the listing.
    pub images: u64,
    /// The service could not be asked the last time, so that what is shown is what was known before.
    pub stale: bool,
    /// How old the listing is; null before the first one.
    pub listed_seconds_ago: Option<u64>,
    /// How old the last listing is that was complete.
    pub complete_seconds_ago: Option<u64>,
}

/// Reading of image data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Open readers.
    pub open_files: u64,
    /// Ranged requests made.
    pub ranged_requests: u64,
    /// Streams of whole images begun.
    pub streams: u64,
    /// Bytes that came from the service.
    pub fetched_bytes: u64,
    /// Bytes that came from the disk instead, without those that the kernel reads there by itself.
    pub disk_bytes: u64,
    /// Bytes that programs were given.
    pub delivered_bytes: u64,
    /// Pieces that a program found in memory.
    pub memory_hits: u64,
    /// Pieces that a program had to wait for.
    pub memory_misses: u64,
    /// Bytes of memory that are held.
    pub memory_bytes: u64,
}

/// An image that is being read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Download {
    /// Its id.
    pub image: String,
    /// Its name, where it is known and has one.
    pub name: Option<String>,
    /// Its bytes.
    pub size: u64,
    /// The end of the furthest byte that a program was given.
    pub reached: u64,
    /// Programs that have it open, each as often as it does.
    pub readers: u64,
    /// Bytes that the service has to send before those that a program waits for, where its store answers no ranges.
    pub to_pass: u64,
}

/// The cache on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Its folder.
    pub folder: PathBuf,
    /// Images in it, wholly or in parts.
    pub images: u64,
    /// Bytes that they take, of all mounts that use the folder.
    pub bytes: u64,
    /// Bytes that they may take.
    pub size: u64,
}

/// The service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// What is left of the life of the token; null where it needs none, or its end is not known.
    pub token_seconds_left: Option<u64>,
    /// What was asked.
    pub requests: Vec<Requests>,
}

/// What was asked of the service for one purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// What for, in a word.
    pub purpose: String,
    /// Requests.
    pub requests: u64,
    /// How many of them had no answer, or one that is no success.
    pub failed: u64,
    /// The time that the answers took, all together, in seconds.
    pub seconds: f64,
    /// How many took at most so many milliseconds, each of them counted in one class. The last class has no end.
    pub classes: Vec<Class>,
}

/// Requests that took about as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Class {
    /// What they took at most, in milliseconds; null in the last class.
    pub at_most_ms: Option<u64>,
    /// How many there are.
    pub requests: u64,
}

impl Reading {
    /// The share of pieces that a program found in memory, from 0 to 1; `None` before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.memory_hits + self.memory_misses;
        #[expect(clippy::cast_precision_loss, reason = "a ratio to be read, in per cent")]
        (all > 0).then(|| self.memory_hits as f64 / all as f64)
    }
}

impl Requests {
    /// What `share` of the requests took at most, in milliseconds, as far as the classes tell; `None` where it was longer
    /// than the last one with an end, or there were none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "nobody asks so often that it matters")]
        let wanted = self.requests as f64 * share;
        let mut seen = 0;
        for class in &self.classes {
            seen += class.requests;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            if seen > 0 && seen as f64 >= wanted {
                return class.at_most_ms;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(classes: &[(Option<u64>, u64)]) -> Requests {
        let classes: Vec<Class> = classes
            .iter()
            .map(|(at_most_ms, requests)| Class { at_most_ms: *at_most_ms, requests: *requests })
            .collect();
        Requests { requests: classes.iter().map(|class| class.requests).sum(), classes, ..Requests::default() }
    }

    #[test]
    fn a_quantile_is_the_end_of_the_class_that_reaches_it() {
        let asked = requests(&[(Some(1), 0), (Some(2), 50), (Some(5), 45), (Some(10), 4), (None, 1)]);
        let of = |share| asked.quantile(share);
        assert_eq!(
            (of(0.0), of(0.5), of(0.51), of(0.95), of(0.96), of(0.99), of(1.0)),
            (Some(2), Some(2), Some(5), Some(5), Some(10), Some(10), None)
        );
        assert_eq!(requests(&[(Some(1), 0), (None, 0)]).quantile(0.5), None);
    }

    #[test]
    fn the_hit_ratio_is_none_before_anything_was_read() {
        let of = |memory_hits, memory_misses| Reading { memory_hits, memory_misses, ..Reading::default() }.hit_ratio();
        assert_eq!((of(0, 0), of(0, 4), of(3, 1)), (None, Some(0.0), Some(0.75)));
    }

    #[test]
    fn the_status_of_another_version_is_read_as_far_as_it_goes() {
        let status: Status =
            serde_json::from_str(r#"{"catalogue": {"images": 3}, "new": [1], "uploads": {"waiting": 1}}"#).unwrap();
        assert_eq!((status.catalogue.images, status.uploads["waiting"], status.cache), (3, 1, None));
    }
}
