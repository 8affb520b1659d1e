//! What can go wrong between us and the service, as one typed error.

use std::fmt;
use std::time::Duration;

/// A call that failed, for good: retries are behind it.
#[derive(Clone, Debug)]
pub struct ServiceError {
    /// What kind of failure it is.
    pub kind: Kind,
    /// What was tried, to be read behind "could not" (`show image 1b2c…`).
    pub action: String,
    /// The service's own words, without tags and entities.
    pub words: Option<String>,
    /// The service's name for the request (`x-openstack-request-id`), to be given to its operator.
    pub request_id: Option<String>,
    /// How long the service asks to wait before another try (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether the words say already what somebody can do about it.
    pub advised: bool,
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No such image, or none that this project may see (404).
    NotFound,
    /// The token was refused, and so was a new one (401).
    Unauthorized,
    /// A policy forbids it (403).
    Forbidden,
    /// The image is in another status than the action needs (409).
    Conflict,
    /// It went away while it was used (410).
    Gone,
    /// A quota or a limit is used up (413).
    OverQuota,
    /// The image is larger than the service takes any (413).
    TooLarge,
    /// The service's own disk is full (413).
    StoreFull,
    /// The request is malformed in the service's eyes (400, 416).
    Invalid,
    /// The bytes are not in the format that the image names; the service keeps them, and takes no others (415).
    FormatMismatch,
    /// The marker of a listing exists no more.
    MarkerGone,
    /// The image's store answers no ranges.
    Unseekable,
    /// The range was refused or passed over, and not by the image's store: perhaps by a proxy, perhaps this once. The whole
    /// image can be had.
    Unranged,
    /// The image has no bytes (204, or 416 for an empty one).
    NoData,
    /// The service does not offer this (404 on the route, 405, 501).
    NotOffered,
    /// The service failed again and again: 5xx, 429, broken connections.
    Unavailable,
    /// Something stood still for longer than its deadline.
    TimedOut,
    /// Nothing listens there, or there is no way to it.
    Unreachable,
    /// The certificate of the other side is not to be trusted, or our own was refused.
    Untrusted,
    /// The answer is not what the API describes.
    Malformed,
    /// No token could be had.
    Login,
    /// The settings do not lead to a service: no such cloud, no endpoint in the catalog.
    Configuration,
}

impl ServiceError {
    /// A failure of this kind, without words of the service.
    pub fn new(kind: Kind, action: impl Into<String>) -> Self {
        Self { kind, action: action.into(), words: None, request_id: None, retry_after: None, advised: false }
    }

    /// The same with an explanation.
    #[must_use]
    pub fn with_words(mut self, words: impl Into<String>) -> Self {
        self.words = Some(words.into());
        self
    }

    /// The same with an explanation that says what somebody can do about it.
    #[must_use]
    pub fn with_advice(mut self, words: impl Into<String>) -> Self {
        self.advised = true;
        self.with_words(words)
    }
}

impl Kind {
    /// The failure in a few words, for when the service said none.
    fn meaning(&self) -> &'static str {
        match self {
            Self::NotFound => "there is none, or this project may not see it",
            Self::Unauthorized => "the service refuses the token, a new one too",
            Self::Forbidden => "a policy of the service forbids it",
            Self::Conflict => "its status does not allow it",
            Self::Gone => "it is gone",
            Self::OverQuota => "a quota is used up",
            Self::TooLarge => "it is larger than the service takes any image",
            Self::StoreFull => "the service's store is full",
            Self::FormatMismatch => "its bytes are not in the format that it names",
            Self::Invalid => "the service does not accept the request",
            Self::MarkerGone => "an image was deleted while the listing went on",
            Self::Unseekable => "its store gives whole images only, no ranges",
            Self::Unranged => "it was not given as a range",
            Self::NoData => "it has no bytes",
            Self::NotOffered => "this service does not offer it",
            Self::Unavailable => "the service fails, also when asked again",
            Self::TimedOut => "the service did not answer in time",
            Self::Unreachable => "nothing answers at its address",
            Self::Untrusted => "the certificate is not to be trusted",
            Self::Malformed => "the answer is not one of an Image service",
            Self::Login => "there is no valid login",
            Self::Configuration => "the settings lead to no service",
        }
    }

    /// What somebody can do about it, where that is always the same and the words do not say it.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized => Some("log in anew, or see whether the login was revoked"),
            Self::Forbidden => Some("somebody with more rights has to do it"),
            Self::OverQuota => Some("remove what is not needed, or ask for a larger quota"),
            Self::StoreFull => Some("its operator has to make room"),
            Self::Unavailable | Self::TimedOut => Some("try again later, or tell its operator"),
            Self::Unreachable => Some("see whether the address is right and the way there open"),
            _ => None,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.as_deref().unwrap_or_else(|| self.kind.meaning());
        write!(out, "could not {}: {}", self.action, words.trim_end_matches('.'))?;
        if let Some(id) = &self.request_id {
            write!(out, " ({id})")?;
        }
        match self.kind.remedy().filter(|_| !self.advised) {
            Some(remedy) => write!(out, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServiceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_has_the_services_words_and_its_request_id() {
        let plain = ServiceError::new(Kind::NotFound, "show image x");
        assert_eq!(plain.to_string(), "could not show image x: there is none, or this project may not see it");
        let mut told = plain.with_words("No image found with ID x");
        told.request_id = Some("req-1".to_owned());
        assert_eq!(told.to_string(), "could not show image x: No image found with ID x (req-1)");
    }

    #[test]
    fn words_that_say_what_to_do_are_followed_by_no_other_advice() {
        let refused = ServiceError::new(Kind::Forbidden, "change image x");
        assert!(refused.clone().with_words("no").to_string().ends_with("no; somebody with more rights has to do it"));
        assert_eq!(refused.with_advice("no, do that").to_string(), "could not change image x: no, do that");
    }
}
