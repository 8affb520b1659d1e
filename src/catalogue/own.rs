//! What is changed through the mount, and shows at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Catalogue, Seen, Timed, is_away};
use crate::image::{Image, ImageId, Member};
use crate::service::Result;

impl Catalogue {
    /// Takes in what the service answered to a change of ours: an image that is new, or is now this.
    pub fn learn(&self, image: Image) {
        let mut state = self.state();
        state.has_changed();
        state.amended.pop(&image.id);
        state.learn(Arc::new(image));
    }

    /// Takes in what the service showed to who asked for one image at `asked`, unless something newer is known.
    pub fn saw(&self, image: Image, asked: Instant) {
        let mut state = self.state();
        if state.shown.peek(&image.id).is_none_or(|known| known.since <= asked) {
            state.amended.pop(&image.id);
            state.learn(Arc::new(image));
        }
    }

    /// Takes in a change of ours whose answer showed no image. What the service changed with it, such as the time of the
    /// last change, is not known then; see [`Self::whole`].
    pub fn amend(&self, id: ImageId, change: impl FnOnce(&mut Image)) {
        let mut state = self.state();
        state.has_changed();
        let listed = state.listing.as_ref().and_then(|listing| listing.value.image(id).cloned());
        let shown = || state.shown.peek(&id).and_then(|known| known.value.clone().ok());
        let Some(mut image) = listed.or_else(shown) else { return };
        change(Arc::make_mut(&mut image));
        state.learn(image);
        state.amended.put(id, Instant::now());
    }

    /// Takes in whose an image is and who sees it, which the service shows only to who asks for that.
    pub fn completes(&self, told: &Image) {
        let mut state = self.state();
        let listed = state.listing.as_ref().and_then(|listing| listing.value.image(told.id).cloned());
        let shown = || state.shown.peek(&told.id).and_then(|known| known.value.clone().ok());
        let Some(mut image) = listed.or_else(shown) else { return };
        let is_newer = image.updated_at != told.updated_at;
        if is_newer || (&image.owner, &image.visibility) == (&told.owner, &told.visibility) {
            return;
        }
        let known = Arc::make_mut(&mut image);
        known.owner.clone_from(&told.owner);
        known.visibility = told.visibility.clone();
        state.learn(image);
    }

    /// One image as [`Self::image`] answers it, and all of it as the service showed it at one moment: where that is not known
    /// for a change of ours, it is asked.
    pub async fn whole(&self, id: ImageId) -> Result<Seen<Arc<Image>>> {
        let known = self.image(id).await?;
        let is_whole = {
            let mut state = self.state();
            let amended = state.amended.peek(&id).copied();
            let listed = state.listing.as_ref().filter(|listing| listing.value.image(id).is_some());
            let is_whole = amended.is_none_or(|amended| listed.is_some_and(|listing| listing.since > amended));
            if is_whole {
                state.amended.pop(&id);
            }
            is_whole || state.away
        };
        if is_whole {
            return Ok(known);
        }
        let asked = Instant::now();
        match self.0.service.show(id).await {
            Ok(image) => {
                self.saw(image, asked);
                self.image(id).await
            }
            Err(error) if is_away(&error.kind) => Ok(Seen { fresh_for: Duration::ZERO, ..known }),
            Err(error) => Err(error),
        }
    }

    /// How many changes of ours there were.
    pub fn changes(&self) -> u64 {
        self.state().own_changes
    }

    /// The members of an image were changed: they are asked for when they are looked at. An answer that is on its way is
    /// for who asked, and not remembered.
    pub fn forget_members(&self, id: ImageId) {
        let mut state = self.state();
        state.has_changed();
        state.forget_members(id);
    }

    /// Takes in that an image is shared with one more project. An answer that is on its way may lack it, and is not remembered.
    pub fn shared(&self, id: ImageId, member: &Member) {
        let mut state = self.state();
        let known = state.members.pop(&id);
        state.has_changed();
        state.forget_members(id);
        if let Some(Timed { value, since }) = known {
            let others = value.iter().filter(|other| other.project != member.project);
            let value = others.chain([member]).cloned().collect();
            state.members.put(id, Timed { value, since });
        }
    }

    /// Takes in that we deleted an image.
    pub fn gone(&self, id: ImageId) {
        let mut state = self.state();
        state.has_changed();
        state.lose(id);
    }
}
