//! Which resource of the Compute API a path names.

use super::version::Microversion;
use axum::http::Method;
use percent_encoding::percent_decode_str;

/// Where the Compute API is on the port that it shares with the Image API, whose `/v2.1` means the same as its `/v2`.
pub(crate) const PREFIX: &str = "/compute";

/// The version that a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The old one, without microversions.
    V20,
    V21,
}

impl Version {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::V20 => "v2",
            Self::V21 => "v2.1",
        }
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// The list of versions.
    Versions,
    /// A path without a version, which is to be chosen.
    Choice(String),
    /// The description of one version.
    Version(Version),
    /// What only shows itself to who has logged in.
    Within(Version, Option<Place>),
}

/// A resource, and the project that its path names, as old clients have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) project: Option<String>,
    pub(super) resource: Resource,
}

/// A resource of the Compute API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Images,
    Details,
    Image(String),
    Metadata(String),
    Item(String, String),
}

/// What a request wants of which image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    List,
    Detail,
    Show(String),
    Delete(String),
    Metadata(String),
    /// Adds and overwrites items.
    Merge(String),
    /// Leaves no other items.
    Replace(String),
    Item(String, String),
    Set(String, String),
    Remove(String, String),
}

impl Action {
    /// What a method means for a resource, where it means something.
    pub(super) fn of(method: &Method, resource: Resource) -> Option<Self> {
        Some(match (method.as_str(), resource) {
            ("GET", Resource::Images) => Self::List,
            ("GET", Resource::Details) => Self::Detail,
            ("GET", Resource::Image(id)) => Self::Show(id),
            ("DELETE", Resource::Image(id)) => Self::Delete(id),
            ("DELETE", Resource::Details) => Self::Delete("detail".to_owned()),
            ("GET", Resource::Metadata(id)) => Self::Metadata(id),
            ("POST", Resource::Metadata(id)) => Self::Merge(id),
            ("PUT", Resource::Metadata(id)) => Self::Replace(id),
            ("GET", Resource::Item(id, key)) => Self::Item(id, key),
            ("PUT", Resource::Item(id, key)) => Self::Set(id, key),
            ("DELETE", Resource::Item(id, key)) => Self::Remove(id, key),
            _ => return None,
        })
    }

    pub(super) fn last_microversion(&self) -> Microversion {
        match self {
            Self::List | Self::Detail | Self::Show(_) | Self::Delete(_) => Microversion::LAST_OF_IMAGES,
            Self::Metadata(_)
            | Self::Merge(_)
            | Self::Replace(_)
            | Self::Item(..)
            | Self::Set(..)
            | Self::Remove(..) => Microversion::LAST_OF_METADATA,
        }
    }
}

impl Address {
    /// The address of a path, or nothing where the path is none of the Compute API.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let (words, ended) = words(rest);
        let mut rest = words.iter().map(String::as_str);
        let version = match rest.next() {
            None => return Some(Self::Versions),
            Some("v2") => Version::V20,
            Some("v2.1") => Version::V21,
            Some(_) => return Some(Self::Choice(words.join("/"))),
        };
        let rest: Vec<&str> = rest.collect();
        Some(match rest.as_slice() {
            [] => Self::Version(version),
            _ if ended => Self::Within(version, None),
            words => Self::Within(version, Place::of(words)),
        })
    }
}

impl Place {
    fn of(words: &[&str]) -> Option<Self> {
        let (project, words) = match words {
            ["images", rest @ ..] => (None, rest),
            [project, "images", rest @ ..] => (Some((*project).to_owned()), rest),
            _ => return None,
        };
        let resource = match words {
            [] => Resource::Images,
            ["detail"] => Resource::Details,
            [id] => Resource::Image((*id).to_owned()),
            [id, "metadata"] => Resource::Metadata((*id).to_owned()),
            [id, "metadata", key] => Resource::Item((*id).to_owned(), (*key).to_owned()),
            _ => return None,
        };
        Some(Self { project, resource })
    }
}

/// The words of a path, and whether it ends in a slash. Dots are followed as they were sent; an escaped slash separates
/// words like any other, because Nova sees the path when it has been decoded, with each byte as a letter.
fn words(path: &str) -> (Vec<String>, bool) {
    let mut followed = Vec::new();
    for word in path.split('/') {
        match word {
            "." => {}
            ".." => drop(followed.pop()),
            word => followed.push(word),
        }
    }
    let decoded: String = percent_decode_str(&followed.join("/")).map(char::from).collect();
    let ended = decoded.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    (decoded.split('/').filter(|word| !word.is_empty()).map(str::to_owned).collect(), ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> Option<Resource> {
        match Address::of(path) {
            Some(Address::Within(Version::V21, place)) => place.map(|place| place.resource),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn what_does_not_begin_with_the_prefix_is_the_image_api() {
        for path in ["/", "/v2.1/images", "/computer", "/v2/compute", ""] {
            assert_eq!(Address::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_without_a_known_version_is_a_choice() {
        assert_eq!(Address::of("/compute"), Some(Address::Versions));
        assert_eq!(Address::of("/compute/"), Some(Address::Versions));
        assert_eq!(Address::of("/compute/v3/images"), Some(Address::Choice("v3/images".to_owned())));
        assert_eq!(Address::of("/compute/v2.1/"), Some(Address::Version(Version::V21)));
        assert_eq!(Address::of("/compute/v2"), Some(Address::Version(Version::V20)));
    }

    #[test]
    fn a_path_may_name_the_project() {
        let place = Place { project: Some("p".to_owned()), resource: Resource::Images };
        assert_eq!(Address::of("/compute/v2.1/p/images"), Some(Address::Within(Version::V21, Some(place))));
        assert_eq!(resource("/compute/v2.1/images/images"), Some(Resource::Image("images".to_owned())));
    }

    #[test]
    fn keys_are_decoded_and_slashes_separate_however_they_are_written() {
        let item = |key: &str| Some(Resource::Item("i".to_owned(), key.to_owned()));
        assert_eq!(resource("/compute/v2.1/images/i/metadata/a%20b"), item("a b"));
        assert_eq!(resource("/compute/v2.1//images/i/metadata/%C3%A9"), item("\u{c3}\u{a9}"));
        assert_eq!(resource("/compute/v2.1/images/i/metadata/%2E%2E"), item(".."));
        for path in ["images/", "images/i/metadata/a%2Fb", "images/i/metadata/..", "images/i/nope", "nope"] {
            assert_eq!(resource(&format!("/compute/v2.1/{path}")), None, "{path}");
        }
    }
}
