//! From which version of an image a document was made. Pure.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::compute;
use super::parse::{Parsed, parse};
use crate::fs::Process;
use crate::image::ImageId;
use crate::service::Api;
use crate::sync::{Mutex, lock};

/// How many versions are remembered; of further ones the one that was read or saved longest ago is forgotten.
const VERSIONS: usize = 1024;

/// How many bytes of text they may have together.
const BYTES: usize = 16 << 20;

/// How many processes are remembered of each that read or saved it.
const PROCESSES: usize = 16;

/// The documents that were read, and those that were saved: what a writer had before the change that comes next.
///
/// A document says by the time of the last change in it which version it was made from. That holds also where one program reads and
/// another writes (`jq … > new; mv new metadata.json`), and where an editor looks at the file again without taking that
/// into what is being edited. But an editor saves twice without reading in between, and the service shows whole seconds,
/// in which an image can change twice; so several can have the same time. A program that saved one had that one in its
/// hands, and what it has now was made from that, or from one that it has read since; who only read could mean each that
/// he read, and who has done neither, each of them.
pub(in crate::fs) struct Readings {
    /// The key that tells the time of the last change.
    updated: &'static str,
    known: Mutex<Known>,
}

impl Default for Readings {
    fn default() -> Self {
        Self::of(Api::Image)
    }
}

/// What a document was made from.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::fs) enum Base {
    /// This version.
    Known(Arc<Map<String, Value>>),
    /// Nobody knows.
    Unknown,
    /// One of these, which its writer has had; the one that he had last is the first.
    InHand(Vec<Arc<Map<String, Value>>>),
    /// One of these, and nobody knows which.
    OneOf(Vec<Arc<Map<String, Value>>>),
}

/// The versions, in the order in which they were last read or saved.
#[derive(Default)]
struct Known {
    versions: VecDeque<Version>,
    bytes: usize,
    /// How often one was read or saved.
    moment: u64,
}

struct Version {
    image: ImageId,
    document: Arc<Map<String, Value>>,
    bytes: usize,
    had: VecDeque<Had>,
}

/// When a process last had a version; 0 where it never had it so.
#[derive(Clone, Copy)]
struct Had {
    process: Process,
    read: u64,
    saved: u64,
}

/// How a process had a version.
#[derive(Clone, Copy)]
enum How {
    Read,
    Saved,
}

impl Readings {
    /// Of the documents of an API.
    pub(in crate::fs) fn of(api: Api) -> Self {
        let updated = match api {
            Api::Image => "updated_at",
            Api::Compute => compute::UPDATED,
        };
        Self { updated, known: Mutex::default() }
    }

    /// `by` has read the document of `image`.
    pub(in crate::fs) fn read(&self, image: ImageId, text: &[u8], by: Process) {
        self.note(image, text, &[by], How::Read);
    }

    /// `by` have saved the document of `image`: one wrote it, and another may have put it in place.
    pub(in crate::fs) fn saved(&self, image: ImageId, text: &[u8], by: &[Process]) {
        self.note(image, text, by, How::Saved);
    }

    fn note(&self, image: ImageId, text: &[u8], by: &[Process], how: How) {
        if let Ok(Parsed::Complete(document)) = parse(text) {
            lock(&self.known).note(image, document, text.len(), by, how);
        }
    }

    /// The version that a document of `image` was made from, where it is known. `by` are the processes that may have read
    /// it to write it now.
    pub(in crate::fs) fn base_of(&self, image: ImageId, document: &Map<String, Value>, by: &[Process]) -> Base {
        let known = lock(&self.known);
        let may_be_it = |version: &Version| match document.get(self.updated) {
            time @ Some(_) => version.document.get(self.updated) == time,
            None => version.is_of(by),
        };
        let all: Vec<_> = known.versions.iter().rev().filter(|it| it.image == image && may_be_it(it)).collect();
        let mut own: Vec<_> = all.iter().copied().filter(|it| by.iter().any(|by| is_in_hand(it, *by, &all))).collect();
        own.sort_by_key(|version| Reverse(version.last_had(by)));
        let documents =
            |versions: &[&Version]| versions.iter().map(|version| Arc::clone(&version.document)).collect::<Vec<_>>();
        match (&own[..], &all[..]) {
            ([], []) => Base::Unknown,
            ([only], _) | ([], [only]) => Base::Known(Arc::clone(&only.document)),
            ([], several) => Base::OneOf(documents(several)),
            (several, _) => Base::InHand(documents(several)),
        }
    }
}

/// Whether `version`, which is one of `all`, can be what `process` made something of: the one that it saved last, or one that
/// it has read since.
fn is_in_hand(version: &Version, process: Process, all: &[&Version]) -> bool {
    let last = all.iter().filter_map(|version| version.had_by(process)).map(|had| had.saved).max().unwrap_or_default();
    version.had_by(process).is_some_and(|had| had.read > last || (had.saved == last && last > 0))
}

impl Known {
    fn note(&mut self, image: ImageId, document: Map<String, Value>, bytes: usize, by: &[Process], how: How) {
        let is_it = |version: &Version| version.image == image && *version.document == document;
        let known = self.versions.iter().position(is_it).and_then(|place| self.versions.remove(place));
        let mut version = known.unwrap_or_else(|| {
            self.bytes = self.bytes.saturating_add(bytes);
            Version { image, document: Arc::new(document), bytes, had: VecDeque::new() }
        });
        self.moment = self.moment.saturating_add(1);
        for process in by {
            version.note(*process, how, self.moment);
        }
        self.versions.push_back(version);
        while self.versions.len() > VERSIONS || (self.bytes > BYTES && self.versions.len() > 1) {
            let forgotten = self.versions.pop_front().map_or(0, |version| version.bytes);
            self.bytes = self.bytes.saturating_sub(forgotten);
        }
    }
}

impl Version {
    fn note(&mut self, process: Process, how: How, moment: u64) {
        let before = self.had.iter().position(|had| had.process == process).and_then(|place| self.had.remove(place));
        let before = before.unwrap_or(Had { process, read: 0, saved: 0 });
        self.had.push_back(match how {
            How::Read => Had { read: moment, ..before },
            How::Saved => Had { saved: moment, ..before },
        });
        if self.had.len() > PROCESSES {
            self.had.pop_front();
        }
    }

    fn had_by(&self, process: Process) -> Option<&Had> {
        self.had.iter().find(|had| had.process == process && process != Process::UNKNOWN)
    }

    fn last_had(&self, by: &[Process]) -> u64 {
        let had = by.iter().filter_map(|process| self.had_by(*process));
        had.map(|had| had.read.max(had.saved)).max().unwrap_or_default()
    }

    fn is_of(&self, by: &[Process]) -> bool {
        by.iter().any(|process| self.had_by(*process).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::document::metadata;
    use crate::fs::testing::{id, image};

    const VIM: Process = Process(7);
    const JQ: Process = Process(8);
    const CAT: Process = Process(9);

    /// The document of image 1 at a second, with one property to tell the versions by.
    fn version(second: u32, mark: &str) -> String {
        let mut image = image(1, "disk");
        image.updated_at = format!("2026-02-03T04:05:{second:02}Z").parse().unwrap();
        image.properties.insert("mark".into(), mark.into());
        metadata(&image)
    }

    fn noted(versions: &[(&str, Process)]) -> Readings {
        let readings = Readings::default();
        for (text, by) in versions {
            readings.read(id(1), text.as_bytes(), *by);
        }
        readings
    }

    fn found(readings: &Readings, text: &str, by: &[Process]) -> Option<String> {
        let document = serde_json::from_str(text).unwrap();
        match readings.base_of(id(1), &document, by) {
            Base::Known(base) => Some(base["mark"].as_str().unwrap().to_owned()),
            Base::Unknown => None,
            Base::OneOf(all) | Base::InHand(all) => {
                Some(all.iter().map(|base| base["mark"].as_str().unwrap()).collect::<Vec<_>>().join(" or "))
            }
        }
    }

    #[test]
    fn a_document_tells_its_version_by_its_time_whoever_read_it() {
        let (old, new) = (version(1, "old"), version(2, "new"));
        let readings = noted(&[(&old, JQ), (&new, VIM)]);
        assert_eq!(found(&readings, &old, &[VIM]).as_deref(), Some("old"), "an editor looked again");
        assert_eq!(found(&readings, &new, &[JQ]).as_deref(), Some("new"));
        assert_eq!(found(&readings, &old, &[]).as_deref(), Some("old"));
        assert_eq!(found(&readings, &version(3, "unknown"), &[VIM]), None);
    }

    #[test]
    fn of_several_versions_of_one_second_those_count_that_its_writer_can_have_in_his_hands() {
        let (one, two, three) = (version(1, "one"), version(1, "two"), version(1, "three"));
        let readings = noted(&[(&one, VIM), (&two, CAT)]);
        let found = |by: &[Process]| found(&readings, &one, by);
        assert_eq!(found(&[VIM]).as_deref(), Some("one"));
        assert_eq!(found(&[JQ]).as_deref(), Some("two or one"), "nobody knows");
        assert_eq!(found(&[VIM, CAT]).as_deref(), Some("two or one"), "one of them made it, the other put it there");
        readings.saved(id(1), two.as_bytes(), &[JQ, VIM]);
        assert_eq!((found(&[VIM]).as_deref(), found(&[JQ]).as_deref()), (Some("two"), Some("two")));
        readings.read(id(1), three.as_bytes(), VIM);
        assert_eq!(found(&[VIM]).as_deref(), Some("three or two"), "it looked again, and may have taken that or not");
        readings.read(id(1), two.as_bytes(), VIM);
        assert_eq!(found(&[VIM]).as_deref(), Some("two or three"));
        readings.saved(id(1), one.as_bytes(), &[VIM]);
        assert_eq!(found(&[VIM]).as_deref(), Some("one"), "taken back");
    }

    #[test]
    fn without_a_time_only_its_writers_own_reading_is_known() {
        let readings = noted(&[(&version(1, "one"), VIM), (&version(2, "two"), CAT)]);
        assert_eq!(found(&readings, "{}", &[VIM]).as_deref(), Some("one"));
        assert_eq!(found(&readings, "{}", &[JQ]), None);
        assert_eq!(found(&noted(&[(&version(1, "one"), Process::UNKNOWN)]), "{}", &[Process::UNKNOWN]), None);
    }

    #[test]
    fn documents_of_other_images_are_no_base() {
        let text = version(1, "one");
        let document = serde_json::from_str(&text).unwrap();
        assert!(noted(&[(&text, VIM)]).base_of(id(2), &document, &[VIM]) == Base::Unknown);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_polls_drives_nothing_out() {
        let readings = noted(&[(&version(1, "first"), VIM)]);
        for process in 0..500 {
            readings.read(id(1), version(2, "polled").as_bytes(), Process(100 + process));
        }
        assert_eq!(found(&readings, &version(1, "first"), &[]).as_deref(), Some("first"));
        let long = "x".repeat(1 << 20);
        for second in 0..40 {
            readings.read(id(1), version(second, &long).as_bytes(), VIM);
        }
        let known = lock(&readings.known);
        assert!(known.bytes <= BYTES && known.versions.len() < 16);
        assert_eq!(known.bytes, known.versions.iter().map(|version| version.bytes).sum::<usize>());
    }
}
