//! The states of an upload, and which may follow which.
//!
//! | state | what survives a kill |
//! |---|---|
//! | `Writing` | the bytes so far; they are kept and not sent, because nobody said that they are all |
//! | `Sealed` | everything; it is sent |
//! | `Sending`, `Verifying` | everything; the service is asked how far it came |
//! | `Waiting` | everything; it is tried again when its time has come |
//! | `Failed` | everything; it stays until somebody retries or discards it |
//! | `Done` | nothing is left to keep |

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Bytes are written; nobody closed it yet.
    Writing,
    /// Complete, and in the queue.
    Sealed(Sealed),
    /// Its bytes are on their way.
    Sending {
        /// What is sent.
        sealed: Sealed,
        /// Which try it is, from 1 on.
        attempt: u32,
    },
    /// The service has the bytes; its hash is compared with our own.
    Verifying {
        /// What was sent.
        sealed: Sealed,
        /// Which try it is, from 1 on.
        attempt: u32,
    },
    /// Active, and its bytes are the right ones.
    Done,
    /// It failed, and is tried again.
    Waiting {
        /// What is to be sent.
        sealed: Sealed,
        /// How many tries failed.
        attempt: u32,
        /// When the next one begins.
        until: Timestamp,
        /// Why the last one failed.
        cause: Cause,
        /// Since when the service has shown `saving`, where it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saving: Option<Timestamp>,
    },
    /// It failed for good.
    Failed {
        /// What was to be sent.
        sealed: Sealed,
        /// How many tries were made.
        attempt: u32,
        /// Why.
        cause: Cause,
    },
}

/// Bytes that are complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// How many bytes there are.
    pub size: u64,
    /// Their hashes, once they are computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
}

/// Hashes of all bytes, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// The MD5.
    pub md5: String,
    /// The SHA-512.
    pub sha512: String,
}

/// Why an upload did not succeed. Its `Display` is the sentence that people read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{sentence}")]
pub struct Cause {
    /// The kind of failure.
    pub reason: Reason,
    /// The sentence.
    pub sentence: String,
}

impl Cause {
    pub(super) fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { reason, sentence: sentence.into() }
    }
}

/// The kinds of failure of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The image is gone: deleted by somebody, or by the service itself.
    Gone,
    /// A quota of the project is used up.
    Quota,
    /// The image is larger than the service takes any.
    TooLarge,
    /// The service's store has no room.
    StoreFull,
    /// The bytes are not in the format that the image names, or in none that the service takes.
    Format,
    /// An earlier upload left the image unusable: only deleting it helps.
    Poisoned,
    /// The service does not accept the request.
    Invalid,
    /// A policy forbids it.
    Forbidden,
    /// There is no valid login, or the token is refused.
    Login,
    /// The image is in another status than an upload needs: somebody else imports it, or killed it.
    Conflict,
    /// The image is active with other bytes than ours.
    Mismatch,
    /// The service has shown `saving` for longer than any upload takes.
    Stuck,
    /// The service fails again and again.
    Unavailable,
    /// Something stood still for too long.
    TimedOut,
    /// Nothing answers at the service's address.
    Unreachable,
    /// The certificate of the service is not to be trusted.
    Untrusted,
    /// The service does not offer it.
    NotOffered,
    /// The bytes or the record cannot be read or written on our own disk.
    Spool,
}

impl State {
    /// The state in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Sealed(_) => "sealed",
            Self::Sending { .. } => "sending",
            Self::Verifying { .. } => "verifying",
            Self::Done => "done",
            Self::Waiting { .. } => "waiting",
            Self::Failed { .. } => "failed",
        }
    }

    /// What is complete, where it is.
    pub fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Writing | Self::Done => None,
            Self::Sealed(sealed)
            | Self::Sending { sealed, .. }
            | Self::Verifying { sealed, .. }
            | Self::Waiting { sealed, .. }
            | Self::Failed { sealed, .. } => Some(sealed),
        }
    }

    /// How many tries were begun.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Writing | Self::Sealed(_) | Self::Done => 0,
            Self::Sending { attempt, .. }
            | Self::Verifying { attempt, .. }
            | Self::Waiting { attempt, .. }
            | Self::Failed { attempt, .. } => *attempt,
        }
    }

    /// Why the last try failed, where one did.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Waiting { cause, .. } | Self::Failed { cause, .. } => Some(cause),
            Self::Writing | Self::Sealed(_) | Self::Sending { .. } | Self::Verifying { .. } | Self::Done => None,
        }
    }

    /// Whether the queue goes on with it by itself.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Sending { .. } | Self::Verifying { .. } | Self::Waiting { .. })
    }

    /// Whether `next` may follow. What is not done can always be written again.
    pub(super) fn may_become(&self, next: &Self) -> bool {
        let allowed = match self {
            Self::Done => false,
            Self::Writing => matches!(next, Self::Writing | Self::Sealed(_) | Self::Failed { .. }),
            Self::Failed { .. } => matches!(next, Self::Writing | Self::Sealed(_)),
            Self::Waiting { .. } => *next != Self::Done,
            Self::Sealed(_) | Self::Sending { .. } => !matches!(next, Self::Sealed(_) | Self::Done),
            Self::Verifying { .. } => !matches!(next, Self::Sealed(_)),
        };
        let both = self.sealed().zip(next.sealed());
        allowed && both.is_none_or(|(here, there)| here.size == there.size)
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        Sealed { size: 5, hashes: Some(Hashes { md5: "5d41".to_owned(), sha512: "9b71".to_owned() }) }
    }

    fn all() -> Vec<State> {
        let (sealed, attempt, cause) = (sealed(), 2, Cause::new(Reason::Quota, "no room"));
        let until = "2026-01-02T03:04:05.5Z".parse().unwrap();
        vec![
            State::Writing,
            State::Sealed(sealed.clone()),
            State::Sending { sealed: sealed.clone(), attempt },
            State::Verifying { sealed: sealed.clone(), attempt },
            State::Done,
            State::Waiting { sealed: sealed.clone(), attempt, until, cause: cause.clone(), saving: Some(until) },
            State::Failed { sealed, attempt, cause },
        ]
    }

    #[test]
    fn every_state_survives_being_written_down() {
        for state in all() {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
            assert!(text.contains(&format!("\"state\":\"{state}\"")), "{text}");
        }
    }

    #[test]
    fn what_is_done_is_over_and_what_is_not_can_be_written_again() {
        for state in all() {
            assert_eq!(state.may_become(&State::Writing), state != State::Done, "{state}");
            assert!(!State::Done.may_become(&state), "{state}");
        }
    }

    #[test]
    fn only_what_was_verified_is_done_and_nothing_is_sent_that_was_not_sealed() {
        for state in all() {
            assert_eq!(state.may_become(&State::Done), state.word() == "verifying", "{state}");
            let sending = State::Sending { sealed: sealed(), attempt: 3 };
            assert_eq!(state.may_become(&sending), state.is_under_way(), "{state}");
        }
    }

    #[test]
    fn no_step_of_the_queue_changes_the_size_of_what_was_sealed() {
        let other = Sealed { size: 6, ..sealed() };
        for state in all().into_iter().filter(State::is_under_way) {
            assert!(!state.may_become(&State::Sending { sealed: other.clone(), attempt: 3 }), "{state}");
        }
    }
}
