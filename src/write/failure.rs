//! What to do after a call failed.

use super::state::{Cause, Reason};
use crate::service::{Kind, ServiceError};

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing came of it: try again later.
    Retry,
    /// Something may have come of it, or the image is not what it was: ask the service for its status.
    LookAgain,
    /// Trying again would fail again.
    Permanent,
}

/// What to do after an upload failed so.
pub(super) fn verdict(kind: &Kind) -> Verdict {
    match kind {
        // Nothing reached the service.
        Kind::Unreachable | Kind::Login => Verdict::Retry,
        // The answer may have been lost, or another upload of the same image is under way. A token that was refused at
        // the end of an upload has cost the image (GLANCE: 401 after the last byte deletes it).
        Kind::Unavailable
        | Kind::TimedOut
        | Kind::Malformed
        | Kind::Conflict
        | Kind::Gone
        | Kind::Unauthorized
        | Kind::NoData
        | Kind::MarkerGone
        | Kind::Unseekable
        | Kind::Unranged => Verdict::LookAgain,
        Kind::NotFound
        | Kind::Forbidden
        | Kind::OverQuota
        | Kind::TooLarge
        | Kind::StoreFull
        | Kind::Invalid
        | Kind::FormatMismatch
        | Kind::NotOffered
        | Kind::Untrusted
        | Kind::Configuration => Verdict::Permanent,
    }
}

/// The reason that is told for a failure, once it is one for good.
pub(super) fn reason(kind: &Kind) -> Reason {
    match kind {
        Kind::NotFound | Kind::Gone => Reason::Gone,
        Kind::Unauthorized | Kind::Login => Reason::Login,
        Kind::Forbidden => Reason::Forbidden,
        Kind::Conflict => Reason::Conflict,
        Kind::OverQuota => Reason::Quota,
        Kind::TooLarge => Reason::TooLarge,
        Kind::StoreFull => Reason::StoreFull,
        Kind::FormatMismatch => Reason::Poisoned,
        Kind::Invalid => Reason::Invalid,
        Kind::NotOffered => Reason::NotOffered,
        Kind::TimedOut => Reason::TimedOut,
        Kind::Unreachable => Reason::Unreachable,
        Kind::Untrusted => Reason::Untrusted,
        Kind::Unavailable
        | Kind::Malformed
        | Kind::Configuration
        | Kind::NoData
        | Kind::MarkerGone
        | Kind::Unseekable
        | Kind::Unranged => Reason::Unavailable,
    }
}

/// The cause that is told for a failed call.
pub(super) fn cause(error: &ServiceError) -> Cause {
    let advice = match error.kind {
        Kind::FormatMismatch => "; the service leaves such an image unusable: delete it, and make a new one",
        Kind::NotFound | Kind::Gone => "; it was deleted meanwhile, the bytes are kept until they are discarded",
        _ => "",
    };
    Cause::new(reason(&error.kind), format!("{error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_permanent_and_a_lost_answer_is_asked_for() {
        let kinds = [Kind::OverQuota, Kind::TooLarge, Kind::StoreFull, Kind::Invalid, Kind::Forbidden, Kind::NotFound];
        for kind in kinds {
            assert_eq!(verdict(&kind), Verdict::Permanent, "{kind:?}");
        }
        for kind in [Kind::Unavailable, Kind::TimedOut, Kind::Conflict, Kind::Gone, Kind::Unauthorized] {
            assert_eq!(verdict(&kind), Verdict::LookAgain, "{kind:?}");
        }
        assert_eq!(verdict(&Kind::Unreachable), Verdict::Retry);
    }

    #[test]
    fn what_poisons_an_image_says_what_to_do() {
        let refused = ServiceError::new(Kind::FormatMismatch, "upload the data of image x");
        let cause = cause(&refused);
        assert_eq!(cause.reason, Reason::Poisoned);
        assert!(cause.sentence.contains("delete it"), "{cause}");
    }
}
