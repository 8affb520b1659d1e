//! What is odd about what a service tells, said once: it tells the same with each listing and whenever an image is shown.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// Sentences that are said, and kept so as not to be said again. All that a service tells may be odd.
pub const MOST: usize = 1000;

/// What was said of a service. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Remarks(Arc<Mutex<HashSet<String>>>);

impl Remarks {
    /// Says what is odd, where that was not said before.
    pub fn say(&self, odd: impl IntoIterator<Item = String>) {
        for odd in odd {
            if self.is_new(&odd) {
                tracing::warn!("{odd}");
            }
        }
    }

    fn is_new(&self, odd: &str) -> bool {
        let mut said = lock(&self.0);
        said.len() < MOST && said.insert(odd.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_said_once_whoever_says_it_and_no_more_than_a_thousand_are() {
        let remarks = Remarks::default();
        assert!(remarks.is_new("a") && remarks.clone().is_new("b"));
        assert!(!remarks.is_new("b") && !remarks.clone().is_new("a"));
        let said = (0..2 * MOST).filter(|n| remarks.is_new(&n.to_string())).count();
        assert_eq!(said, MOST - 2);
    }
}
