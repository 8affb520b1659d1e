//! Backups that are put back file by file, by programs that know nothing of images.
//!
//! The time of the data is in a backup three times: as that of the file `data`, in `metadata.json`, and as a file in
//! `properties/`. A program that copies files compares the first with the image's. So it is the one that counts where the
//! data were copied with it; the document of another image leaves it as it is, and so does what the same program writes to
//! `properties/data_mtime` then.

use std::num::NonZeroUsize;

use lru::LruCache;
use serde_json::{Map, Value};

use super::writing::Process;
use crate::image::{DATA_MTIME, Image, ImageId};
use crate::sync::{Mutex, lock};

/// How many programs are remembered, with an image each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Who has put another image's document back into an image, and the time of the data that it told of.
pub(super) struct Restorers(Mutex<LruCache<(ImageId, u32), String>>);

impl Default for Restorers {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Restorers {
    /// These have put the document of another image back.
    pub(super) fn note(&self, image: ImageId, document: &Map<String, Value>, by: &[Process]) {
        let Some(time) = document.get(DATA_MTIME).and_then(Value::as_str) else { return };
        for process in by.iter().filter(|process| **process != Process::UNKNOWN) {
            lock(&self.0).put((image, process.0), time.to_owned());
        }
    }

    /// Whether what these write to a property is the time of the data of that other image, and this one's have one.
    pub(super) fn passes_over(&self, image: &Image, property: &str, value: &str, by: &[Process]) -> bool {
        let is_told = |process: &Process| lock(&self.0).peek(&(image.id, process.0)).is_some_and(|time| time == value);
        property == DATA_MTIME && image.properties.contains_key(DATA_MTIME) && by.iter().any(is_told)
    }
}
