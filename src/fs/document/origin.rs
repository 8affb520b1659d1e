//! From which version of an image a document was made. Pure.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use serde_json::{Map, Value};

use crate::fs::Process;
use crate::image::{Image, ImageId};

/// Images whose readings are remembered; of further ones the one that was read least recently is forgotten.
const IMAGES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Readings of one image that are remembered.
const READINGS: usize = 16;

/// The versions of images that documents were read from.
///
/// A document says by its `updated_at` which version it was made from. That holds also where one program reads and
/// another writes (`jq … > new; mv new metadata.json`), and where an editor looks at the file again without taking that
/// into what is being edited. But the service shows whole seconds, in which an image can change twice; then the version
/// counts that the writing program has read, or else the one that was read last.
pub(in crate::fs) struct Readings {
    images: LruCache<ImageId, Vec<Reading>>,
}

/// Somebody read a version. Those of one image are kept in the order in which they were read.
struct Reading {
    image: Arc<Image>,
    by: Process,
}

impl Default for Readings {
    fn default() -> Self {
        Self { images: LruCache::new(IMAGES) }
    }
}

impl Readings {
    /// `by` has read the document of `image`.
    pub(in crate::fs) fn note(&mut self, image: Arc<Image>, by: Process) {
        let readings = self.images.get_or_insert_mut(image.id, Vec::new);
        readings.retain(|known| known.by != by || !is_same(&known.image, &image));
        readings.push(Reading { image, by });
        if readings.len() > READINGS {
            readings.remove(superfluous(readings));
        }
    }

    /// The version that a document was made from, where it is known. `by` are the processes that may have read it to
    /// write it now.
    pub(in crate::fs) fn base_of(&self, document: &Map<String, Value>, by: &[Process]) -> Option<Arc<Image>> {
        let id = document.get("id")?.as_str()?.parse::<ImageId>().ok()?;
        let readings = self.images.peek(&id)?;
        let time = document.get("updated_at");
        let may_be_it = |reading: &Reading| match time {
            Some(time) => time.as_str() == Some(reading.image.updated_at.to_string().as_str()),
            None => is_theirs(reading, by),
        };
        let candidates = || readings.iter().rev().filter(|reading| may_be_it(reading));
        let found = candidates().find(|reading| is_theirs(reading, by)).or_else(|| candidates().next());
        found.map(|reading| Arc::clone(&reading.image))
    }
}

fn is_theirs(reading: &Reading, by: &[Process]) -> bool {
    reading.by != Process::UNKNOWN && by.contains(&reading.by)
}

fn is_same(one: &Arc<Image>, other: &Arc<Image>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// The reading to forget: the oldest of a version that somebody read later as well, so that who polls an image does not
/// make its other versions forgotten; or the oldest of all.
fn superfluous(readings: &[Reading]) -> usize {
    let is_repeated = |(at, reading): (usize, &Reading)| {
        readings.iter().skip(at.saturating_add(1)).any(|later| is_same(&later.image, &reading.image))
    };
    readings.iter().enumerate().position(is_repeated).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::document::metadata;
    use crate::fs::testing::image;

    const VIM: Process = Process(7);
    const JQ: Process = Process(8);
    const CAT: Process = Process(9);

    /// The image at a second, with one property to tell its versions by.
    fn version(second: u32, mark: &str) -> Arc<Image> {
        let mut image = image(1, "disk");
        image.updated_at = format!("2026-02-03T04:05:{second:02}Z").parse().unwrap();
        image.properties.insert("mark".to_owned(), mark.to_owned());
        Arc::new(image)
    }

    fn document(image: &Image) -> Map<String, Value> {
        serde_json::from_str(&metadata(image)).unwrap()
    }

    fn found(readings: &Readings, document: &Map<String, Value>, by: &[Process]) -> Option<String> {
        readings.base_of(document, by).map(|image| image.properties["mark"].clone())
    }

    #[test]
    fn a_document_tells_its_version_by_its_time_whoever_read_it() {
        let (old, new) = (version(1, "old"), version(2, "new"));
        let mut readings = Readings::default();
        readings.note(Arc::clone(&old), JQ);
        readings.note(Arc::clone(&new), VIM);
        assert_eq!(found(&readings, &document(&old), &[VIM]).as_deref(), Some("old"), "an editor looked again");
        assert_eq!(found(&readings, &document(&new), &[JQ]).as_deref(), Some("new"));
        assert_eq!(found(&readings, &document(&old), &[]).as_deref(), Some("old"));
    }

    #[test]
    fn of_two_versions_in_a_second_the_one_counts_that_the_writer_read() {
        let (old, new) = (version(1, "old"), version(1, "new"));
        let mut readings = Readings::default();
        readings.note(Arc::clone(&old), VIM);
        readings.note(Arc::clone(&new), CAT);
        let text = document(&old);
        assert_eq!(found(&readings, &text, &[JQ, VIM]).as_deref(), Some("old"));
        assert_eq!(found(&readings, &text, &[JQ]).as_deref(), Some("new"), "else the last one that was read");
        readings.note(new, VIM);
        assert_eq!(found(&readings, &text, &[VIM]).as_deref(), Some("new"), "the writer's last one");
    }

    #[test]
    fn a_document_without_a_time_is_of_the_version_that_the_writer_read_last() {
        let mut readings = Readings::default();
        readings.note(version(1, "old"), VIM);
        readings.note(version(2, "new"), VIM);
        readings.note(version(3, "newest"), CAT);
        readings.note(version(3, "newest"), Process::UNKNOWN);
        let mut text = document(&version(1, "old"));
        text.remove("updated_at");
        assert_eq!(found(&readings, &text, &[VIM]).as_deref(), Some("new"));
        assert_eq!(found(&readings, &text, &[JQ]), None);
        assert_eq!(found(&readings, &text, &[Process::UNKNOWN]), None, "nobody knows who that is");
    }

    #[test]
    fn a_time_at_which_nobody_read_and_another_image_have_no_base() {
        let mut readings = Readings::default();
        readings.note(version(1, "old"), VIM);
        assert_eq!(found(&readings, &document(&version(2, "new")), &[VIM]), None);
        assert_eq!(found(&readings, &document(&image(2, "other")), &[VIM]), None);
        let mut text = document(&version(1, "old"));
        text.remove("id");
        assert_eq!(found(&readings, &text, &[VIM]), None);
        for odd in [Value::Null, Value::from(5), Value::from("x")] {
            text.insert("id".to_owned(), odd);
            assert_eq!(found(&readings, &text, &[VIM]), None);
        }
    }

    #[test]
    fn who_polls_an_image_makes_no_other_version_forgotten() {
        let (old, new) = (version(1, "old"), version(2, "new"));
        let mut readings = Readings::default();
        readings.note(Arc::clone(&old), VIM);
        for poll in 0..1000 {
            readings.note(Arc::new((*new).clone()), Process(100 + poll));
        }
        assert_eq!(found(&readings, &document(&old), &[VIM]).as_deref(), Some("old"));
        assert!(readings.images.peek(&old.id).unwrap().len() <= READINGS);
    }

    #[test]
    fn the_oldest_versions_and_the_images_longest_unread_are_forgotten() {
        let mut readings = Readings::default();
        for second in 0..=16 {
            readings.note(version(second, "some"), VIM);
        }
        assert_eq!(found(&readings, &document(&version(0, "some")), &[VIM]), None);
        assert!(found(&readings, &document(&version(1, "some")), &[VIM]).is_some());
        for n in 2..=256 {
            readings.note(Arc::new(image(n, "other")), VIM);
        }
        assert!(found(&readings, &document(&version(1, "some")), &[VIM]).is_some());
        readings.note(Arc::new(image(257, "other")), VIM);
        assert_eq!(found(&readings, &document(&version(1, "some")), &[VIM]), None);
        assert_eq!(readings.images.len(), 256);
    }
}
