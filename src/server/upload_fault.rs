//! What befalls uploads, beyond what befalls every request: on the way, at the end, and in what is left behind.

use super::behaviour::Faults;
use super::faults::{Fault, replacement};
use axum::body::Body;
use axum::http::{Response, StatusCode};

/// One fault of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// The connection ends before a byte of the image was read.
    Closed,
    /// 503 with `Retry-After`, before a byte was read.
    Unavailable,
    /// 429 with `Retry-After`, before a byte was read.
    Limited,
    /// A proxy's 502, before a byte was read.
    Page,
    /// The connection ends in the middle; the image is queued again.
    Cut,
    /// 500 in the middle; the image is queued again.
    Broken,
    /// From the middle on nothing is read for ten minutes. Then it is like [`Self::Cut`].
    Stalled,
    /// The image is complete, and the connection ends without an answer.
    Unanswered,
    /// The image is complete, and a proxy that did not wait for it answers 504.
    Late,
    /// The connection ends in the middle, and the image stays in `saving` for ever, as behind a worker that was killed.
    Stuck,
}

/// What a seed chooses from: all that ends by itself.
const SEEDED: [UploadFault; 8] = [
    UploadFault::Closed,
    UploadFault::Unavailable,
    UploadFault::Limited,
    UploadFault::Page,
    UploadFault::Cut,
    UploadFault::Broken,
    UploadFault::Unanswered,
    UploadFault::Late,
];

impl Faults {
    /// The fault of an upload that is the request with this number, if it meets one.
    pub fn of_upload(self, number: u64) -> Option<UploadFault> {
        self.drawn(number, &SEEDED)
    }
}

/// How an upload ends that is refused before it is read; `None` for the faults that come later.
pub(crate) enum Early {
    Closed,
    Answered(Box<Response<Body>>),
}

impl UploadFault {
    pub(crate) fn early(self) -> Option<Early> {
        let fault = match self {
            Self::Closed => return Some(Early::Closed),
            Self::Unavailable => Fault::Unavailable,
            Self::Limited => Fault::Limited,
            Self::Page => Fault::Page,
            Self::Cut | Self::Broken | Self::Stalled | Self::Unanswered | Self::Late | Self::Stuck => return None,
        };
        replacement(fault).map(|answer| Early::Answered(Box::new(answer)))
    }

    /// Whether it comes when about half of the bytes have been read.
    pub(crate) fn is_midway(self) -> bool {
        matches!(self, Self::Cut | Self::Broken | Self::Stalled | Self::Stuck)
    }
}

/// What a proxy answers that does not wait any longer.
pub(crate) fn late() -> Response<Body> {
    let mut response = Response::new(Body::from("<html><head><title>504 Gateway Time-out</title></head></html>"));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response
}
