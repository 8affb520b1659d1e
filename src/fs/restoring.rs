//! Backups that are put back file by file, by programs that know nothing of images.
//!
//! The time of the data is in a backup three times: as that of the file `data`, in `metadata.json`, and as a file in
//! `properties/`. A program that copies files compares the first with the image's. So it is the one that counts where the
//! data were copied with it; the document of another image leaves it as it is, and so does what the same program writes to
//! `properties/data_mtime` then.
//!
//! The order of the files is the program's own. It may come to `status` before it comes to the data, which is not for the
//! service to take. Where it replaces files, as nobody does who only writes one, that is known.

use std::num::NonZeroUsize;

use lru::LruCache;
use serde_json::{Map, Value};

use super::writing::Process;
use crate::image::{DATA_MTIME, Image, ImageId};
use crate::sync::{Mutex, lock};

/// How many programs are remembered, with an image each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Who has replaced files of an image or put another image's document back into it, and the time of the data that this told
/// of.
pub(super) struct Restorers(Mutex<LruCache<(ImageId, u32), Option<String>>>);

impl Default for Restorers {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Restorers {
    /// These have put the document of another image back.
    pub(super) fn restore(&self, image: ImageId, document: &Map<String, Value>, by: &[Process]) {
        let time = document.get(DATA_MTIME).and_then(Value::as_str);
        self.note(image, by, |known| *known = time.map(str::to_owned));
    }

    /// These have replaced a file.
    pub(super) fn replace(&self, image: ImageId, by: &[Process]) {
        self.note(image, by, |_| {});
    }

    fn note(&self, image: ImageId, by: &[Process], change: impl Fn(&mut Option<String>)) {
        for process in by.iter().filter(|process| **process != Process::UNKNOWN) {
            change(lock(&self.0).get_or_insert_mut((image, process.0), || None));
        }
    }

    /// Whether one of these copies the files of a folder.
    pub(super) fn copies(&self, image: ImageId, by: &[Process]) -> bool {
        by.iter().any(|process| lock(&self.0).contains(&(image, process.0)))
    }

    /// Whether what these write to a property is the time of the data of that other image, and this one's have one.
    pub(super) fn passes_over(&self, image: &Image, property: &str, value: &str, by: &[Process]) -> bool {
        let is_told = |process: &Process| {
            let known = lock(&self.0);
            known.peek(&(image.id, process.0)).is_some_and(|time| time.as_deref() == Some(value))
        };
        property == DATA_MTIME && image.properties.contains_key(DATA_MTIME) && by.iter().any(is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image;

    #[test]
    fn what_one_program_does_with_one_image_is_known_of_no_other() {
        let (cp, shell, time) = (Process(7), Process(8), "2020-01-02T03:04:05Z");
        let mut one = image(1, "one");
        one.properties.insert(DATA_MTIME.into(), "2026-01-02T03:04:05Z".into());
        let restorers = Restorers::default();
        let document = serde_json::from_str(&format!("{{\"id\": \"x\", \"data_mtime\": \"{time}\"}}")).unwrap();
        restorers.restore(one.id, &document, &[Process::UNKNOWN, cp]);
        restorers.replace(one.id, &[cp]);
        assert!(restorers.passes_over(&one, DATA_MTIME, time, &[shell, cp]), "a file that it replaced changes nothing");
        assert!(!restorers.passes_over(&one, DATA_MTIME, "2021-01-01T00:00:00Z", &[cp]), "another time is meant");
        assert!(!restorers.passes_over(&one, "p", time, &[cp]));
        assert!(!restorers.passes_over(&one, DATA_MTIME, time, &[shell, Process::UNKNOWN]));
        assert!(!restorers.passes_over(&image(1, "one"), DATA_MTIME, time, &[cp]), "which has no time yet");
        assert!(restorers.copies(one.id, &[shell, cp]) && !restorers.copies(one.id, &[shell, Process::UNKNOWN]));
        assert!(!restorers.copies(image(2, "two").id, &[cp]));
    }
}
