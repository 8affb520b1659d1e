//! A page of a listing (`GET /v2/images`). There may be a hundred of them, with a thousand images each.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fields::Fields;
use crate::image::ImageId;
use crate::service::page::{Contents, Marker, tail};
use crate::service::readable::text;

/// What is in a page.
///
/// # Errors
/// Where it is no page.
pub(super) fn read(page: &[u8]) -> serde_json::Result<Contents> {
    // Looked at once, whether it is text takes a tenth of the time that it takes for each string in it.
    let page = text(page);
    // What is odd about one image is found out by looking at it alone.
    serde_json::from_str(&page)
        .map(Even::into_contents)
        .or_else(|_| serde_json::from_str(&page).map(Odd::into_contents))
}

/// Where the page behind this one most likely begins, as its last bytes look: to read it takes milliseconds, in which the
/// next one can be on its way already.
pub(super) fn likely_next(page: &[u8]) -> Option<Marker> {
    let tail = tail(page)?;
    let (images, behind) = tail.rsplit_once(']')?;
    let is_followed = text_of(behind, "next").is_some();
    let last = text_of(images, "id").filter(|_| is_followed)?;
    last.parse().ok().map(|id: ImageId| id.into())
}

/// The text of the last attribute of this name, if that is one without escapes.
fn text_of<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = json.rsplit_once(&format!("\"{name}\""))?;
    let text = value.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    text.split_once('"').map(|(text, _)| text)
}

/// A page with images only.
#[derive(Deserialize)]
struct Even {
    images: Images,
    #[serde(default)]
    next: Option<IgnoredAny>,
}

struct Images(Contents);

impl Even {
    fn into_contents(self) -> Contents {
        let Images(contents) = self.images;
        Contents { next: self.next.and(contents.end).map(Marker::from), ..contents }
    }
}

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ImagesVisitor)
    }
}

struct ImagesVisitor;

impl<'de> Visitor<'de> for ImagesVisitor {
    type Value = Images;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("images")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Images, A::Error> {
        let mut contents = Contents::default();
        while let Some(fields) = seq.next_element::<Fields>()? {
            let near = contents.images.last().map(Arc::as_ref);
            let image = fields.into_image(near).ok_or_else(|| A::Error::custom("its id is no UUID"))?;
            contents.push(Arc::new(image));
        }
        Ok(Images(contents))
    }
}

/// A page of which anything may be no image. Each is read by itself: one that is odd takes none of its neighbours with it.
#[derive(Deserialize)]
struct Odd<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(default)]
    next: Option<IgnoredAny>,
}

impl Odd<'_> {
    fn into_contents(self) -> Contents {
        let mut contents = Contents { next: self.next(), ..Contents::default() };
        for raw in self.images {
            contents.take(raw.get(), Fields::into_image);
        }
        contents
    }

    /// The marker of the next page: the last image, whatever it is. The service's own `next` link is not followed: it
    /// drops repeated filters, and might lead elsewhere.
    fn next(&self) -> Option<Marker> {
        #[derive(Deserialize)]
        struct Last {
            id: String,
        }
        self.next?;
        let last = self.images.iter().rev().find_map(|image| serde_json::from_str::<Last>(image.get()).ok());
        last.map(|last| Marker(last.id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::service::page::TAIL;

    const ID: &str = "cbedf87a-9d62-4eec-b777-de1bd4867530";

    fn contents(page: &Value) -> Contents {
        read(page.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_next_page_begins_behind_the_last_image_whatever_that_is() {
        let next = |page: Value| contents(&page).next.map(|marker| marker.0);
        let page = |last: Value, next: Value| json!({"images": [{"id": ID}, last], "next": next});
        assert_eq!(next(page(json!({"id": "a"}), json!("http://elsewhere/v2/images?marker=b"))), Some("a".to_owned()));
        assert_eq!(next(page(json!(7), json!("/v2/images?marker=b"))), Some(ID.to_owned()));
        assert_eq!(next(page(json!({"id": "a"}), Value::Null)), None);
        assert_eq!(next(page(json!({"id": ID, "status": "deleted"}), json!("x"))), Some(ID.to_owned()));
        assert_eq!(next(json!({"images": [{"id": ID}], "next": null})), None);
        assert_eq!(next(json!({"images": [{"id": ID}]})), None);
        assert_eq!(next(json!({"images": [], "next": "x"})), None);
    }

    #[test]
    fn the_last_bytes_of_a_page_tell_where_the_next_one_begins() {
        let other = ID.replace('c', "d");
        let likely = |page: &str| likely_next(page.as_bytes()).map(|marker| marker.0);
        let text = format!(
            r#"{{"images": [{{"id": "{other}"}}, {{"os": "\"id\": \"{other}", "id" : "{ID}", "tags": []}}], "next": "/v2/images?marker=x"}}"#
        );
        assert_eq!(likely(&text), Some(ID.to_owned()));
        assert_eq!(likely(&text.replace("\"/v2/images?marker=x\"", "null")), None);
        assert_eq!(likely(&text.replace("next", "first")), None);
        assert_eq!(likely(&text.replace(ID, "7")), None);
        let long = text.replace("\"tags\"", &format!("\"x\": \"{}\", \"tags\"", "\u{e9}".repeat(TAIL)));
        assert_eq!(likely(&long), None, "it is too far away");
        for end in 0..text.len() {
            // Wherever it is cut, nobody stumbles.
            let _ = likely_next(&text.as_bytes()[..end]);
        }
    }

    #[test]
    fn what_is_no_image_takes_none_of_its_neighbours_with_it() {
        let page = json!({"images": [5, {"id": "7"}, {"id": ID}, {"id": ID, "status": "deleted"}, null, {}]});
        let contents = contents(&page);
        assert_eq!((contents.images.len(), contents.passed, contents.odd.len()), (1, 2, 4));
        assert!(contents.odd[1].ends_with(r#"left out: {\"id\":\"7\"}"#), "{}", contents.odd[1]);
        let mut text = page.to_string();
        text = text.replace("null", r#"{"id": 1e999}"#);
        assert_eq!(read(text.as_bytes()).unwrap().odd.len(), 4, "nor what is no number");
    }

    #[test]
    fn what_cannot_be_read_of_an_image_is_said_and_the_rest_of_it_is_there() {
        let (other, deep) = (ID.replace('c', "d"), "[".repeat(200) + &"]".repeat(200));
        for (key, value) in [("name", r#""sur\ud800x""#), ("size", "1e999"), ("os", &deep)] {
            let page = format!(
                r#"{{"images": [{{"id": "{ID}", "{key}": {value}, "min_ram": 5}}, {{"id": "{other}"}}], "next": "x"}}"#
            );
            let contents = read(page.as_bytes()).unwrap();
            let images: Vec<_> = contents.images.iter().map(|image| (image.id.as_str(), image.min_ram)).collect();
            assert_eq!(images, [(ID, 5), (&other, 0)]);
            assert_eq!(contents.next, Some(Marker(other.clone())));
            let sentence = format!("image {ID} is shown without its {key}, which cannot be read: ");
            assert!(contents.odd.len() == 1 && contents.odd[0].starts_with(&sentence), "{:?}", contents.odd);
        }
    }

    #[test]
    fn of_what_no_field_can_be_told_nothing_false_is_said() {
        let page = format!(r#"{{"images": [{{"id": "{ID}", "\ud800": 1}}, 5]}}"#);
        let contents = read(page.as_bytes()).unwrap();
        assert_eq!((contents.images.len(), contents.odd.len()), (0, 2));
        assert!(contents.odd.iter().all(|said| said.contains("that is no image (")), "{:?}", contents.odd);
    }

    #[test]
    fn a_byte_that_is_no_text_takes_no_image_away() {
        let page = json!({"images": [{"id": ID, "name": "a?b"}, {"id": ID.replace('c', "d"), "name": "c"}]});
        let page: Vec<u8> = page.to_string().bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
        let contents = read(&page).unwrap();
        let names: Vec<_> = contents.images.iter().map(|image| image.name.as_deref()).collect();
        assert_eq!(names, [Some("a\u{fffd}b"), Some("c")]);
    }

    #[test]
    fn a_page_is_the_same_whether_one_of_its_images_is_odd_or_none() {
        let even = json!({"images": [{"id": ID, "name": "a", "os": "b"}, {"id": ID.replace('c', "d")}], "next": "x"});
        let mut odd = even.clone();
        odd["images"].as_array_mut().unwrap().insert(0, json!(5));
        let (even, odd) = (contents(&even), contents(&odd));
        assert_eq!((&even.images, &even.next), (&odd.images, &odd.next));
        assert_eq!((even.passed, even.end), (odd.passed, odd.end));
        assert_eq!((even.odd.len(), odd.odd.len()), (0, 1));
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for page in ["", "[]", "{}", r#"{"images": 5}"#, r#"{"images": [}"#, r#"{"images": [{"id": "#] {
            assert!(read(page.as_bytes()).is_err(), "{page}");
        }
    }
}
