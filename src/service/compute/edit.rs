//! Changing the properties of images and deleting images, so that an answer that was lost changes nothing about the
//! outcome.

use serde_json::{Map, Value, json};

use super::plan::{self, Step};
use super::{Compute, rights, rules};
use crate::image::{Image, ImageId, Properties, Text};
use crate::service::change::{last_of_each_key, undone};
use crate::service::http::{Answered, Call};
use crate::service::{Change, Kind, Result, ServiceError};

/// Deletes an image. One that is gone after a try that may have succeeded was deleted by that.
pub(super) async fn delete(compute: &Compute, image: ImageId) -> Result<()> {
    let call = Call::delete(format!("delete image {image}"), compute.url(&["images", image.as_str()])?);
    let Answered { outcome, unsure } = compute.http.change(&call).await;
    match outcome {
        Err(error) if error.kind == Kind::NotFound && unsure => Ok(()),
        Err(error) if error.kind == Kind::Forbidden => {
            // The service says no more than that it is not allowed.
            let words = error.words.as_deref().unwrap_or("it is not allowed").trim_end_matches('.');
            let words = format!("{words}: it is protected, it is another project's, or this login may only look");
            Err(error.with_advice(words))
        }
        outcome => outcome.map(drop),
    }
}

/// Changes an image's properties until they are as wanted, and answers the image as it is then.
///
/// What was asked for is looked at, because the service does not show the image in its answers. An answer that was lost, or
/// a failure of somebody on the way, is none where the changes are found made.
pub(super) async fn update(compute: &Compute, image: ImageId, changes: &[Change]) -> Result<Image> {
    let action = format!("change image {image}");
    rules::check(&action, changes)?;
    let _turn = compute.turns.take(image).await;
    let mut left = last_of_each_key(changes);
    let mut known = None;
    if compute.visibility_may_change {
        // What changes nothing makes nothing private either.
        let present =
            all_known(compute, image).await.map_err(|error| ServiceError { action: action.clone(), ..error })?;
        left.retain(|change| !holds(change, &present.properties));
        if left.is_empty() {
            return Ok(present);
        }
        known = Some(present.properties);
    } else {
        let present = rights::look(compute, image, &action).await?;
        left.retain(|change| !holds(change, &present.properties));
        if left.is_empty() {
            return all_known(compute, image).await;
        }
        rights::may_be_changed(compute, &present, &action)?;
    }
    let mut tries = compute.http.tries();
    loop {
        let failed = make(compute, image, &action, &left, known.take()).await.err();
        let failed = failed.map(|error| rights::forbidden(compute, image, error));
        if let Some(error) = failed.as_ref().filter(|error| !may_be_made(&error.kind)) {
            return Err(error.clone());
        }
        let looked = all_known(compute, image).await;
        let is_now =
            looked.map_err(|error| failed.clone().unwrap_or(ServiceError { action: action.clone(), ..error }))?;
        let before = left.len();
        left.retain(|change| !holds(change, &is_now.properties));
        if left.is_empty() {
            return Ok(is_now);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(pause) = tries.failed(None, fastrand::f64()) else { return Err(undone(&action, &left)) };
        if left.len() == before {
            tokio::time::sleep(pause).await;
        }
    }
}

/// An image with all of its properties. Those that stay are written back with those that change, and what cannot be read would
/// be lost.
async fn all_known(compute: &Compute, image: ImageId) -> Result<Image> {
    compute.show_with(image, &["metadata"]).await
}

/// Sends what makes the changes. `known` are the properties, where they were just looked at.
async fn make(
    compute: &Compute,
    image: ImageId,
    action: &str,
    changes: &[&Change],
    known: Option<Properties>,
) -> Result<()> {
    let present = match known {
        Some(known) => known,
        None if plan::depends_on_what_is_there(changes) => {
            all_known(compute, image)
                .await
                .map_err(|error| ServiceError { action: action.to_owned(), ..error })?
                .properties
        }
        None => Properties::default(),
    };
    let mut removed = Map::new();
    for step in plan::steps(action, changes, &present)? {
        let key = if let Step::Remove(key) = &step { Some(key.clone()) } else { None };
        if let Err(error) = send(compute, image, action, step).await {
            put_back(compute, image, action, removed).await;
            return Err(error);
        }
        removed.extend(key.and_then(|key| Some((key.clone(), json!(present.get(key.as_str())?)))));
    }
    Ok(())
}

/// What was removed to make room for what the service does not take then is there again, as far as that is possible.
async fn put_back(compute: &Compute, image: ImageId, action: &str, removed: Map<String, Value>) {
    if !removed.is_empty()
        && let Err(error) = send(compute, image, action, Step::Merge(removed.into())).await
    {
        tracing::warn!(%image, %error, "properties that were removed for others could not be put back");
    }
}

async fn send(compute: &Compute, image: ImageId, action: &str, step: Step) -> Result<()> {
    let all = ["images", image.as_str(), "metadata"];
    let item = |key: &str| compute.url(&[all.as_slice(), &[key]].concat());
    let call = match &step {
        Step::Set(key, value) => Call::put(action, item(key)?, Some(&json!({"meta": {key: value}}))),
        Step::Remove(key) => Call::delete(action, item(key)?),
        Step::Merge(items) => Call::post(action, compute.url(&all)?, &json!({"metadata": items})),
        Step::Replace(items) => Call::put(action, compute.url(&all)?, Some(&json!({"metadata": items}))),
    };
    match compute.http.document(&call).await {
        // It was not there, or the image is not; the look at the image tells.
        Err(error) if error.kind == Kind::NotFound && matches!(step, Step::Remove(_)) => Ok(()),
        Err(error) => Err(too_many(error)),
        Ok(_) => Ok(()),
    }
}

/// Nova calls it forbidden to have more items than an image may have.
fn too_many(error: ServiceError) -> ServiceError {
    let words = error.words.as_deref().filter(|words| words.contains("limit exceeded")).map(str::to_owned);
    match words {
        Some(words) if error.kind == Kind::Forbidden => {
            let words = format!("{}: remove properties that are not needed", words.trim_end_matches('.'));
            ServiceError { kind: Kind::OverQuota, ..error }.with_advice(words)
        }
        _ => error,
    }
}

/// Whether a call that failed in this way may have had its effect.
fn may_be_made(kind: &Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::TimedOut | Kind::Unreachable | Kind::Malformed)
}

/// Whether the properties are already as a change wants them.
fn holds(change: &Change, properties: &Properties) -> bool {
    match change {
        Change::Set { key, value } => properties.get(key.as_str()).map(Text::as_str) == value.as_str(),
        Change::Remove { key } => !properties.contains_key(key.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_items_are_a_matter_of_room_and_not_of_rights() {
        let of = |words: &str| too_many(ServiceError::new(Kind::Forbidden, "change").with_words(words));
        let full = of("Image metadata limit exceeded");
        assert_eq!(full.kind, Kind::OverQuota);
        assert_eq!(
            full.to_string(),
            "could not change: Image metadata limit exceeded: remove properties that are not needed"
        );
        assert_eq!(of("Not authorized for image x.").kind, Kind::Forbidden);
    }

    #[test]
    fn a_change_holds_when_the_properties_are_so() {
        let properties = [("a".into(), "1".into())].into_iter().collect();
        assert!(holds(&Change::set("a", "1"), &properties) && !holds(&Change::set("a", "2"), &properties));
        assert!(!holds(&Change::set("b", "1"), &properties));
        assert!(holds(&Change::remove("b"), &properties) && !holds(&Change::remove("a"), &properties));
    }
}
