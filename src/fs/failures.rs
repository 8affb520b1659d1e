//! The last failure on each file, for `user.glancefs.error`.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::inode::Ino;

/// How many files' failures are remembered; of further ones the oldest is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The last sentence of each file.
pub(super) struct Failures(Mutex<LruCache<Ino, String>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Failures {
    /// Remembers why the last operation on a file failed.
    pub(super) fn note(&self, ino: Ino, sentence: String) {
        self.all().put(ino, sentence);
    }

    /// The last failure on a file.
    pub(super) fn last(&self, ino: Ino) -> Option<String> {
        self.all().get(&ino).cloned()
    }

    fn all(&self) -> MutexGuard<'_, LruCache<Ino, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
