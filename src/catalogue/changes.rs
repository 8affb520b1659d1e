//! What became known of single images, until a listing is sure to show it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Timed;
use super::snapshot::Snapshot;
use crate::image::{Image, ImageId};

/// Something that the service has told about one image.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// An image is new, or is now this.
    Image(Arc<Image>),
    /// An image was deleted.
    Gone(ImageId),
}

impl Change {
    /// Whose it is.
    pub(super) fn image(&self) -> ImageId {
        match self {
            Self::Image(image) => image.id,
            Self::Gone(id) => *id,
        }
    }

    /// What the image is now, if it is.
    pub(super) fn now(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Gone(_) => None,
        }
    }
}

/// The changes that a listing may lack which was asked for before them, of each image the last one.
#[derive(Debug, Default)]
pub(super) struct Changes {
    noted: HashMap<ImageId, Timed<Change>>,
    /// When the listings were asked for that are on their way.
    asked: Vec<Instant>,
}

impl Changes {
    /// Notes what was known at `since`.
    pub(super) fn note(&mut self, change: Change, since: Instant) {
        self.noted.insert(change.image(), Timed { value: change, since });
    }

    /// Whether something was noted of an image that a listing asked for at `since` may lack.
    pub(super) fn is_newer(&self, image: ImageId, since: Instant) -> bool {
        self.noted.get(&image).is_some_and(|change| change.since >= since)
    }

    /// A listing is asked for: what is noted from now on is kept until it has been answered.
    pub(super) fn asked(&mut self, since: Instant) {
        self.asked.push(since);
    }

    /// It was answered, or failed. What no listing on its way can lack is forgotten.
    pub(super) fn answered(&mut self, since: Instant) {
        if let Some(at) = self.asked.iter().position(|asked| *asked == since) {
            self.asked.swap_remove(at);
        }
        let oldest = self.asked.iter().copied().min();
        self.noted.retain(|_, change| oldest.is_some_and(|oldest| change.since >= oldest));
    }

    /// Brings what the service listed when it was asked at `since` up to what was noted behind that.
    pub(super) fn bring_up(&self, listed: &mut Snapshot, since: Instant) {
        for change in self.noted.values().filter(|change| change.since >= since) {
            listed.change(&change.value);
        }
    }
}
