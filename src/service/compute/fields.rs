//! The JSON of one image as the Compute API shows it. What is missing or odd is survived.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::image::{Attributes, Checksums, Image, Properties, Status, Text, Visibility};

/// How many bytes an image has.
const SIZE: &str = "OS-EXT-IMG-SIZE:size";

/// What an image has a place of its own for, so that it is not kept a second time.
const PLACED: [&str; 3] = ["id", "name", "metadata"];

/// The image of a document; there is none where the id is no UUID, which no path could name. All that is not an id, a
/// name or metadata is kept as it came, so that the document can be shown again.
pub(super) fn image(fields: Map<String, Value>) -> Option<Image> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let number = |key: &str| fields.get(key).and_then(Value::as_u64);
    let time = |key: &str| text(key).and_then(|time| time.parse::<Timestamp>().ok()).unwrap_or_default();
    let size = number(SIZE);
    let status = status(text("status").unwrap_or_default(), size);
    Some(Image {
        id: text("id")?.parse().ok()?,
        name: text("name").map(str::to_owned),
        size: size.filter(|_| status.has_data()),
        status,
        // It is not told.
        visibility: Visibility::Other(Box::default()),
        owner: None,
        virtual_size: None,
        disk_format: None,
        container_format: None,
        checksums: Checksums::default(),
        created_at: time("created"),
        updated_at: time("updated"),
        protected: false,
        hidden: false,
        min_disk: number("minDisk").unwrap_or(0),
        min_ram: number("minRam").unwrap_or(0),
        tags: Vec::new(),
        stores: Vec::new(),
        properties: fields.get("metadata").map(properties).unwrap_or_default(),
        other: other(fields),
    })
}

/// Two of the words stand for several statuses of the Image service: `SAVING` is a queued image too, and `UNKNOWN` is a
/// deactivated one, or one that is about to get its data. One with a size is taken for deactivated: its bytes are not to be
/// read, and it is not empty.
fn status(word: &str, size: Option<u64>) -> Status {
    match word {
        "UNKNOWN" if size.is_some_and(|size| size > 0) => Status::Deactivated,
        "ACTIVE" => Status::Active,
        "SAVING" => Status::Saving,
        "ERROR" => Status::Killed,
        "DELETED" => Status::Deleted,
        other => Status::Other(other.into()),
    }
}

/// The metadata. Two items are shown as the JSON that is in them, all others are texts.
fn properties(metadata: &Value) -> Properties {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string().into(), Text::from);
    metadata.as_object().into_iter().flatten().map(|(key, value)| (key.into(), text(value))).collect()
}

fn other(fields: Map<String, Value>) -> Attributes {
    fields
        .into_iter()
        .filter(|(key, _)| !PLACED.contains(&key.as_str()))
        .map(|(key, value)| (key.into(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "cbedf87a-9d62-4eec-b777-de1bd4867530";

    fn parse(document: Value) -> Option<Image> {
        let Value::Object(fields) = document else { panic!("{document}") };
        image(fields)
    }

    #[test]
    fn an_image_has_what_the_document_tells_and_nothing_that_it_does_not() {
        let document = json!({
            "id": ID, "name": "n", "minRam": 5, "minDisk": 3, "metadata": {"b": "2", "a": ""},
            "created": "2026-11-21T02:43:46Z", "updated": "2026-11-21T02:43:47Z", "status": "ACTIVE", "progress": 100,
            "OS-EXT-IMG-SIZE:size": 7, "links": [{"rel": "self", "href": "http://h/x"}], "server": {"id": "s"},
            "OS-DCF:diskConfig": "AUTO", "new": null,
        });
        let image = parse(document.clone()).unwrap();
        assert_eq!((image.id.as_str(), image.name.as_deref(), &image.status), (ID, Some("n"), &Status::Active));
        assert_eq!((image.size, image.min_disk, image.min_ram), (Some(7), 3, 5));
        assert_eq!(image.updated_at, "2026-11-21T02:43:47Z".parse().unwrap());
        assert_eq!(image.properties, [("a".into(), "".into()), ("b".into(), "2".into())].into_iter().collect());
        assert_eq!((image.visibility, image.owner), (Visibility::Other("".into()), None));
        for (key, value) in document.as_object().unwrap() {
            let kept = image.other.get(key.as_str());
            assert_eq!(kept, Some(value).filter(|_| !PLACED.contains(&key.as_str())), "{key}");
        }
    }

    #[test]
    fn words_of_the_compute_api_are_statuses_and_what_has_bytes_has_a_size() {
        let table = [
            ("ACTIVE", Status::Active, Some(7)),
            ("SAVING", Status::Saving, None),
            ("ERROR", Status::Killed, None),
            ("DELETED", Status::Deleted, None),
            ("UNKNOWN", Status::Deactivated, Some(7)),
            ("active", Status::Other("active".into()), None),
        ];
        for (word, status, size) in table {
            let image = parse(json!({"id": ID, "status": word, "OS-EXT-IMG-SIZE:size": 7})).unwrap();
            assert_eq!((&image.status, image.size), (&status, size), "{word}");
            assert_eq!(image.other.get("status"), Some(&json!(word)), "it stays as the service said it");
        }
        for size in [json!(0), json!(null)] {
            let empty = parse(json!({"id": ID, "status": "UNKNOWN", "OS-EXT-IMG-SIZE:size": size})).unwrap();
            assert_eq!((empty.status, empty.size), (Status::Other("UNKNOWN".into()), None));
        }
    }

    #[test]
    fn an_odd_image_is_survived_and_one_without_a_uuid_is_none() {
        let bare = parse(json!({"id": ID, "name": null, "metadata": {"mappings": [1, {"a": null}], "n": 5}})).unwrap();
        assert_eq!((bare.name, bare.size, bare.created_at), (None, None, Timestamp::UNIX_EPOCH));
        let shown: Vec<_> = bare.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("mappings", r#"[1,{"a":null}]"#), ("n", "5")]);
        let odd = json!({"id": ID, "name": 7, "metadata": [1], "minDisk": -1, "created": "then", "status": ["x"],
            "OS-EXT-IMG-SIZE:size": "7"});
        let odd = parse(odd).unwrap();
        assert_eq!((odd.name, odd.min_disk, odd.size, odd.status), (None, 0, None, Status::Other("".into())));
        assert!(odd.properties.is_empty());
        for none in [json!({}), json!({"id": "7"}), json!({"id": 7})] {
            assert!(parse(none).is_none());
        }
    }
}
