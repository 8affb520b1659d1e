//! `GET /images` and `/images/detail`: one page of images, asked of the Image API's listing.

use super::error::Fault;
use super::view::Links;
use crate::server::errors::Refusal;
use crate::server::filter::Filters;
use crate::server::list::{Query, page, pair};
use crate::server::record::Record;
use crate::server::service::{Caller, Service};
use crate::server::sort::Order;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// `max_limit`, which only decides whether a link to another page follows.
const LARGEST_PAGE: usize = 1000;
/// The parameters that are numbers from 1 on.
const NUMBERS: [&str; 3] = ["limit", "page_size", "offset"];
/// The parameters that Nova knows, beside those that begin with [`PROPERTY`]; it forgets all others.
const KNOWN: [&str; 11] = [
    "name",
    "status",
    "changes-since",
    "server",
    "type",
    "minRam",
    "minDisk",
    "limit",
    "page_size",
    "offset",
    "marker",
];
const PROPERTY: &str = "property-";

/// The parameters of a request, without those that Nova does not know.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(query: &str) -> Result<Self, Fault> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(text)?))
        });
        let mut pairs = pairs.collect::<Result<Vec<_>, Fault>>()?;
        for (key, text) in pairs.iter().filter(|(key, _)| NUMBERS.contains(&key.as_str())) {
            number(key, text)?;
        }
        pairs.retain(|(key, _)| KNOWN.contains(&key.as_str()) || key.starts_with(PROPERTY));
        Ok(Self(pairs))
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, text)| text.as_str())
    }

    /// The most images of a page; without a limit there is no other page.
    fn limit(&self) -> Option<usize> {
        self.last("limit").map(|digits| digits.parse().unwrap_or(usize::MAX))
    }

    /// How many images lead to another page.
    fn full_page(&self) -> usize {
        self.limit().unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE)
    }

    /// The same question to the Image API.
    fn translated(&self) -> Query {
        let pairs = self.0.iter().filter_map(|(key, _)| {
            let text = self.last(key).unwrap_or_default();
            match key.as_str() {
                "name" => Some(("name", text.to_owned())),
                "status" => Some(("status", text.to_lowercase())),
                "changes-since" => Some(("updated_at", format!("gte:{text}"))),
                "server" => Some(("instance_uuid", server(text))),
                "type" => Some(("image_type", text.to_owned())),
                "minRam" => Some(("min_ram", text.to_owned())),
                "minDisk" => Some(("min_disk", text.to_owned())),
                "marker" => Some(("marker", text.to_owned())).filter(|_| !text.is_empty()),
                key => property(key)
                    .map(|name| (name, if name == "instance_uuid" { server(text) } else { text.to_owned() })),
            }
        });
        Query(pairs.map(|(key, text)| (key.to_owned(), text)).collect())
    }

    /// The parameters of the page behind an image: in the order of their names, each once, the last in this order.
    fn behind(&self, id: &str) -> String {
        let mut sorted = self.0.clone();
        sorted.sort();
        let mut kept: Vec<(String, String)> = Vec::new();
        for (key, text) in sorted.into_iter().chain([("marker".to_owned(), id.to_owned())]) {
            match kept.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = text,
                None => kept.push((key, text)),
            }
        }
        kept.iter().map(|(key, text)| pair(key, text)).collect::<Vec<_>>().join("&")
    }
}

/// A parameter's key or value.
fn decoded(text: &str) -> Result<String, Fault> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Fault::bad_request("Query string is not UTF-8 encoded"))
}

fn number(key: &str, text: &str) -> Result<(), Fault> {
    let complaint = if text.is_empty() {
        "'' should be non-empty".to_owned()
    } else if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("'{text}' does not match '^[0-9]*$'")
    } else if text.bytes().all(|byte| byte == b'0') {
        "0 is less than the minimum of 1".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault::bad_request(format!("Invalid input for query parameters {key}. Value: {text}. {complaint}")))
}

/// The id of a server, which may be given as the last word of an address.
fn server(text: &str) -> String {
    text.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The property that a parameter means. Nova strips every letter of the prefix instead of the prefix itself, so that
/// `property-os_distro` asks for `s_distro`.
fn property(key: &str) -> Option<&str> {
    key.starts_with(PROPERTY).then(|| key.trim_start_matches(|letter| PROPERTY.contains(letter)))
}

/// Answers one page; `show` shows an image, and `words` is the path of the listing.
pub(super) fn list(
    service: &Service,
    caller: &Caller,
    query: &str,
    links: &Links,
    words: &str,
    show: impl Fn(&Record, &Links) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let parameters = Parameters::parse(query)?;
    let found = found(service, caller, &parameters).map_err(Fault::of_listing)?;
    let shown = found.iter().map(|record| show(record, links)).collect::<Result<Vec<_>, _>>()?;
    let mut body = value!({"images": shown});
    let last = found.last().filter(|_| found.len() == parameters.full_page());
    if let (Some(last), Some(map)) = (last, body.as_object_mut()) {
        let href = format!("{}?{}", links.to(words), parameters.behind(&last.id));
        map.insert("images_links".to_owned(), value!([{"rel": "next", "href": href}]));
    }
    Ok(body)
}

fn found(service: &Service, caller: &Caller, parameters: &Parameters) -> Result<Vec<Arc<Record>>, Refusal> {
    let query = parameters.translated();
    let (filters, order) = (Filters::parse(&query)?, Order::parse(&query)?);
    page(service, caller, &query, &filters, &order, parameters.limit().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::parse(query).unwrap()
    }

    #[test]
    fn the_next_page_has_each_known_parameter_once_and_in_order() {
        for (query, expected) in [
            ("limit=1&name=b&name=a&foo=x", "limit=1&name=b&marker=M"),
            ("status=QUEUED&marker=old&limit=2", "limit=2&marker=M&status=QUEUED"),
            (
                "limit=1&changes-since=2020-01-01T00:00:00%2B01:00&property-x=a+b",
                "changes-since=2020-01-01T00%3A00%3A00%2B01%3A00&limit=1&property-x=a+b&marker=M",
            ),
        ] {
            assert_eq!(parameters(query).behind("M"), expected);
        }
    }

    #[test]
    fn a_page_is_full_at_its_limit_or_at_a_thousand() {
        for (query, full) in [("", 1000), ("limit=2", 2), ("limit=1000", 1000), ("limit=5000", 1000)] {
            assert_eq!(parameters(query).full_page(), full, "{query}");
        }
    }

    #[test]
    fn every_letter_of_the_prefix_is_stripped_from_a_property() {
        assert_eq!(property("property-x"), Some("x"));
        assert_eq!(property("property-image_type"), Some("image_type"));
        assert_eq!(property("property-os_distro"), Some("s_distro"));
        assert_eq!(property("properties"), None);
    }

    #[test]
    fn a_limit_is_a_number_from_one_on() {
        for bad in ["0", "00", "-1", "x", "", "1.0", "%2B1", "+1"] {
            assert!(Parameters::parse(&format!("limit={bad}&limit=1")).is_err(), "{bad}");
        }
        assert_eq!(parameters("limit=01").limit(), Some(1));
        assert_eq!(parameters("limit=2&limit=1").limit(), Some(1));
        assert_eq!(parameters("limit=99999999999999999999").limit(), Some(usize::MAX));
        assert_eq!(parameters("").limit(), None);
    }
}
