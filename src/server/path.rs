//! Which resource a path names, and which methods it knows.
//!
//! Glance's paths have rules of their own (any number of slashes between words, none at the end, every unknown
//! first word answers the list of versions, `Allow` lists the methods in the order of its routes), so they are matched
//! here rather than by a router.

use percent_encoding::percent_decode_str;

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
    Action(String, Action),
    Schema(&'static str),
    ImportMethods,
    Stores,
    StoresDetail,
    Usage,
    Tasks,
    Unknown,
}

/// What can be done to an image's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Deactivate,
    Reactivate,
}

impl Resource {
    pub(crate) fn of(path: &str) -> Self {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty() && *word != ".").collect();
        match words.as_slice() {
            ["versions"] => Self::Versions { chosen: true },
            ["healthcheck"] => Self::Health,
            [version, rest @ ..] if is_v2(version) => match (rest, path.ends_with('/')) {
                ([], false) => Self::Root,
                (_, true) => Self::Unknown,
                (rest, false) => Self::within_v2(rest),
            },
            _ => Self::Versions { chosen: false },
        }
    }

    fn within_v2(words: &[&str]) -> Self {
        match words {
            ["images"] => Self::Images,
            ["images", id] => Self::Image((*id).to_owned()),
            ["images", id, "file"] => Self::File((*id).to_owned()),
            ["images", id, "members"] => Self::Members((*id).to_owned()),
            ["images", id, "members", member] => Self::Member((*id).to_owned(), (*member).to_owned()),
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
            Self::Action(..) => Some("POST"),
            Self::Schema(_) | Self::ImportMethods | Self::Stores | Self::StoresDetail => Some("GET"),
            Self::Versions { .. } | Self::Health | Self::Root | Self::Usage | Self::Tasks | Self::Unknown => None,
        }
    }
}

/// `v2`, or `v2.` and a number.
fn is_v2(word: &str) -> bool {
    word.strip_prefix("v2")
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|minor| minor.parse::<u8>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_repeat_but_do_not_end_a_path() {
        assert_eq!(Resource::of("/v2//images"), Resource::Images);
        assert_eq!(Resource::of("//v2/images"), Resource::Images);
        assert_eq!(Resource::of("/v2/images/"), Resource::Unknown);
        assert_eq!(Resource::of("/v2/"), Resource::Unknown);
        assert_eq!(Resource::of("/v2"), Resource::Root);
    }

    #[test]
    fn every_minor_version_of_v2_is_v2() {
        assert_eq!(Resource::of("/v2.9/images"), Resource::Images);
        assert_eq!(Resource::of("/v2.17/images"), Resource::Images);
    }

    #[test]
    fn an_unknown_first_word_answers_the_versions() {
        for path in ["/", "/v1/x", "/v3/images", "/nope", "/V2/images"] {
            assert_eq!(Resource::of(path), Resource::Versions { chosen: false }, "{path}");
        }
        assert_eq!(Resource::of("/versions"), Resource::Versions { chosen: true });
    }
}
