//! What this mount changed itself, until a listing is sure to show it.

use std::sync::Arc;

use tokio::time::Instant;

use super::Timed;
use super::snapshot::Snapshot;
use crate::image::{Image, ImageId};

/// A change that the service has confirmed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// An image is new, or is now this.
    Image(Arc<Image>),
    /// An image was deleted.
    Gone(ImageId),
}

impl Change {
    fn image(&self) -> ImageId {
        match self {
            Self::Image(image) => image.id,
            Self::Gone(id) => *id,
        }
    }
}

/// The changes that a listing may lack which was asked for before them.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Timed<Change>>);

impl Changes {
    /// Notes a change that was confirmed now.
    pub(super) fn note(&mut self, change: Change) {
        // Of each image the last one counts.
        self.0.retain(|known| known.value.image() != change.image());
        self.0.push(Timed { value: change, since: Instant::now() });
    }

    /// What the service listed when it was asked at `since`, with what was changed behind that. Older changes are
    /// forgotten: from now on the listing has them.
    pub(super) fn bring_up(&mut self, listed: Snapshot, since: Instant) -> Snapshot {
        self.0.retain(|change| change.since >= since);
        self.0.iter().fold(listed, |snapshot, change| snapshot.with(&change.value))
    }
}
