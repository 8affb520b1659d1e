//! Which resource a path names, and which methods it knows.
//!
//! Glance's paths have rules of their own (any number of slashes between words, none at the end, every unknown
//! first word answers the list of versions, `Allow` lists the methods in the order of its routes), so they are matched
//! here rather than by a router.

use percent_encoding::percent_decode_str;

use super::compute::Address;
use super::routes::Dropped;

/// A resource of the Image API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The list of versions, as the answer to a choice (300) or as a list (200).
    Versions {
        chosen: bool,
    },
    Health,
    /// `/v2` without a slash, which redirects.
    Root,
    Images,
    Image(String),
    File(String),
    Members(String),
    Member(String, String),
    Tag(String, String),
    Stage(String),
    Import(String),
    TasksOf(String),
    Action(String, Action),
    Schema(&'static str),
    ImportMethods,
    Stores,
    StoresDetail,
    Usage,
    Tasks,
    Task(String),
    Unknown,
    /// What the Compute API has beside the Image API.
    Compute(Address),
}

/// What can be done to an image's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Deactivate,
    Reactivate,
}

impl Resource {
    /// The resource; Glance closes the connection over a path that is no UTF-8, whatever it would lead to.
    pub(crate) fn of(path: &str) -> Result<Self, Dropped> {
        let bytes: Vec<u8> = percent_decode_str(path).collect();
        if std::str::from_utf8(&bytes).is_err() {
            return Err(Dropped);
        }
        // A Python server hands a path on with each byte as a letter, and Glance takes its words from there: an `é` in
        // an address is two letters to it.
        let path: String = bytes.into_iter().map(char::from).collect();
        let words = words(&path);
        Ok(match words.as_slice() {
            ["versions"] => Self::Versions { chosen: true },
            ["healthcheck"] => Self::Health,
            [version, rest @ ..] if is_v2(version) => match (rest, path.ends_with('/') || path.ends_with("/..")) {
                ([], false) => Self::Root,
                (_, true) => Self::Unknown,
                (rest, false) => Self::within_v2(rest),
            },
            _ => Self::Versions { chosen: false },
        })
    }

    fn within_v2(words: &[&str]) -> Self {
        match words {
            ["images"] => Self::Images,
            ["images", id] => Self::Image((*id).to_owned()),
            ["images", id, "file"] => Self::File((*id).to_owned()),
            ["images", id, "stage"] => Self::Stage((*id).to_owned()),
            ["images", id, "import"] => Self::Import((*id).to_owned()),
            ["images", id, "tasks"] => Self::TasksOf((*id).to_owned()),
            ["images", id, "members"] => Self::Members((*id).to_owned()),
            ["images", id, "members", member] => Self::Member((*id).to_owned(), (*member).to_owned()),
            ["images", id, "tags", tag] => Self::Tag((*id).to_owned(), (*tag).to_owned()),
            ["images", id, "actions", "deactivate"] => Self::Action((*id).to_owned(), Action::Deactivate),
            ["images", id, "actions", "reactivate"] => Self::Action((*id).to_owned(), Action::Reactivate),
            ["schemas", "image"] => Self::Schema("image"),
            ["schemas", "images"] => Self::Schema("images"),
            ["schemas", "member"] => Self::Schema("member"),
            ["schemas", "members"] => Self::Schema("members"),
            ["info", "import"] => Self::ImportMethods,
            ["info", "stores"] => Self::Stores,
            ["info", "stores", "detail"] => Self::StoresDetail,
            ["info", "usage"] => Self::Usage,
            ["tasks"] => Self::Tasks,
            ["tasks", id] => Self::Task((*id).to_owned()),
            _ => Self::Unknown,
        }
    }

    /// The methods as `Allow` lists them; `None` where any method is taken, or none is known.
    pub(crate) fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Image(_) => Some("GET, PATCH, DELETE"),
            Self::File(_) => Some("GET, PUT"),
            Self::Images | Self::Members(_) => Some("GET, POST"),
            Self::Member(..) => Some("GET, PUT, DELETE"),
            Self::Tag(..) => Some("PUT, DELETE"),
            Self::Stage(_) => Some("PUT"),
            Self::Action(..) | Self::Import(_) => Some("POST"),
            Self::Schema(_) | Self::ImportMethods | Self::Stores | Self::StoresDetail => Some("GET"),
            Self::Versions { .. }
            | Self::Health
            | Self::Root
            | Self::Usage
            | Self::TasksOf(_)
            | Self::Tasks
            | Self::Task(_)
            | Self::Unknown
            | Self::Compute(_) => None,
        }
    }
}

/// The words of a path, with `.` and `..` followed.
fn words(path: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => drop(words.pop()),
            word => words.push(word),
        }
    }
    words
}

/// `v2`, or `v2.` and a number.
fn is_v2(word: &str) -> bool {
    word.strip_prefix("v2")
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|minor| minor.parse::<u8>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Resource {
        Resource::of(path).unwrap()
    }

    #[test]
    fn a_word_beyond_ascii_is_read_byte_by_byte() {
        let tag = |word: &str| Resource::Tag("i".to_owned(), word.to_owned());
        assert_eq!(of("/v2/images/i/tags/%C3%A9"), tag("\u{c3}\u{a9}"));
        assert_eq!(of("/v2/images/i/tags/a%25+%20b"), tag("a%+ b"));
        assert!(Resource::of("/v2/images/i/tags/%FF").is_err());
    }

    #[test]
    fn a_slash_or_dots_are_no_tag() {
        for path in ["/v2/images/i/tags/a%2Fb", "/v2/images/i/tags/..", "/v2/images/i/tags/.", "/v2/images/i/tags/"] {
            assert_eq!(of(path), Resource::Unknown, "{path}");
        }
    }

    #[test]
    fn slashes_repeat_but_do_not_end_a_path() {
        assert_eq!(of("/v2//images"), Resource::Images);
        assert_eq!(of("//v2/images"), Resource::Images);
        assert_eq!(of("/v2/images/"), Resource::Unknown);
        assert_eq!(of("/v2/"), Resource::Unknown);
        assert_eq!(of("/v2"), Resource::Root);
    }

    #[test]
    fn every_minor_version_of_v2_is_v2() {
        assert_eq!(of("/v2.9/images"), Resource::Images);
        assert_eq!(of("/v2.17/images"), Resource::Images);
    }

    #[test]
    fn an_unknown_first_word_answers_the_versions() {
        for path in ["/", "/v1/x", "/v3/images", "/nope", "/V2/images"] {
            assert_eq!(of(path), Resource::Versions { chosen: false }, "{path}");
        }
        assert_eq!(of("/versions"), Resource::Versions { chosen: true });
    }
}
