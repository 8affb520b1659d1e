//! A page of a listing (`GET /images/detail`).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::fields;
use crate::image::ImageId;
use crate::service::page::{Contents, Marker, tail};
use crate::service::readable::text;

/// A page, of which anything may be no image: each is read by itself.
#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(default)]
    images_links: Value,
}

/// What is in a page.
///
/// # Errors
/// Where it is no page.
pub(super) fn read(page: &[u8]) -> serde_json::Result<Contents> {
    let page = text(page);
    let listing: Listing<'_> = serde_json::from_str(&page)?;
    let mut contents = Contents { next: next(&listing), ..Contents::default() };
    for raw in listing.images {
        contents.take(raw.get(), |fields, _| fields::image(fields));
    }
    Ok(contents)
}

/// Where the page behind this one most likely begins, as its last bytes look.
pub(super) fn likely_next(page: &[u8]) -> Option<Marker> {
    let tail = tail(page)?;
    let (_, links) = tail.rsplit_once("\"images_links\"")?;
    let (_, href) = links.split_once("\"href\"")?;
    let address = href.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next()?;
    marker_in(address)?.parse().ok().map(|id: ImageId| id.into())
}

/// The marker of the next page, out of the service's own link to it, or the last image where the link has none. The link
/// itself is not followed: it might lead elsewhere, and a token must not go there.
fn next(listing: &Listing<'_>) -> Option<Marker> {
    let mut links = listing.images_links.as_array()?.iter();
    let link = links.find(|link| link.get("rel").and_then(Value::as_str) == Some("next"))?;
    let told = link.get("href").and_then(Value::as_str).and_then(marker_in);
    told.or_else(|| listing.images.iter().rev().find_map(|image| id_of(image.get()))).map(Marker)
}

fn id_of(image: &str) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_str(image).ok()?;
    fields.get("id")?.as_str().map(str::to_owned)
}

/// The marker in the query of an address; of several the last, which is the one that the service adds.
fn marker_in(address: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    let markers = form_urlencoded::parse(query.as_bytes()).filter(|(key, value)| key == "marker" && !value.is_empty());
    markers.last().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::page::TAIL;

    const ID: &str = "cbedf87a-9d62-4eec-b777-de1bd4867530";

    fn contents(page: &Value) -> Contents {
        read(page.to_string().as_bytes()).unwrap()
    }

    fn linked(href: &Value) -> Value {
        json!({"images": [{"id": ID}, {"id": "b"}], "images_links": [{"rel": "first"}, {"rel": "next", "href": href}]})
    }

    #[test]
    fn the_marker_is_taken_out_of_the_link_and_nothing_else_is() {
        let next = |page: Value| contents(&page).next.map(|marker| marker.0);
        for (href, marker) in [
            (json!(format!("http://elsewhere/images?limit=2&marker={ID}")), ID),
            (json!("?marker=a%2Fb&x=y#marker=z"), "a/b"),
            (json!("http://h/images?marker=x&marker=y"), "y"),
            (json!("http://h/images?limit=2"), "b"),
            (json!("http://h/images?marker="), "b"),
            (json!(5), "b"),
        ] {
            assert_eq!(next(linked(&href)), Some(marker.to_owned()), "{href}");
        }
        assert_eq!(next(json!({"images": [{"id": ID}]})), None);
        for links in [json!(null), json!([]), json!({"next": "x"}), json!([{"rel": "first", "href": "?marker=x"}])] {
            assert_eq!(next(json!({"images": [{"id": ID}], "images_links": links})), None, "{links}");
        }
    }

    #[test]
    fn the_last_bytes_of_a_page_tell_where_the_next_one_begins() {
        let text = linked(&json!(format!("http://h/images/detail?limit=2&marker={ID}"))).to_string();
        let likely = |page: &str| likely_next(page.as_bytes()).map(|marker| marker.0);
        assert_eq!(likely(&text.replace(r#"{"rel":"first"},"#, "")), Some(ID.to_owned()));
        assert_eq!(likely(&text.replace("images_links", "links")), None);
        assert_eq!(likely(&text.replace("marker", "limit")), None);
        assert_eq!(likely(&format!("{text}{}", "\u{e9}".repeat(TAIL))), None, "it is too far away");
        for end in 0..text.len() {
            // Wherever it is cut, nobody stumbles.
            let _ = likely_next(&text.as_bytes()[..end]);
        }
    }

    #[test]
    fn what_is_no_image_takes_none_of_its_neighbours_with_it() {
        let page = json!({"images": [5, {"id": "7"}, {"id": ID}, {"id": ID, "status": "DELETED"}, null, {}]});
        let contents = contents(&page);
        assert_eq!((contents.images.len(), contents.odd.len()), (1, 4));
        assert!(contents.odd[1].ends_with(r#"left out: {\"id\":\"7\"}"#), "{}", contents.odd[1]);
    }

    #[test]
    fn what_cannot_be_read_of_an_image_is_said_and_the_rest_of_it_is_there() {
        let page = format!(r#"{{"images": [{{"id": "{ID}", "name": "a?b", "metadata": {{"a": "\ud800"}}}}]}}"#);
        let page: Vec<u8> = page.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
        let contents = read(&page).unwrap();
        let names: Vec<_> = contents.images.iter().map(|image| image.name.as_deref()).collect();
        assert_eq!(names, [Some("a\u{fffd}b")]);
        let sentence = format!("image {ID} is shown without its metadata, which cannot be read: ");
        assert!(contents.odd.len() == 1 && contents.odd[0].starts_with(&sentence), "{:?}", contents.odd);
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for page in ["", "[]", "{}", r#"{"images": 5}"#, r#"{"images": [}"#, r#"{"images": [{"id": "#] {
            assert!(read(page.as_bytes()).is_err(), "{page}");
        }
    }
}
