//! Why bytes of an image cannot be had.

use std::time::Duration;

use crate::budget::Exhausted;
use crate::image::ImageId;
use crate::service::ServiceError;

/// A read that failed. It can be cloned, because one failed request is told to everybody who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The service failed, for good.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// There is no memory for it.
    #[error("no memory to read with: {0}")]
    Memory(#[from] Exhausted),
    /// The image was read from end to end, and its bytes are others than the service's hash says.
    #[error("the bytes of image {image} are damaged: their {algorithm} is {actual}, and the service says {expected}")]
    HashMismatch {
        /// The image.
        image: ImageId,
        /// The hash's name.
        algorithm: String,
        /// The hash that the service shows, in hexadecimal digits.
        expected: String,
        /// The hash of the bytes that were read.
        actual: String,
    },
    /// A part of the image was read twice, and its bytes were others: one of the two was damaged on the way.
    #[error("the bytes of image {image} are damaged: the service sent other ones for the same part than before")]
    OtherBytes {
        /// The image.
        image: ImageId,
    },
    /// Nothing arrived for longer than one read may wait.
    #[error("no bytes of image {image} arrived within {} s; try again later, or tell the operator of the service", waited.as_secs())]
    TimedOut {
        /// The image.
        image: ImageId,
        /// How long the read waited.
        waited: Duration,
    },
}

impl ReadError {
    /// Whether bytes that somebody may have got before are damaged.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::HashMismatch { .. } | Self::OtherBytes { .. })
    }
}
