//! Whose an image is and who sees it. The Compute API tells neither; what the cloud's Image service told is remembered.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Compute;
use crate::image::{Image, ImageId, Text, Visibility};
use crate::service::{ImageService, Kind, Result, ServiceError};
use crate::sync::{Mutex, lock};

/// Of how many images it is remembered. Who looks at more of them is told again.
const MOST: usize = 10_000;

/// What the Image service told of images.
pub(super) struct Rights {
    known: Mutex<HashMap<ImageId, Told>>,
    /// Whether it matters to a change who sees an image.
    keeps_visibility: bool,
}

struct Told {
    owner: Option<Text>,
    visibility: Visibility,
    /// When the image was last changed, then: who sees it may be another thing after a later change.
    updated_at: Timestamp,
}

impl Rights {
    /// Nothing is known yet. `keeps_visibility` where images that others see are not to become private.
    pub(super) fn new(keeps_visibility: bool) -> Self {
        Self { known: Mutex::default(), keeps_visibility }
    }

    /// Remembers what the Image service shows of an image.
    pub(super) fn learn(&self, image: &Image) {
        let told =
            Told { owner: image.owner.clone(), visibility: image.visibility.clone(), updated_at: image.updated_at };
        let mut known = lock(&self.known);
        if known.len() >= MOST && !known.contains_key(&image.id) {
            known.clear();
        }
        known.insert(image.id, told);
    }

    /// Adds to an image of the Compute service what is known of it. Nobody's image changes hands.
    pub(super) fn complete(&self, image: &mut Image) {
        let known = lock(&self.known);
        let Some(told) = known.get(&image.id) else { return };
        image.owner.clone_from(&told.owner);
        if self.keeps_visibility && told.updated_at == image.updated_at {
            image.visibility = told.visibility.clone();
        }
    }
}

/// An image as far as it has to be known before its properties are changed: what they are, and who sees it.
///
/// # Errors
/// Where the Image service, which knows who sees it, does not answer.
pub(super) async fn look(compute: &Compute, image: ImageId, action: &str) -> Result<Image> {
    if compute.images.absence().is_some() {
        let shown = compute.show_with(image, &["metadata"]).await;
        return shown.map_err(|error| ServiceError { action: action.to_owned(), ..error });
    }
    // One whose visibility cannot be read is not private.
    let asking = async { compute.images.get().await?.show_with(image, &["visibility"]).await };
    let shown = asking.await.map_err(|error| unasked(error, action))?;
    compute.rights.learn(&shown);
    Ok(shown)
}

/// Refuses changes of properties that make an image private.
///
/// Nova knows public images and private ones. With each write of metadata it makes every other image private, and who it
/// was shared with sees it no more.
pub(super) fn may_be_changed(compute: &Compute, shown: &Image, action: &str) -> Result<()> {
    let refused = |words: String| Err(ServiceError::new(Kind::Forbidden, action).with_advice(words));
    match &shown.visibility {
        Visibility::Public | Visibility::Private => Ok(()),
        _ if compute.images.absence().is_some() => {
            refused(compute.offers().why_no_properties().unwrap_or_default().to_owned())
        }
        seen => refused(anothers(compute, shown).unwrap_or_else(|| {
            format!(
                "it is {}, and the Compute service makes such an image private with every change of its properties, so that \
                 others see it no more; change it in a mount with --service image, or mount with --allow-visibility-change",
                seen.as_str()
            )
        })),
    }
}

/// The sentence for an image of another project, where that is known; administrators change those too.
fn anothers(compute: &Compute, image: &Image) -> Option<String> {
    let owner = image.owner.as_deref()?;
    let is_own = compute.is_administrator || compute.project.as_deref().is_none_or(|own| own == owner);
    (!is_own).then(|| format!("it belongs to project {owner}, and only that project changes it"))
}

/// A change that the service does not allow, with what is known of the reason. The service says only that it is so.
pub(super) fn forbidden(compute: &Compute, image: ImageId, error: ServiceError) -> ServiceError {
    if error.kind != Kind::Forbidden || error.advised {
        return error;
    }
    let said = error.words.as_deref().unwrap_or("it is not allowed").trim_end_matches('.').to_owned();
    let known = lock(&compute.rights.known).get(&image).and_then(|told| told.owner.clone());
    let own = compute.project.as_deref();
    let words = match known.filter(|owner| own.is_some_and(|own| own != owner.as_str())) {
        Some(owner) => format!("{said}: it belongs to project {owner}, and only that project changes it"),
        None => format!("{said}: it is another project's, or this login may only look"),
    };
    error.with_advice(words)
}

/// The Image service, which knows who sees the image, could not be asked.
fn unasked(error: ServiceError, action: &str) -> ServiceError {
    let action = format!("{action}, because only the Image service tells who sees it: could not {}", error.action);
    ServiceError { action, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image;

    fn told(visibility: Visibility) -> Image {
        Image { owner: Some("theirs".into()), visibility, ..image(1, "x") }
    }

    fn listed() -> Image {
        Image { owner: None, visibility: Visibility::Other("".into()), ..image(1, "x") }
    }

    fn completed(rights: &Rights, mut image: Image) -> (Option<Text>, Visibility) {
        rights.complete(&mut image);
        (image.owner, image.visibility)
    }

    #[test]
    fn who_sees_an_image_is_known_until_it_is_changed_and_whose_it_is_for_good() {
        let rights = Rights::new(true);
        assert_eq!(completed(&rights, listed()), (None, Visibility::Other("".into())));
        rights.learn(&told(Visibility::Shared));
        assert_eq!(completed(&rights, listed()), (Some("theirs".into()), Visibility::Shared));
        let later = Image { updated_at: Timestamp::MAX, ..listed() };
        assert_eq!(completed(&rights, later), (Some("theirs".into()), Visibility::Other("".into())));
        let indifferent = Rights::new(false);
        indifferent.learn(&told(Visibility::Shared));
        assert_eq!(completed(&indifferent, listed()).1, Visibility::Other("".into()));
    }
}
