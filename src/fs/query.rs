//! What a folder of `query/` asks for: an expression as the filters of a listing. Pure.
//!
//! The keys are those of the Image API ("List images") and the Compute API's words for the same. What the service would
//! take for the name of a property because it knows no such filter, it takes for one here too. Where images are shown by the
//! Compute API, they are its own ([`compute`]).

mod compute;

use percent_encoding::percent_decode_str;

use crate::image::{Image, ImageId, MemberStatus, Status, Visibility};
use crate::service::page::Marker;
use crate::service::{Api, Direction, ListQuery};

/// What images are sorted by (`sort_key` of the API reference).
const SORTED_BY: [&str; 8] =
    ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"];

/// Filters that take any text.
const TEXTS: [&str; 9] =
    ["name", "id", "owner", "tag", "disk_format", "container_format", "checksum", "os_hash_value", "os_hash_algo"];

/// Filters that are numbers.
const NUMBERS: [&str; 6] = ["size", "size_min", "size_max", "virtual_size", "min_disk", "min_ram"];

/// Filters that are times, with an operator before them.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Attributes of images, and parameters of a listing, that are no filters.
const NO_FILTERS: [&str; 9] =
    ["tags", "stores", "self", "file", "schema", "locations", "direct_url", "sort_key", "sort_dir"];

/// The property by which the Compute service marks the snapshots of servers, and what it writes there.
const IMAGE_TYPE: &str = "image_type";
const SNAPSHOT: &str = "snapshot";

/// The property by which it notes the server.
const SERVER: &str = "instance_uuid";

/// A question about images.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expression {
    /// What the service is asked.
    pub(super) list: ListQuery,
    /// The image behind which the answer begins.
    pub(super) marker: Option<Marker>,
    /// How many images it has at most.
    pub(super) limit: Option<usize>,
    /// Snapshots of servers are left out, which the service cannot be asked for.
    no_snapshots: bool,
    /// The properties that are asked for by their names alone.
    pub(super) properties: Vec<String>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuery {
    /// It is not made of keys and values.
    #[error(
        "'{0}' is no query: write key=value, and more of them with & between; % / and & in a value are %25 %2F and %26"
    )]
    Form(String),
    /// Images cannot be asked for by this.
    #[error("images cannot be asked for by '{0}'")]
    Key(String),
    /// The Compute API has no such filter.
    #[error("images cannot be asked for by '{0}': {filters}", filters = compute::FILTERS)]
    Filter(String),
    /// One key has two values.
    #[error("'{0}' is there twice: only tags add up")]
    Twice(String),
    /// The key cannot have the value.
    #[error("{key}={value}: {must}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// No image has such a property, and no filter is called so.
    #[error("no image here has a property '{0}', and no filter is called so")]
    NoProperty(String),
}

impl Expression {
    /// Reads an expression: `key=value`, with `&` between several. Keys and values are percent-decoded.
    pub(super) fn parse(text: &str, api: Api) -> Result<Self, NoQuery> {
        let mut expression = Self::default();
        let mut keys: Vec<String> = Vec::new();
        for part in text.split('&') {
            let pair = part.split_once('=').and_then(|(key, value)| Some((decoded(key)?, decoded(value)?)));
            let (key, value) = pair.filter(|(key, _)| !key.is_empty()).ok_or_else(|| NoQuery::Form(text.to_owned()))?;
            if key != "tag" && keys.contains(&key) {
                return Err(NoQuery::Twice(key));
            }
            let added = match api {
                Api::Image => expression.add(&key, &value),
                Api::Compute => expression.add_computes(&key, &value),
            };
            added.map_err(|no| no.of(&key, &value))?;
            keys.push(key);
        }
        // Who leaves some out does not know how many he has to ask for.
        expression.list.enough = expression.limit.filter(|_| !expression.no_snapshots);
        Ok(expression)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), No> {
        match key {
            "sort" => self.list.sort = value.split(',').map(sorted).collect::<Result<_, _>>()?,
            "limit" | "marker" => self.add_page(key, value)?,
            "server" => {
                let id = value.trim_end_matches('/').rsplit('/').next().unwrap_or(value);
                self.filter(SERVER, id);
            }
            "type" => match value {
                "SNAPSHOT" => self.filter(IMAGE_TYPE, SNAPSHOT),
                "BASE" => self.no_snapshots = true,
                _ => return Err(No::Value("it must be BASE or SNAPSHOT")),
            },
            "changes-since" => {
                must(is_time(value), "it must be a time, such as 2026-11-21T08:00:00Z")?;
                self.filter("updated_at", &format!("gte:{value}"));
            }
            _ if NO_FILTERS.contains(&key) => return Err(No::Key),
            _ => {
                self.check(key, value)?;
                self.filter(key, value);
            }
        }
        Ok(())
    }

    /// Takes in how many images are wanted, or behind which one.
    fn add_page(&mut self, key: &str, value: &str) -> Result<(), No> {
        if key == "limit" {
            self.limit = Some(value.parse().map_err(|_| No::Value("it must be a number"))?);
        } else {
            let id: ImageId = value.parse().map_err(|_| No::Value("it must be the id of an image"))?;
            self.marker = Some(id.into());
        }
        Ok(())
    }

    fn filter(&mut self, key: &str, value: &str) {
        self.list.filters.push((key.to_owned(), value.to_owned()));
    }

    /// Refuses what the service would refuse, and what could match nothing.
    fn check(&mut self, key: &str, value: &str) -> Result<(), No> {
        let words = value.strip_prefix("in:");
        match key {
            "status" if words.is_none() => {
                must(!matches!(Status::from(value), Status::Other(_)), "it must be a status, such as active")
            }
            "status" => Ok(()),
            "visibility" => must(
                value == "all" || !matches!(Visibility::from(value), Visibility::Other(_)),
                "it must be public, community, shared, private or all",
            ),
            "member_status" => must(
                value == "all" || !matches!(MemberStatus::from(value), MemberStatus::Other(_)),
                "it must be pending, accepted, rejected or all",
            ),
            "protected" | "os_hidden" => must(matches!(value, "true" | "false"), "it must be true or false"),
            _ if NUMBERS.contains(&key) => must(value.parse::<u64>().is_ok(), "it must be a number"),
            _ if TIMES.contains(&key) => {
                let time = value.split_once(':').filter(|(operator, _)| is_comparison(operator));
                let time = time.map_or(value, |(_, time)| time);
                must(is_time(time), "it must be a time, with gt: gte: lt: lte: eq: or neq: before it")
            }
            _ if TEXTS.contains(&key) => Ok(()),
            property => {
                self.properties.push(property.to_owned());
                Ok(())
            }
        }
    }

    /// Whether an image that the service listed is asked for.
    pub(super) fn takes(&self, image: &Image) -> bool {
        !(self.no_snapshots && image.properties.get(IMAGE_TYPE).is_some_and(|kind| kind == SNAPSHOT))
    }

    /// Whether images are asked for that are in no usual listing.
    pub(super) fn goes_beyond(&self) -> bool {
        self.list.filters.iter().any(|(key, _)| matches!(key.as_str(), "os_hidden" | "visibility" | "member_status"))
    }
}

/// What is wrong with a key and its value.
enum No {
    Key,
    /// None of the Compute API.
    Filter,
    Value(&'static str),
}

impl No {
    fn of(self, key: &str, value: &str) -> NoQuery {
        match self {
            Self::Key => NoQuery::Key(key.to_owned()),
            Self::Filter => NoQuery::Filter(key.to_owned()),
            Self::Value(must) => NoQuery::Value { key: key.to_owned(), value: value.to_owned(), must },
        }
    }
}

fn must(holds: bool, what: &'static str) -> Result<(), No> {
    if holds { Ok(()) } else { Err(No::Value(what)) }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn sorted(word: &str) -> Result<(String, Direction), No> {
    let (key, direction) = word.split_once(':').unwrap_or((word, "desc"));
    let direction = match direction {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        _ => return Err(No::Value("a key is followed by :asc or :desc")),
    };
    must(
        SORTED_BY.contains(&key),
        "images are sorted by name, status, container_format, disk_format, size, id, created_at and updated_at",
    )?;
    Ok((key.to_owned(), direction))
}

fn is_comparison(word: &str) -> bool {
    matches!(word, "gt" | "gte" | "lt" | "lte" | "eq" | "neq")
}

/// Whether a text looks like a date or a time of ISO 8601. The service, which reads more forms than one, has the last word.
fn is_time(text: &str) -> bool {
    text.get(..4).is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()))
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Vec<String> {
        let expression = Expression::parse(text, Api::Image).unwrap();
        expression.list.filters.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn each_filter_of_the_service_is_passed_on() {
        for text in [
            "name=a b",
            "name=in:a,b",
            "status=active",
            "status=in:active,queued",
            "visibility=all",
            "owner=p",
            "tag=x",
            "member_status=pending",
            "size_min=5",
            "size_max=6",
            "protected=true",
            "os_hidden=true",
            "disk_format=in:raw,qcow2",
            "container_format=bare",
            "created_at=gt:2026-01-02T03:04:05Z",
            "updated_at=neq:2026-01-02",
            "hw_disk_bus=virtio",
        ] {
            assert_eq!(filters(text), [text]);
        }
        assert_eq!(filters("tag=a&tag=b&os_distro=x%26y%2Fz%25"), ["tag=a", "tag=b", "os_distro=x&y/z%"]);
    }

    #[test]
    fn the_words_of_the_compute_api_are_understood() {
        assert_eq!(filters("server=http://h/v2.1/servers/7"), ["instance_uuid=7"]);
        assert_eq!(filters("server=7"), ["instance_uuid=7"]);
        assert_eq!(filters("type=SNAPSHOT"), ["image_type=snapshot"]);
        assert_eq!(filters("changes-since=2026-01-02"), ["updated_at=gte:2026-01-02"]);
        let id = "cbedf87a-9d62-4eec-b777-de1bd4867530";
        let page = Expression::parse(&format!("marker={id}&limit=3"), Api::Image).unwrap();
        assert_eq!((page.marker, page.limit, page.list.enough), (Some(Marker(id.to_owned())), Some(3), Some(3)));
        let some = Expression::parse("type=BASE&limit=3", Api::Image).unwrap();
        assert_eq!((some.limit, some.list.enough), (Some(3), None));
    }

    #[test]
    fn base_images_are_those_that_are_no_snapshots() {
        let base = Expression::parse("type=BASE", Api::Image).unwrap();
        assert_eq!(base.list, ListQuery::default());
        let mut image = crate::fs::testing::image(1, "x");
        assert!(base.takes(&image));
        image.properties.insert("image_type".into(), "snapshot".into());
        assert!(!base.takes(&image));
        assert!(Expression::parse("status=active", Api::Image).unwrap().takes(&image));
    }

    #[test]
    fn a_sort_has_keys_and_directions() {
        let sort = Expression::parse("sort=name:asc,size", Api::Image).unwrap().list.sort;
        assert_eq!(sort, [("name".to_owned(), Direction::Ascending), ("size".to_owned(), Direction::Descending)]);
    }

    #[test]
    fn what_is_no_query_says_why() {
        for (text, sentence) in [
            ("", "'' is no query: write key=value"),
            ("status", "'status' is no query"),
            ("=x", "'=x' is no query"),
            ("a=%ff", "'a=%ff' is no query"),
            ("a=b&", "'a=b&' is no query"),
            ("status=bogus", "status=bogus: it must be a status"),
            ("visibility=x", "visibility=x: it must be public"),
            ("protected=True", "protected=True: it must be true or false"),
            ("size_min=-1", "size_min=-1: it must be a number"),
            ("limit=x", "limit=x: it must be a number"),
            ("marker=x", "marker=x: it must be the id of an image"),
            ("sort=owner", "sort=owner: images are sorted by name"),
            ("sort=name:up", "sort=name:up: a key is followed by"),
            ("created_at=yesterday", "created_at=yesterday: it must be a time"),
            ("created_at=in:2026", "created_at=in:2026: it must be a time"),
            ("type=base", "type=base: it must be BASE or SNAPSHOT"),
            ("sort_key=name", "images cannot be asked for by 'sort_key'"),
            ("name=a&name=b", "'name' is there twice"),
        ] {
            let why = Expression::parse(text, Api::Image).unwrap_err().to_string();
            assert!(why.starts_with(sentence), "{text}: {why}");
        }
    }
}
