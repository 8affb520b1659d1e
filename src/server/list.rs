//! `GET /v2/images`: one page of the images that a caller sees.

use super::errors::{ApiError, Refusal};
use super::filter::Filters;
use super::record::{Record, Shown};
use super::routes::json;
use super::service::{Caller, Service};
use super::sort::Order;
use super::store::place;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::collections::HashSet;
use std::sync::Arc;

/// `limit_param_default` and `api_limit_max`.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 1000;
const PLACE: &str = "/v2/images";
/// What a query leaves as it is, besides letters and digits.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// The parameters of a query, in their order.
#[derive(Debug, Default)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        });
        pairs.collect::<Result<_, Refusal>>().map(Self)
    }

    /// The last value of a key.
    pub(crate) fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Each key once, where it stood first, with its last value: so much of a query survives in the links of a page.
    fn links(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let keys = self.0.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "marker" && seen.insert(*key));
        keys.map(|key| pair(key, self.last(key).unwrap_or(""))).collect()
    }

    /// The address of the page behind the marker, or of the first one.
    pub(crate) fn page(&self, of: &str, marker: Option<&str>) -> String {
        let pairs: Vec<String> = self.links().into_iter().chain(marker.map(|id| pair("marker", id))).collect();
        if pairs.is_empty() { of.to_owned() } else { format!("{of}?{}", pairs.join("&")) }
    }
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
        let why = "Error decoding your request. Either the URL or the request body contained characters that could \
                   not be decoded by Glance";
        ApiError::bad_request(why).into()
    })
}

/// A parameter as it stands in a link.
pub(crate) fn pair(key: &str, value: &str) -> String {
    let quote = |text| utf8_percent_encode(text, QUOTED).to_string().replace("%20", "+");
    format!("{}={}", quote(key), quote(value))
}

#[derive(Serialize)]
struct Page {
    images: Images,
    first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    schema: &'static str,
}

struct Images(Vec<Arc<Record>>);

impl Serialize for Images {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.len()))?;
        for record in &self.0 {
            sequence.serialize_element(&Shown(record))?;
        }
        sequence.end()
    }
}

/// Answers one page.
pub(crate) fn list(service: &Service, caller: &Caller, query: &str) -> Result<Response<Body>, Refusal> {
    let query = Query::parse(query)?;
    let limit = limit(query.last("limit"))?;
    let filters = Filters::parse(&query)?;
    let order = Order::parse(&query)?;
    let images = page(service, caller, &query, &filters, &order, limit)?;
    let first = query.page(PLACE, None);
    let next = images.last().filter(|_| images.len() == limit).map(|last| query.page(PLACE, Some(&last.id)));
    Ok(json(StatusCode::OK, &Page { images: Images(images), first, next, schema: "/v2/schemas/images" }))
}

pub(crate) fn limit(given: Option<&str>) -> Result<usize, Refusal> {
    let Some(given) = given.map(str::trim) else {
        return Ok(DEFAULT_LIMIT);
    };
    let (sign, digits) = given.strip_prefix('-').map_or((false, given), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::bad_request("limit param must be an integer").into());
    }
    let number = digits.parse::<usize>().unwrap_or(usize::MAX);
    if sign && number > 0 {
        return Err(ApiError::bad_request("limit param must be positive").into());
    }
    Ok(number.min(LARGEST_LIMIT))
}

/// The images of one page, in the order that is asked for.
pub(crate) fn page(
    service: &Service,
    caller: &Caller,
    query: &Query,
    filters: &Filters,
    order: &Order,
    limit: usize,
) -> Result<Vec<Arc<Record>>, Refusal> {
    let marker = match query.last("marker") {
        Some(id) => Some(find_marker(service, caller, id)?),
        None => None,
    };
    let index = service.store.index();
    let wanted = |record: &&Arc<Record>| filters.lets_through(caller, record);
    if order.is_default() {
        let after = marker.as_deref().map(place);
        return Ok(index.by_age(after.as_ref()).filter(wanted).take(limit).cloned().collect());
    }
    let behind = |record: &&Arc<Record>| marker.as_ref().is_none_or(|marker| order.is_behind(record, marker));
    let mut found: Vec<Arc<Record>> = index.by_age(None).filter(behind).filter(wanted).cloned().collect();
    drop(index);
    if found.len() > limit {
        // Only the page itself is sorted, so that paging through everything stays far from quadratic.
        found.select_nth_unstable_by(limit, |a, b| order.compare(a, b));
        found.truncate(limit);
    }
    found.sort_by(|a, b| order.compare(a, b));
    Ok(found)
}

/// The image that a page begins behind; it need not pass the filters, but must be visible.
fn find_marker(service: &Service, caller: &Caller, id: &str) -> Result<Arc<Record>, Refusal> {
    match service.store.get(id) {
        None => Err(ApiError::bad_request(format!("No image found with ID {id}")).into()),
        Some(record) if caller.may_see(&record) => Ok(record),
        Some(_) => Err(ApiError::forbidden(format!("Forbidding request, image {id} not visible")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_last_of_repeated_keys_and_drop_the_marker() {
        let query = Query::parse("limit=1&tag=a&marker=m&name=%C3%A9+a&tag=b").unwrap_or_default();
        assert_eq!(query.page(PLACE, None), "/v2/images?limit=1&tag=b&name=%C3%A9+a");
    }

    #[test]
    fn a_limit_is_a_number_that_is_not_negative() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 2", Some(2)),
            ("5000", Some(1000)),
            ("-1", None),
            ("x", None),
            ("", None),
            ("2.0", None),
        ] {
            assert_eq!(limit(Some(text)).ok(), expected, "{text}");
        }
        assert_eq!(limit(None).ok(), Some(25));
    }
}
