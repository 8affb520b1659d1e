//! The versions of the Compute API: their descriptions, and the microversion that a request asks for.

use super::error::Fault;
use super::path::Version;
use crate::server::routes::json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json as value};

/// The header that all services know, and the one from before.
const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");
const OLD_HEADER: HeaderName = HeaderName::from_static("x-openstack-nova-api-version");
const LATEST: Microversion = Microversion { major: 2, minor: 104 };

/// A microversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Microversion {
    major: u32,
    minor: u32,
}

impl Microversion {
    /// What a request gets that asks for none.
    pub(super) const FIRST: Self = Self { major: 2, minor: 1 };
    /// The last that lists, shows and deletes images.
    pub(super) const LAST_OF_IMAGES: Self = Self { major: 2, minor: 35 };
    /// The last that knows their metadata.
    pub(super) const LAST_OF_METADATA: Self = Self { major: 2, minor: 38 };

    /// The microversion that the headers ask for, which need not be one that is there.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Self, Fault> {
        match asked_word(headers) {
            None => Ok(Self::FIRST),
            Some(word) if word == "latest" => Ok(LATEST),
            Some(word) => Self::parse(&word).ok_or_else(|| {
                Fault::bad_request(format!(
                    "API Version String {word} is of invalid format. Must be of format MajorNum.MinorNum."
                ))
            }),
        }
    }

    /// 406 unless there is such a microversion.
    pub(super) fn must_exist(self) -> Result<(), Fault> {
        if (Self::FIRST..=LATEST).contains(&self) {
            return Ok(());
        }
        let why =
            format!("Version {self} is not supported by the API. Minimum is {} and maximum is {LATEST}.", Self::FIRST);
        Err(Fault::new(StatusCode::NOT_ACCEPTABLE, why))
    }

    /// Two numbers without leading zeros.
    fn parse(word: &str) -> Option<Self> {
        let (major, minor) = word.split_once('.')?;
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain && (digits == "0" || !digits.starts_with('0')))
        };
        Some(Self { major: number(major).filter(|major| *major > 0)?, minor: number(minor)? })
    }

    /// Tells the microversion of an answer, and that answers differ by it.
    pub(super) fn mark(self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        for (name, shown) in [(HEADER, format!("compute {self}")), (OLD_HEADER, self.to_string())] {
            if let Ok(shown) = HeaderValue::from_str(&shown) {
                headers.insert(name, shown);
            }
        }
        headers.append(header::VARY, HeaderValue::from_static("OpenStack-API-Version"));
        headers.append(header::VARY, HeaderValue::from_static("X-OpenStack-Nova-API-Version"));
    }
}

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The word after the last `compute` of the common header, else the old header.
fn asked_word(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let common = text(HEADER).and_then(|list| {
        let mut entries = list.rsplit(',').filter_map(|entry| entry.trim().split_once([' ', '\t']));
        entries.find(|(service, _)| service.eq_ignore_ascii_case("compute")).map(|(_, word)| word.trim())
    });
    common.or_else(|| text(OLD_HEADER).map(str::trim)).map(str::to_owned)
}

/// `/`: both versions.
pub(super) fn list(base: &str) -> Response<Body> {
    json(StatusCode::OK, &value!({"versions": [described(Version::V20, base), described(Version::V21, base)]}))
}

/// One version.
pub(super) fn show(version: Version, base: &str) -> Response<Body> {
    let mut shown = described(version, base);
    if let Some(links) = shown.get_mut("links").and_then(Value::as_array_mut) {
        links.push(value!({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}));
    }
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("media-types".to_owned(), value!([media_type(version)]));
    }
    json(StatusCode::OK, &value!({"version": shown}))
}

/// 300 for a path that names no version.
pub(super) fn choices(base: &str, path: &str) -> Response<Body> {
    let choices = [(Version::V20, "v2.0", "DEPRECATED"), (Version::V21, "v2.1", "CURRENT")];
    let choices = choices.map(|(version, id, status)| {
        let href = format!("{base}/{}/{path}", version.word());
        let links = value!([{"rel": "self", "href": href}]);
        value!({"id": id, "status": status, "links": links, "media-types": [media_type(version)]})
    });
    json(StatusCode::MULTIPLE_CHOICES, &value!({"choices": choices}))
}

fn described(version: Version, base: &str) -> Value {
    let links = value!([{"rel": "self", "href": format!("{base}/{}/", version.word())}]);
    match version {
        Version::V20 => value!({
            "id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "",
            "updated": "2025-07-04T12:00:00Z", "links": links,
        }),
        Version::V21 => value!({
            "id": "v2.1", "status": "CURRENT", "version": LATEST.to_string(),
            "min_version": Microversion::FIRST.to_string(), "updated": "2013-07-23T11:33:21Z", "links": links,
        }),
    }
}

fn media_type(version: Version) -> Value {
    let number = version.word().trim_start_matches('v');
    value!({"base": "application/json", "type": format!("application/vnd.openstack.compute+json;version={number}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, given: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(given))]);
        Microversion::asked(&headers).ok().map(|version| version.to_string())
    }

    #[test]
    fn the_microversion_stands_behind_the_name_of_the_service() {
        for (given, expected) in [
            ("compute 2.35", Some("2.35")),
            ("Compute \t2.5", Some("2.5")),
            ("volume 3.0,compute 2.5", Some("2.5")),
            ("compute 2.1, compute 2.5", Some("2.5")),
            ("compute latest", Some("2.104")),
            ("compute 9.9", Some("9.9")),
            ("compute 2.0", Some("2.0")),
            ("compute", Some("2.1")),
            ("2.35", Some("2.1")),
            ("image 2.35", Some("2.1")),
            ("", Some("2.1")),
            ("compute 2.5 x", None),
            ("compute 2.01", None),
            ("compute 02.5", None),
            ("compute 2", None),
            ("compute +2.5", None),
        ] {
            assert_eq!(asked(HEADER, given).as_deref(), expected, "{given}");
        }
        assert_eq!(asked(OLD_HEADER, "2.35").as_deref(), Some("2.35"));
        assert_eq!(asked(OLD_HEADER, "compute 2.35"), None);
        assert_eq!((asked(OLD_HEADER, ""), asked(OLD_HEADER, " ")), (None, None));
    }

    #[test]
    fn only_the_microversions_from_the_first_to_the_latest_exist() {
        for (word, exists) in [("2.0", false), ("2.1", true), ("2.104", true), ("2.105", false), ("1.5", false)] {
            assert_eq!(Microversion::parse(word).unwrap().must_exist().is_ok(), exists, "{word}");
        }
    }
}
