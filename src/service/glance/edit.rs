//! Making, changing and deleting images, so that an answer that was lost changes nothing about the outcome.

use serde_json::{Map, Value, json};

use super::{Glance, wire};
use crate::image::{Image, ImageId, Status};
use crate::service::change::{last_of_each_key, undone};
use crate::service::document::{misunderstood, read};
use crate::service::http::{Answered, Call};
use crate::service::readable::{Readable, text};
use crate::service::turns::Turn;
use crate::service::{Change, Kind, NewImage, Result, ServiceError};

/// The media type of Glance's own dialect of JSON Patch; the one of RFC 6902 is refused.
const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// One image as the service tells it alone.
type Told = Readable<Map<String, Value>>;

/// Makes an image. An id that is taken after a try that may have succeeded is looked at: it is probably ours.
pub(super) async fn create(glance: &Glance, image: &NewImage) -> Result<Image> {
    let action = match &image.name {
        Some(name) => format!("create image '{name}'"),
        None => format!("create image {}", image.id),
    };
    let call = Call::post(&action, glance.url(&["images"])?, &new_document(image));
    let Answered { outcome, unsure } = glance.http.change(&call).await;
    match outcome {
        Ok(body) => {
            let told = told(&body).map_err(|error| misunderstood(&action, &error))?;
            shown(glance, &told, image.id, &action)
        }
        Err(error) if error.kind == Kind::Conflict && unsure => ours(glance, image).await.ok_or(error),
        Err(error) => Err(error),
    }
}

/// The image under the new one's id, if it is the one that was asked for.
async fn ours(glance: &Glance, wanted: &NewImage) -> Option<Image> {
    let action = format!("show image {}", wanted.id);
    let told = look(glance, wanted.id, &action).await.ok().filter(|told| !told.unread.has("name"))?;
    let found = shown(glance, &told, wanted.id, &action).ok()?;
    (found.status == Status::Queued && found.name == wanted.name).then_some(found)
}

/// Deletes an image. One that is gone after a try that may have succeeded was deleted by that.
pub(super) async fn delete(glance: &Glance, image: ImageId) -> Result<()> {
    let call = Call::delete(format!("delete image {image}"), glance.url(&["images", image.as_str()])?);
    let Answered { outcome, unsure } = glance.http.change(&call).await;
    match outcome {
        Err(error) if error.kind == Kind::NotFound && unsure => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Changes an image.
pub(super) async fn update(glance: &Glance, image: ImageId, changes: &[Change]) -> Result<Image> {
    let action = format!("change image {image}");
    let _turn = turn(glance, image, &action).await?;
    settle(glance, image, &action, changes).await
}

/// Waits for a turn at changing an image; there is none while its bytes are under way.
pub(super) async fn turn<'a>(glance: &'a Glance, image: ImageId, action: &str) -> Result<Turn<'a>> {
    let turn = glance.turns.take(image).await;
    if glance.turns.is_uploading(image) {
        let words = "its data is being uploaded, and what is changed now would be forgotten at the end; change it then";
        return Err(ServiceError::new(Kind::Conflict, action).with_words(words));
    }
    Ok(turn)
}

/// Changes an image until it is as wanted, in a turn that the caller has.
///
/// A conflict means that a property was gone that was to go, or that somebody else changed the image in the same moment;
/// so the image is looked at. A success may be none either, where something between us and the database drops a part of
/// it; so its answer is looked at. What is still to be done is sent again.
///
/// What somebody else's change undoes in the same moment does not show: Glance knows no versions, and answers with the
/// image as this change alone leaves it.
pub(super) async fn settle(glance: &Glance, image: ImageId, action: &str, changes: &[Change]) -> Result<Image> {
    let mut left = last_of_each_key(changes);
    let mut tries = glance.http.tries();
    loop {
        let (told, conflict) = match patch(glance, image, action, &left).await {
            Ok(told) => (told, None),
            Err(error) if error.kind == Kind::Conflict => {
                (look(glance, image, &format!("show image {image}")).await?, Some(error))
            }
            Err(error) => return Err(too_late(error)),
        };
        let is_now = shown(glance, &told, image, action)?;
        let before = left.len();
        left.retain(|change| !holds(change, &told));
        if left.is_empty() {
            return Ok(is_now);
        }
        let Some(pause) = tries.failed(None, fastrand::f64()) else {
            return Err(conflict.unwrap_or_else(|| undone(action, &left)));
        };
        if left.len() == before {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn patch(glance: &Glance, image: ImageId, action: &str, changes: &[&Change]) -> Result<Told> {
    let document = Value::Array(changes.iter().copied().map(operation).collect());
    let call = Call::patch(action, glance.url(&["images", image.as_str()])?, PATCH, &document);
    told(&glance.http.document(&call).await?).map_err(|error| misunderstood(action, &error))
}

/// Glance answers 403 to a change of a format that comes when there are bytes, whoever asks. It is the status that forbids
/// it, and no rights would help.
fn too_late(error: ServiceError) -> ServiceError {
    let words = error.words.as_deref().filter(|words| words.contains("only replaced for a queued image"));
    match words.map(|words| words.trim_end_matches('.').to_owned()) {
        Some(words) if error.kind == Kind::Forbidden => {
            let words = format!("{words}: make a new one, and say so before its data are there");
            ServiceError { kind: Kind::Conflict, ..error }.with_words(words)
        }
        _ => error,
    }
}

/// An image as it is now.
pub(super) async fn look(glance: &Glance, image: ImageId, action: &str) -> Result<Told> {
    read(&glance.http, &Call::get(action, glance.url(&["images", image.as_str()])?), told).await
}

fn told(body: &[u8]) -> serde_json::Result<Told> {
    Readable::of(&text(body))
}

/// The image that a document shows, if it is the one that was asked for. What of it cannot be read is said.
pub(super) fn shown(glance: &Glance, told: &Told, wanted: ImageId, action: &str) -> Result<Image> {
    let shown = wire::image(told.fields.clone()).filter(|shown| shown.id == wanted);
    let shown = shown.ok_or_else(|| {
        ServiceError::new(Kind::Malformed, action).with_words("the service answered with another image")
    })?;
    glance.remarks.say(told.unread.said(wanted));
    Ok(shown)
}

/// What is posted to make an image: attributes stand beside the additional properties, and go before them.
fn new_document(image: &NewImage) -> Value {
    let text = |value: Option<&str>| value.map(Value::from);
    let attributes = [
        ("id", Some(image.id.as_str().into())),
        ("name", text(image.name.as_deref())),
        ("container_format", text(image.container_format.as_deref())),
        ("disk_format", text(image.disk_format.as_deref())),
        ("visibility", image.visibility.as_ref().map(|word| word.as_str().into())),
        ("tags", Some(json!(image.tags)).filter(|_| !image.tags.is_empty())),
    ];
    let properties = image.properties.iter().map(|(key, value)| (key.to_string(), json!(value)));
    let attributes = attributes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    properties.chain(attributes).collect()
}

/// The attributes that every image has and that can be changed.
const ATTRIBUTES: [&str; 10] = [
    "name",
    "visibility",
    "owner",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "tags",
];

/// A change as Glance takes it: `replace` refuses what is not there, so properties are added, which also replaces them.
/// Attributes are always there. Adding one would pass by checks that Glance makes only of replacing: anybody could give an
/// image away by its `owner`, for good, and would be told that it was refused.
fn operation(change: &Change) -> Value {
    match change {
        Change::Set { key, value } if ATTRIBUTES.contains(&key.as_str()) => {
            json!({"op": "replace", "path": pointer(key), "value": value})
        }
        Change::Set { key, value } => json!({"op": "add", "path": pointer(key), "value": value}),
        Change::Remove { key } => json!({"op": "remove", "path": pointer(key)}),
    }
}

/// A JSON Pointer (RFC 6901) to a key of the document.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Whether an image is already as a change wants it. What cannot be read is there all the same.
fn holds(change: &Change, Told { fields, unread }: &Told) -> bool {
    match change {
        Change::Remove { key } => !fields.contains_key(key) && !unread.has(key),
        Change::Set { key, value } => fields.get(key).is_some_and(|present| match (present, value) {
            // Tags have no order.
            (Value::Array(present), Value::Array(wanted)) => {
                wanted.iter().all(|tag| present.contains(tag)) && present.iter().all(|tag| wanted.contains(tag))
            }
            (present, wanted) => present == wanted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_left_out_of_a_new_image() {
        let id = "cbedf87a-9d62-4eec-b777-de1bd4867530".parse().unwrap();
        assert_eq!(new_document(&NewImage::new(id)), json!({"id": id.as_str()}));
        let named = NewImage {
            name: Some("n".to_owned()),
            properties: [("p".into(), "v".into()), ("name".into(), "no".into())].into_iter().collect(),
            tags: vec!["t".into()],
            ..NewImage::new(id)
        };
        assert_eq!(new_document(&named), json!({"id": id.as_str(), "name": "n", "p": "v", "tags": ["t"]}));
    }

    #[test]
    fn a_format_that_comes_too_late_is_a_matter_of_the_status_and_not_of_rights() {
        let of = |words: &str| too_late(ServiceError::new(Kind::Forbidden, "change").with_words(words));
        let late = of("Attribute disk_format can be only replaced for a queued image.");
        assert_eq!(late.kind, Kind::Conflict);
        assert!(late.to_string().contains("for a queued image: make a new one"), "{late}");
        assert_eq!(of("You are not authorized to complete modify_image action.").kind, Kind::Forbidden);
    }

    #[test]
    fn a_key_is_escaped_for_its_pointer() {
        assert_eq!(pointer("a/b~c"), "/a~1b~0c");
        assert_eq!(operation(&Change::set("p", "v")), json!({"op": "add", "path": "/p", "value": "v"}));
        let given = operation(&Change::set("owner", "o"));
        assert_eq!(given, json!({"op": "replace", "path": "/owner", "value": "o"}), "its right is checked only so");
        assert_eq!(operation(&Change::remove("~1")), json!({"op": "remove", "path": "/~01"}));
    }

    #[test]
    fn a_change_holds_when_the_image_is_so() {
        let fields = told(br#"{"p": "v", "tags": ["a", "b"], "name": null, "odd": "\ud800"}"#).unwrap();
        assert!(holds(&Change::set("p", "v"), &fields) && !holds(&Change::set("p", "w"), &fields));
        assert!(holds(&Change::set("tags", json!(["b", "a"])), &fields));
        assert!(!holds(&Change::set("tags", json!(["a"])), &fields));
        assert!(holds(&Change::set("name", Value::Null), &fields) && !holds(&Change::set("q", "v"), &fields));
        assert!(holds(&Change::remove("q"), &fields) && !holds(&Change::remove("p"), &fields));
        assert!(!holds(&Change::remove("odd"), &fields), "it cannot be read, and is there");
    }
}
