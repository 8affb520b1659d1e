//! What failed lately: on each file, for `user.glancefs.error`; and all of it in its order, for `.glancefs/errors`.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use jiff::Timestamp;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::inode::Ino;
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

/// The failures of a mount.
pub(super) struct Failures {
    /// The last sentence of each file.
    of: Mutex<LruCache<Ino, String>>,
    all: Mutex<VecDeque<Failed>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { of: Mutex::new(LruCache::new(REMEMBERED)), all: Mutex::default() }
    }
}

impl Failures {
    /// Remembers why the last operation on a file failed.
    pub(super) fn note(&self, ino: Ino, failed: Failed) {
        lock(&self.of).put(ino, failed.sentence.clone());
        let mut all = lock(&self.all);
        if all.len() >= REMEMBERED.get() {
            all.pop_front();
        }
        all.push_back(failed);
    }

    /// Tells of a failure on another file too.
    pub(super) fn tell(&self, ino: Ino, sentence: String) {
        lock(&self.of).put(ino, sentence);
    }

    /// The last failure on a file.
    pub(super) fn last(&self, ino: Ino) -> Option<String> {
        lock(&self.of).get(&ino).cloned()
    }

    /// All that are remembered, each a JSON object on a line, the newest last.
    pub(super) fn lines(&self) -> String {
        let line = |failed: &Failed| serde_json::to_string(failed).map(|line| line + "\n").unwrap_or_default();
        lock(&self.all).iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(failures.last(Ino(0)).unwrap(), "number 298");
        assert_eq!(failures.last(Ino(2)), None);
    }
}
