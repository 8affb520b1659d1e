//! The JSON of one image. A listing has a hundred thousand of them, so they are read as they come, without a tree of values
//! in between. What is missing or odd is survived: nothing must fail for one strange image.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use litemap::LiteMap;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::image::{Attributes, Checksums, Image, ImageId, Properties, Status, Text, Visibility};

/// The fields of one image; there is none where the id is no UUID, which no path could name.
#[derive(Debug, Default)]
pub(super) struct Fields {
    id: Option<ImageId>,
    name: Option<String>,
    status: Option<Status>,
    visibility: Option<Visibility>,
    owner: Option<Text>,
    size: Option<u64>,
    virtual_size: Option<u64>,
    disk_format: Option<Text>,
    container_format: Option<Text>,
    checksums: Checksums,
    created_at: Timestamp,
    updated_at: Timestamp,
    protected: bool,
    hidden: bool,
    min_disk: u64,
    min_ram: u64,
    tags: Vec<Text>,
    stores: Vec<Text>,
    properties: Properties,
    other: Attributes,
}

/// A value: most are texts, and many of them need no memory of their own.
pub(super) enum Given<'a> {
    Text(Cow<'a, str>),
    Other(Value),
}

/// The name of a field.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Fields {
    /// The image, which shares long texts with another one that has the same, as neighbours in a listing mostly have.
    pub(super) fn into_image(mut self, near: Option<&Image>) -> Option<Image> {
        self.share(near);
        Some(Image {
            id: self.id?,
            name: self.name,
            status: self.status.unwrap_or_else(|| "".into()),
            visibility: self.visibility.unwrap_or(Visibility::Private),
            owner: self.owner,
            size: self.size,
            virtual_size: self.virtual_size,
            disk_format: self.disk_format,
            container_format: self.container_format,
            checksums: self.checksums,
            created_at: self.created_at,
            updated_at: self.updated_at,
            protected: self.protected,
            hidden: self.hidden,
            min_disk: self.min_disk,
            min_ram: self.min_ram,
            tags: self.tags,
            stores: self.stores,
            properties: fitted_map(self.properties),
            other: fitted_map(self.other),
        })
    }

    fn share(&mut self, near: Option<&Image>) {
        let Some(near) = near else { return };
        if let (Some(owner), Some(other)) = (&mut self.owner, &near.owner) {
            share(owner, other);
        }
        let mut row = std::mem::take(&mut self.properties).into_tuple_vec();
        for (key, value) in &mut row {
            let place = near.properties.find_index(key);
            if let Some((other_key, other_value)) = place.ok().and_then(|place| near.properties.get_indexed(place)) {
                share(key, other_key);
                share(value, other_value);
            }
        }
        // They are equal to what they were, and so is their order.
        self.properties = Properties::from_sorted_store_unchecked(row);
    }

    fn take(&mut self, key: &str, given: Given<'_>) {
        match key {
            "id" => self.id = given.text().and_then(|id| id.parse().ok()),
            "name" => self.name = given.into_text(),
            "status" => self.status = given.text().map(Status::from),
            "visibility" => self.visibility = given.text().map(Visibility::from),
            "owner" => self.owner = given.short(),
            "size" => self.size = given.number(),
            "virtual_size" => self.virtual_size = given.number(),
            "disk_format" => self.disk_format = given.short(),
            "container_format" => self.container_format = given.short(),
            "checksum" => self.checksums.md5 = given.hash(),
            "os_hash_algo" => self.checksums.algorithm = given.hash(),
            "os_hash_value" => self.checksums.value = given.hash(),
            "created_at" => self.created_at = given.time(),
            "updated_at" => self.updated_at = given.time(),
            "protected" => self.protected = given.flag(),
            "os_hidden" => self.hidden = given.flag(),
            "min_disk" => self.min_disk = given.number().unwrap_or(0),
            "min_ram" => self.min_ram = given.number().unwrap_or(0),
            "tags" => self.tags = given.tags(),
            "stores" => self.stores = given.stores(),
            // Links to what is asked for by its own address.
            "self" | "file" | "schema" => {}
            _ => self.take_another(key, given),
        }
    }

    fn take_another(&mut self, key: &str, given: Given<'_>) {
        match given {
            Given::Text(value) if !is_reserved(key) => drop(self.properties.insert(key.into(), value.into())),
            Given::Text(value) => drop(self.other.insert(key.into(), Value::String(value.into_owned()))),
            Given::Other(value) => drop(self.other.insert(key.into(), value)),
        }
    }
}

/// Shares a text with another one that is equal.
fn share(text: &mut Text, other: &Text) {
    if text == other {
        text.clone_from(other);
    }
}

/// A row in as much memory as it needs. What it was made in is free for the next one; cut off where it lies, it would leave
/// a gap beside each image that nothing fits into.
fn fitted<T>(row: Vec<T>) -> Vec<T> {
    let mut fitted = Vec::with_capacity(row.len());
    fitted.extend(row);
    fitted
}

/// The same for one by names.
fn fitted_map<V>(row: LiteMap<Text, V>) -> LiteMap<Text, V> {
    LiteMap::from_sorted_store_unchecked(fitted(row.into_tuple_vec()))
}

/// Names that are no additional property, although their values are strings.
fn is_reserved(name: &str) -> bool {
    matches!(name, "direct_url" | "locations") || name.starts_with("os_glance_")
}

impl Given<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }

    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::Other(_) => None,
        }
    }

    fn short(&self) -> Option<Text> {
        self.text().map(Text::from)
    }

    fn value(&self) -> &Value {
        match self {
            Self::Text(_) => &Value::Null,
            Self::Other(value) => value,
        }
    }

    fn number(&self) -> Option<u64> {
        self.value().as_u64()
    }

    fn flag(&self) -> bool {
        self.value().as_bool().unwrap_or(false)
    }

    fn time(&self) -> Timestamp {
        self.text().and_then(|time| time.parse().ok()).unwrap_or_default()
    }

    /// Hashes are compared in lower case.
    fn hash<T: for<'a> From<&'a str>>(&self) -> Option<T> {
        let text = self.text()?;
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(if is_lower { text.into() } else { text.to_ascii_lowercase().as_str().into() })
    }

    fn tags(&self) -> Vec<Text> {
        let tags = self.value().as_array().into_iter().flatten();
        let mut tags: Vec<Text> = tags.filter_map(|tag| tag.as_str().map(Text::from)).collect();
        tags.sort_unstable();
        tags.dedup();
        fitted(tags)
    }

    /// A comma-separated list; names that begin with `os_glance_` are the service's own staging areas.
    fn stores(&self) -> Vec<Text> {
        let list = self.text().unwrap_or_default().split(',');
        fitted(list.filter(|id| !id.is_empty() && !id.starts_with("os_glance_")).map(Text::from).collect())
    }
}

impl<'a> FromIterator<(String, Given<'a>)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Given<'a>)>>(row: I) -> Self {
        let mut fields = Self::default();
        for (key, given) in row {
            fields.take(&key, given);
        }
        fields
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an image")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((Key(key), given)) = map.next_entry::<Key<'de>, Given<'de>>()? {
            fields.take(&key, given);
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Given<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given<'de>, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Owned(text)))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Given<'de>, E> {
        Ok(Given::Other(flag.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Given<'de>, E> {
        Ok(Given::Other(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Given<'de>, E> {
        Ok(Given::Other(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Given<'de>, E> {
        Ok(Given::Other(number.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Given<'de>, E> {
        Ok(Given::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Given<'de>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Given::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Given::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Option<Image> {
        let text = value.to_string();
        let (read, from_value): (Fields, Fields) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_value(value).unwrap());
        let image = read.into_image(None);
        assert_eq!(image, from_value.into_image(None), "it is the same from a tree of values");
        image
    }

    #[test]
    fn core_attributes_and_properties_are_told_apart() {
        let image = parse(json!({
            "id": "cbedf87a-9d62-4eec-b777-de1bd4867530", "name": "a", "status": "active", "visibility": "shared",
            "size": 5, "virtual_size": null, "checksum": "AB", "os_hash_algo": "sha512", "os_hash_value": "cd",
            "created_at": "2026-11-21T02:43:46Z", "updated_at": "2026-11-21T02:43:47Z", "tags": ["z", 5, "a"],
            "self": "/v2/images/x", "file": "/f", "schema": "/s", "stores": "fast,slow,os_glance_staging_store",
            "os_glance_failed_import": "", "direct_url": "file:///x", "locations": [], "os_distro": "de\"b\u{e9}ian",
            "os_hidden": true, "protected": true, "min_disk": 1, "min_ram": 2, "owner": "p", "kernel_id": null,
        }))
        .unwrap();
        assert_eq!((image.size, image.virtual_size), (Some(5), None));
        assert_eq!(image.checksums.md5, Some("ab".into()), "hashes are compared in lower case");
        assert_eq!(image.tags, ["a", "z"]);
        assert_eq!(image.stores, ["fast", "slow"]);
        let properties: Vec<_> = image.properties.into_iter().collect();
        assert_eq!(properties, [("os_distro".into(), "de\"b\u{e9}ian".into())]);
        let other = ["direct_url", "kernel_id", "locations", "os_glance_failed_import"];
        assert_eq!(image.other.keys().collect::<Vec<_>>(), other);
        assert!(image.hidden && image.protected);
        assert_eq!((image.min_disk, image.min_ram, image.owner.as_deref()), (1, 2, Some("p")));
        assert_eq!(image.updated_at, "2026-11-21T02:43:47Z".parse().unwrap());
    }

    #[test]
    fn a_tag_that_the_service_repeats_is_there_once() {
        let image = parse(json!({"id": "cbedf87a-9d62-4eec-b777-de1bd4867530", "tags": ["b", "a", "b", "a"]})).unwrap();
        assert_eq!(image.tags, ["a", "b"]);
    }

    #[test]
    fn neighbours_share_long_texts_that_are_equal_and_no_others() {
        let fields = |owner: &str, value: &str| -> Fields {
            serde_json::from_value(json!({
                "id": "cbedf87a-9d62-4eec-b777-de1bd4867530", "owner": owner,
                "owner_specified.openstack.object": value, "a": "b"}))
            .unwrap()
        };
        let long = "8f3a1c5be2d94706a1b2c3d4e5f60718";
        let one = fields(long, "images/one/of/many").into_image(None).unwrap();
        let alone = fields(long, "images/one/of/others").into_image(None).unwrap();
        let other = fields(long, "images/one/of/others").into_image(Some(&one)).unwrap();
        assert_eq!(other, alone, "it is the same image");
        let is_shared = |one: &Text, other: &Text| std::ptr::eq(one.as_ptr(), other.as_ptr());
        assert!(is_shared(one.owner.as_ref().unwrap(), other.owner.as_ref().unwrap()));
        let key = |image: &Image| image.properties.last().unwrap().0.clone();
        assert!(is_shared(&key(&one), &key(&other)) && !is_shared(&key(&one), &key(&alone)));
        let theirs = fields("0f3a1c5be2d94706a1b2c3d4e5f60718", "").into_image(Some(&one)).unwrap();
        assert_ne!(theirs.owner, one.owner);
    }

    #[test]
    fn an_odd_image_is_survived_and_one_without_a_uuid_is_left_out() {
        let bare = parse(json!({"id": "cbedf87a-9d62-4eec-b777-de1bd4867530"})).unwrap();
        assert_eq!((bare.name, bare.size, bare.created_at), (None, None, Timestamp::UNIX_EPOCH));
        let odd = json!({
            "id": "cbedf87a-9d62-4eec-b777-de1bd4867530", "size": -1, "name": 7, "tags": {"a": [1.5, true]},
            "created_at": "then", "protected": "yes", "status": ["x"], "visibility": 5, "stores": 1, "min_ram": 0.5,
        });
        let odd = parse(odd).unwrap();
        assert_eq!((odd.size, odd.name, odd.protected, odd.min_ram), (None, None, false, 0));
        assert!(odd.other.is_empty() && odd.properties.is_empty() && odd.tags.is_empty());
        assert!(parse(json!({"id": "7"})).is_none());
        assert!(parse(json!({})).is_none());
    }
}
