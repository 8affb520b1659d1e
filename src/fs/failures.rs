//! What failed lately: on each file, for `user.glancefs.error`; and all of it in its order, for `.glancefs/errors`.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::errno;
use super::error::FsError;
use super::inode::Ino;
use super::node::View;
use crate::plain::Plain;
use crate::sync::{Mutex, lock};

/// How many failures are remembered, and of how many files the last one; of further ones the oldest is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// One failure, in the order of the keys of its line in `.glancefs/errors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When the operation failed.
    pub time: Timestamp,
    /// On which file or folder, relative to the mount.
    pub path: String,
    /// The name of the errno that the program was given (`EPERM`).
    pub errno: String,
    /// Why.
    pub sentence: String,
    /// The service's name for the request that failed, where one did.
    pub request_id: Option<String>,
}

impl Failed {
    /// A failure on `path` at `time`. This is where a sentence is made of an error: it names the image, and whatever names are
    /// in it, it is one line that a terminal can show.
    pub(super) fn of(time: Timestamp, path: String, error: &FsError) -> Self {
        let place = place(&path, error).unwrap_or_default();
        Self {
            time,
            errno: errno::name_of(error.errno()).to_owned(),
            sentence: Plain(format!("{place}{error}")).to_string(),
            path,
            request_id: error.request_id().map(str::to_owned),
        }
    }

    /// The JSON object of it, on one line and without a newline.
    pub(super) fn to_json(&self) -> String {
        // A struct of texts: writing it cannot fail.
        Plain(serde_json::to_string(self).unwrap_or_default()).to_string()
    }
}

/// Where it failed, to stand before the words of an error that do not name the image.
fn place(path: &str, error: &FsError) -> Option<String> {
    let below = path.strip_prefix(View::ById.name())?.strip_prefix('/')?;
    let (image, file) = below.split_once('/').unwrap_or((below, ""));
    if error.is_ordinary() || error.to_string().contains(image) {
        return None;
    }
    Some(if file.is_empty() { format!("image {image}: ") } else { format!("{file} of image {image}: ") })
}

/// The failures of a mount.
pub(super) struct Failures {
    /// The last one of each file.
    of: Mutex<LruCache<Ino, Arc<Failed>>>,
    all: Mutex<VecDeque<Arc<Failed>>>,
    /// How many there were, by the names of their errnos.
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { of: Mutex::new(LruCache::new(REMEMBERED)), all: Mutex::default(), counts: Mutex::default() }
    }
}

impl Failures {
    /// Remembers why the last operation on a file failed.
    pub(super) fn note(&self, ino: Ino, failed: Failed) {
        let failed = Arc::new(failed);
        *lock(&self.counts).entry(failed.errno.clone()).or_default() += 1;
        lock(&self.of).put(ino, Arc::clone(&failed));
        let mut all = lock(&self.all);
        if all.len() >= REMEMBERED.get() {
            all.pop_front();
        }
        all.push_back(failed);
    }

    /// Tells of the last failure on a file to who looks at another one, too.
    pub(super) fn tell_also(&self, other: Ino, of: Ino) {
        let mut known = lock(&self.of);
        if let Some(failed) = known.get(&of).cloned() {
            known.put(other, failed);
        }
    }

    /// The last failure on a file.
    pub(super) fn last(&self, ino: Ino) -> Option<Arc<Failed>> {
        lock(&self.of).get(&ino).cloned()
    }

    /// The last failure that was told by one of these paths.
    pub(super) fn last_at(&self, paths: &[String]) -> Option<Arc<Failed>> {
        lock(&self.all).iter().rev().find(|failed| paths.contains(&failed.path)).cloned()
    }

    /// How many there were, by the names of their errnos.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    /// All that are remembered, each a JSON object on a line, the newest last.
    pub(super) fn lines(&self) -> String {
        lock(&self.all).iter().map(|failed| failed.to_json() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Kind, ServiceError};

    fn failed(n: u64) -> Failed {
        let (path, sentence) = (format!("by-id/{n}"), format!("number {n}"));
        Failed { time: Timestamp::UNIX_EPOCH, path, errno: "EPERM".to_owned(), sentence, request_id: None }
    }

    #[test]
    fn the_last_256_failures_are_told_and_the_newest_is_the_last() {
        let failures = Failures::default();
        for n in 0..300 {
            failures.note(Ino(n % 2), failed(n));
        }
        let lines = failures.lines();
        assert_eq!(lines.lines().count(), 256);
        let (first, last) = (lines.lines().next().unwrap(), lines.lines().last().unwrap());
        assert!(first.contains("number 44\"") && last.contains("number 299\""), "{first} {last}");
        assert_eq!(
            last,
            r#"{"time":"1970-01-01T00:00:00Z","path":"by-id/299","errno":"EPERM","sentence":"number 299","request_id":null}"#
        );
        assert_eq!(failures.last(Ino(0)).unwrap().sentence, "number 298");
        assert_eq!(failures.last(Ino(2)), None);
        failures.tell_also(Ino(2), Ino(0));
        assert_eq!(failures.last(Ino(2)).unwrap().path, "by-id/298");
    }

    #[test]
    fn each_sentence_names_the_image_and_none_does_so_twice() {
        let id = "cbedf87a-9d62-4eec-b777-de1bd4867530";
        let said = |path: &str, error: FsError| Failed::of(Timestamp::UNIX_EPOCH, path.to_owned(), &error).sentence;
        let text = said(&format!("by-id/{id}/properties/p"), FsError::NotText);
        assert!(text.starts_with(&format!("properties/p of image {id}: what was written is not text")), "{text}");
        let named = said(&format!("by-id/{id}/data"), FsError::Deactivated(id.parse().unwrap()));
        assert!(named.starts_with(&format!("image {id} is deactivated")), "{named}");
        assert!(said(&format!("by-id/{id}"), FsError::NotPermitted("no")).starts_with(&format!("image {id}: no")));
        assert_eq!(said("by-name", FsError::NotPermitted("no")), "no");
        assert_eq!(said(&format!("by-id/{id}/tags/t"), FsError::ReadOnly), FsError::ReadOnly.to_string());
    }

    #[test]
    fn a_name_with_a_line_break_forges_no_line_and_its_escape_reaches_no_terminal() {
        let name = "x\n{\"time\"}\u{1b}[2J\u{9b}1m\u{85}\u{2028}\u{202e}";
        let errors = [
            FsError::NotFound { folder: "tags".to_owned(), name: name.to_owned() },
            FsError::Unnameable { folder: "by-name".to_owned(), name: name.to_owned(), why: "" },
            FsError::Taken(name.to_owned()),
            FsError::Exists(name.to_owned()),
            FsError::Change(ServiceError::new(Kind::Forbidden, format!("add the tag '{name}'")).with_words(name)),
        ];
        let failures = Failures::default();
        for error in &errors {
            failures.note(Ino(1), Failed::of(Timestamp::UNIX_EPOCH, format!("by-name/{name}"), error));
            let told = failures.last(Ino(1)).unwrap();
            assert!(told.sentence.contains("x\\u000a{\"time\"}\\u001b[2J\\u009b1m\\u0085\\u2028\\u202e"), "{told:?}");
            assert_eq!(Plain(&told.sentence).to_string(), told.sentence);
            assert_eq!(serde_json::from_str::<Failed>(&told.to_json()).unwrap(), *told, "the path is exact");
        }
        let lines = failures.lines();
        assert_eq!(lines.split(['\n', '\u{85}', '\u{2028}']).count(), errors.len() + 1, "{lines}");
        assert!(!lines.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{lines}");
    }
}
