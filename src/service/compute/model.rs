//! A model of what Nova makes of an image's metadata, with its oddities, for tests that let a plan act on it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{self, Step};
use super::rules::{self, MOST_ITEMS};
use crate::image::Properties;
use crate::service::change::last_of_each_key;
use crate::service::{Change, Kind, Result, ServiceError};

/// Items that Nova writes in a form of its own.
const REWRITTEN: [&str; 2] = ["mappings", "block_device_mapping"];

/// The metadata of one image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nova(pub(crate) BTreeMap<String, String>);

impl Nova {
    /// Makes the changes as the service is asked for them. A request that Nova does not take is a fault of the plan, and ends
    /// the test.
    ///
    /// # Errors
    /// Where the changes are refused before anything is asked for, or there is no room for them.
    pub(crate) fn change(&mut self, changes: &[Change]) -> Result<()> {
        rules::check("change", changes)?;
        let changes = last_of_each_key(changes);
        let known = self.0.iter().filter(|_| plan::depends_on_what_is_there(&changes));
        let known: Properties = known.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        let before = self.clone();
        for step in plan::steps("change", &changes, &known)? {
            self.take(&step).inspect_err(|error| assert!(*self == before, "half of it is made: {error}"))?;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        let wanted = match step {
            Step::Set(key, value) => {
                assert!(rules::is_addressable(key), "no path names {key:?}");
                self.merged([(key.clone(), text(value))])
            }
            Step::Remove(key) => {
                assert!(rules::is_addressable(key), "no path names {key:?}");
                let others = self.0.iter().filter(|(other, _)| *other != key);
                others.map(|(key, value)| (key.clone(), value.clone())).collect()
            }
            Step::Merge(items) => self.merged(texts(items)),
            Step::Replace(items) => {
                let wanted = written(texts(items));
                self.fails_over_a_move(&wanted);
                wanted
            }
        };
        // One may always be removed.
        if wanted.len() > MOST_ITEMS && wanted.len() >= self.0.len() {
            return Err(ServiceError::new(Kind::OverQuota, "change").with_words("Image metadata limit exceeded"));
        }
        self.0 = wanted;
        Ok(())
    }

    fn merged(&self, items: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
        self.0.clone().into_iter().chain(written(items)).collect()
    }

    /// What goes with a value that comes under a new name is a `move` to the library that makes the patch, and Glance knows
    /// none.
    fn fails_over_a_move(&self, wanted: &BTreeMap<String, String>) {
        let added = || wanted.iter().filter(|(key, _)| !self.0.contains_key(*key));
        let gone = self.0.iter().filter(|(key, _)| !wanted.contains_key(*key));
        for (key, value) in gone {
            assert!(!added().any(|(_, new)| new == value), "500: {key:?} is moved");
        }
    }
}

/// What is stored of items that are sent.
fn written(items: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let stored = |(key, value): (String, String)| {
        let is_taken = rules::is_key(&key) && value.chars().count() <= 255;
        assert!(is_taken, "400: {key:?}: {value:?}");
        let value = if REWRITTEN.contains(&key.as_str()) { format!("not {value}") } else { value };
        (key.trim().to_owned(), value)
    };
    items.into_iter().map(stored).collect()
}

fn texts(items: &Value) -> Vec<(String, String)> {
    items.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
