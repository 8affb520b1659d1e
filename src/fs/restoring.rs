//! Backups that are put back file by file, by programs that know nothing of images.
//!
//! The time of the data is in a backup three times: as that of the file `data`, in `metadata.json`, and as a file in
//! `properties/`. A program that copies files compares the first with the image's. So it is the one that counts where the
//! data were copied with it; the document of another image leaves it as it is, and so does what the same program writes to
//! `properties/data_mtime` then.
//!
//! The order of the files is the program's own. It may come to `status` before it comes to the data, which is not for the
//! service to take. Where it replaces files, as nobody does who only writes one, that is known. The backup of a queued image
//! has a file `data` of no bytes: its `status` and its document say that it is none of the image's, whichever comes first.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::writing::Process;
use crate::image::{DATA_MTIME, Image, ImageId, Status};
use crate::sync::{Mutex, lock};
use crate::write::{Stir, Uploads};

/// How many programs are remembered, with an image each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// How long a word holds for programs that did not say it, where nothing more is changed of the image: as long as an empty
/// file waits for a word.
const LATELY: Duration = Duration::from_secs(2);

/// What a program has told of an image.
#[derive(Clone, Debug, Default)]
struct Told {
    /// It has replaced a file, or put another image's document back.
    copies: bool,
    /// The time of that other image's data.
    time: Option<String>,
    /// The image is to be queued.
    queued: bool,
}

/// What programs have told of the images to which they copied files.
pub(super) struct Restorers {
    told: Mutex<LruCache<(ImageId, u32), Told>>,
    /// When somebody said last that an image is to be queued, or changed something of it shortly behind that: where each
    /// file is copied by a program of its own, no other one is known by its number.
    said: Mutex<LruCache<ImageId, Instant>>,
}

impl Default for Restorers {
    fn default() -> Self {
        Self { told: Mutex::new(LruCache::new(REMEMBERED)), said: Mutex::new(LruCache::new(REMEMBERED)) }
    }
}

impl Restorers {
    /// These have put the document of another image back.
    pub(super) fn restore(&self, image: ImageId, document: &Map<String, Value>, by: &[Process]) {
        let time = document.get(DATA_MTIME).and_then(Value::as_str);
        self.note(image, by, |told| (told.copies, told.time) = (true, time.map(str::to_owned)));
        if says_queued(document) {
            self.say(image, &Status::Queued, by);
        }
    }

    /// These have replaced a file.
    pub(super) fn replace(&self, image: ImageId, by: &[Process]) {
        self.note(image, by, |told| told.copies = true);
    }

    /// These have written a word to `status`.
    pub(super) fn say(&self, image: ImageId, status: &Status, by: &[Process]) {
        let queued = *status == Status::Queued;
        if queued {
            lock(&self.said).put(image, Instant::now());
        } else {
            lock(&self.said).pop(&image);
        }
        if queued || self.is_told(image, by, |told| told.queued) {
            self.note(image, by, |told| told.queued = queued);
        }
    }

    fn note(&self, image: ImageId, by: &[Process], change: impl Fn(&mut Told)) {
        for process in by.iter().filter(|process| **process != Process::UNKNOWN) {
            change(lock(&self.told).get_or_insert_mut((image, process.0), Told::default));
        }
    }

    /// Whether one of these told this. Nobody speaks for who is not known.
    fn is_told(&self, image: ImageId, by: &[Process], is: impl Fn(&Told) -> bool) -> bool {
        by.iter().any(|process| lock(&self.told).get(&(image, process.0)).is_some_and(&is))
    }

    /// Whether one of these copies the files of a folder.
    pub(super) fn copies(&self, image: ImageId, by: &[Process]) -> bool {
        self.is_told(image, by, |told| told.copies)
    }

    /// Whether one of these has said that the image is to be queued: then it copies no data when it leaves `data` empty.
    pub(super) fn keep_queued(&self, image: ImageId, by: &[Process]) -> bool {
        self.is_told(image, by, |told| told.queued) || self.was_said(image)
    }

    /// Whether somebody said so lately.
    fn was_said(&self, image: ImageId) -> bool {
        lock(&self.said).peek(&image).is_some_and(|since| since.elapsed() < LATELY)
    }

    /// Whether what these write to a property is the time of the data of that other image, and this one's have one.
    pub(super) fn passes_over(&self, image: &Image, property: &str, value: &str, by: &[Process]) -> bool {
        property == DATA_MTIME
            && image.properties.contains_key(DATA_MTIME)
            && self.is_told(image.id, by, |told| told.time.as_deref() == Some(value))
    }
}

/// Somebody changes something of an image beside its data.
pub(super) struct Stirring<'a> {
    restorers: &'a Restorers,
    id: ImageId,
    was_said: bool,
    _stir: Option<Stir>,
}

impl<'a> Stirring<'a> {
    pub(super) fn new(restorers: &'a Restorers, id: ImageId, uploads: Option<&Uploads>) -> Self {
        Self { restorers, id, was_said: restorers.was_said(id), _stir: uploads.map(|all| all.stir(id)) }
    }
}

impl Drop for Stirring<'_> {
    fn drop(&mut self) {
        if let Some(said) = lock(&self.restorers.said).get_mut(&self.id).filter(|_| self.was_said) {
            *said = Instant::now();
        }
    }
}

/// Whether a document is one of an image without data.
pub(super) fn says_queued(document: &Map<String, Value>) -> bool {
    document.get("status").and_then(Value::as_str).is_some_and(|word| Status::from(word) == Status::Queued)
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
        assert!(!restorers.keep_queued(one.id, &[cp]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_that_an_image_is_queued_leaves_it_so_until_he_says_otherwise_and_others_shortly_behind_him() {
        let (cp, shell, one) = (Process(7), Process(8), image(1, "one"));
        let restorers = Restorers::default();
        let keep = |by| restorers.keep_queued(one.id, &[by, Process::UNKNOWN]);
        for (word, keeps) in [("active", false), ("queued", true), ("active", false)] {
            restorers.say(one.id, &Status::from(word), &[cp, Process::UNKNOWN]);
            assert_eq!((keep(cp), keep(shell)), (keeps, keeps), "{word}");
            assert!(!restorers.copies(one.id, &[cp]), "a word is no copy: {word}");
        }
        for (document, keeps) in [("{\"id\": \"x\"}", false), ("{\"status\": \"queued\"}", true)] {
            restorers.restore(one.id, &serde_json::from_str(document).unwrap(), &[cp]);
            assert_eq!((keep(cp), keep(shell)), (keeps, keeps), "{document}");
        }
        // What is changed meanwhile may take as long as it does.
        for seconds in [1, 5, 1] {
            let stirring = Stirring::new(&restorers, one.id, None);
            tokio::time::advance(Duration::from_secs(seconds)).await;
            drop(stirring);
            assert!(keep(shell));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(Stirring::new(&restorers, one.id, None));
        assert_eq!((keep(cp), keep(shell)), (true, false));
    }
}
