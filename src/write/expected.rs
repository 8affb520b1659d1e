//! The hashes that the bytes of an upload have to have, where somebody said so before they were written.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::WriteError;
use super::state::{Hashes, State};
use super::upload::Upload;
use crate::sync::lock;

/// Hashes in lower-case hexadecimal digits, as far as somebody told them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The MD5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// The SHA-512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
}

/// Bytes that have another hash than was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unexpected {
    algorithm: &'static str,
    expected: String,
    actual: String,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, expected, actual } = self;
        write!(out, "their {algorithm} is {actual}, and is to be {expected}")
    }
}

impl Expected {
    /// Compares the hashes of bytes with those that were told.
    pub(super) fn compare(&self, own: &Hashes) -> Result<(), Unexpected> {
        let pairs = [("SHA-512", &self.sha512, &own.sha512), ("MD5", &self.md5, &own.md5)];
        let differs = pairs.into_iter().find_map(|(algorithm, expected, actual)| {
            let expected = expected.clone().filter(|expected| expected != actual)?;
            Some(Unexpected { algorithm, expected, actual: actual.clone() })
        });
        differs.map_or(Ok(()), Err)
    }
}

impl Upload {
    /// Writes down which hashes the bytes have to have: others are not sent. Survives a kill.
    ///
    /// # Errors
    /// [`WriteError::Underway`] where the bytes are complete, since they may be on their way;
    /// [`WriteError::Spool`] where the disk does not take it.
    pub async fn note_expected(self: &Arc<Self>, expected: Expected) -> Result<(), WriteError> {
        let noted = self.on_spool("note the hashes of", move |upload| {
            let mut record = lock(&upload.record);
            if !matches!(record.job.state, State::Writing | State::Failed { .. }) {
                return Ok(false);
            }
            let mut job = record.job.clone();
            job.expected = Some(expected);
            let durable = job.durable;
            upload.write_job(&job, durable)?;
            record.job = job;
            Ok(true)
        });
        if noted.await? { Ok(()) } else { Err(WriteError::Underway(self.image())) }
    }

    /// The hashes that the bytes have to have, where somebody said so.
    pub fn expected(&self) -> Option<Expected> {
        lock(&self.record).job.expected.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_compared_and_what_was_not_is_not() {
        let own = Hashes { md5: "aa".to_owned(), sha512: "bb".to_owned() };
        let expected = |md5: Option<&str>, sha512: Option<&str>| Expected {
            md5: md5.map(str::to_owned),
            sha512: sha512.map(str::to_owned),
        };
        for fits in [expected(None, None), expected(Some("aa"), None), expected(Some("aa"), Some("bb"))] {
            assert_eq!(fits.compare(&own), Ok(()));
        }
        let differs = expected(Some("aa"), Some("cc")).compare(&own).unwrap_err().to_string();
        assert_eq!(differs, "their SHA-512 is bb, and is to be cc");
        assert!(expected(Some("00"), None).compare(&own).is_err());
    }
}
