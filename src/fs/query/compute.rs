//! The questions of the Compute API ("List Images"), sent as they are. Pure.

use super::{Expression, No, is_time, must};
use crate::image::Status;

/// Filters that take any text.
const TEXTS: [&str; 3] = ["name", "server", "type"];

/// Filters that are numbers: what an image needs exactly.
const NUMBERS: [&str; 2] = ["minDisk", "minRam"];

/// How a filter begins that asks for the value of a property.
const PROPERTY: &str = "property-";

/// The words of the service for a status that are none of the Image service's.
const STATUSES: [&str; 2] = ["ERROR", "UNKNOWN"];

/// Why a filter is none.
pub(super) const FILTERS: &str = "the Compute API takes name, status, server, type, changes-since, minDisk, minRam, property-*, \
                                  marker and limit";

impl Expression {
    /// Takes in a filter of the Compute API.
    pub(super) fn add_computes(&mut self, key: &str, value: &str) -> Result<(), No> {
        match key {
            "limit" if value.parse() == Ok(0_u64) => return Err(No::Value("it must be a number, and 1 at least")),
            "limit" | "marker" => return self.add_page(key, value),
            "status" => must(is_status(value), "it must be a status, such as ACTIVE")?,
            "changes-since" => must(is_time(value), "it must be a time, such as 2026-11-21T08:00:00Z")?,
            _ if NUMBERS.contains(&key) => must(value.parse::<u64>().is_ok(), "it must be a number")?,
            _ if TEXTS.contains(&key) || key.strip_prefix(PROPERTY).is_some_and(|name| !name.is_empty()) => {}
            _ => return Err(No::Filter),
        }
        self.filter(key, value);
        Ok(())
    }
}

/// Whether an image can have a status: the service compares it without regard to upper and lower case, and takes the Image
/// service's words too.
fn is_status(word: &str) -> bool {
    let is_glances = !matches!(Status::from(word.to_ascii_lowercase().as_str()), Status::Other(_));
    is_glances || STATUSES.iter().any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::NoQuery;
    use super::*;
    use crate::service::{Api, ListQuery, Marker};

    fn parsed(text: &str) -> Result<Expression, NoQuery> {
        Expression::parse(text, Api::Compute)
    }

    #[test]
    fn each_filter_of_the_compute_api_is_passed_on_as_it_is() {
        for text in [
            "name=a b",
            "server=7",
            "status=ACTIVE",
            "status=saving",
            "status=unknown",
            "status=deactivated",
            "changes-since=2026-01-02T03:04:05Z",
            "type=SNAPSHOT",
            "type=snapshot",
            "minDisk=5",
            "minRam=0",
            "property-os_distro=debian",
        ] {
            let (key, value) = text.split_once('=').unwrap();
            assert_eq!(parsed(text).unwrap().list.filters, [(key.to_owned(), value.to_owned())]);
        }
        let url = parsed("server=http:%2F%2Fh%2Fv2.1%2Fservers%2F7&name=x").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(url.list.filters, [pair("server", "http://h/v2.1/servers/7"), pair("name", "x")]);
    }

    #[test]
    fn a_page_is_a_number_of_images_behind_one() {
        let id = "cbedf87a-9d62-4eec-b777-de1bd4867530";
        let page = parsed(&format!("marker={id}&limit=3")).unwrap();
        assert_eq!((page.marker, page.limit, page.list.enough), (Some(Marker(id.to_owned())), Some(3), Some(3)));
        assert_eq!(
            parsed("name=x").unwrap().list,
            ListQuery { filters: vec![("name".into(), "x".into())], ..ListQuery::default() }
        );
    }

    #[test]
    fn what_the_compute_api_cannot_be_asked_says_what_it_can() {
        for (text, sentence) in [
            ("status=bogus", "status=bogus: it must be a status, such as ACTIVE"),
            ("minDisk=-1", "minDisk=-1: it must be a number"),
            ("limit=0", "limit=0: it must be a number, and 1 at least"),
            ("limit=x", "limit=x: it must be a number"),
            ("marker=x", "marker=x: it must be the id of an image"),
            ("changes-since=yesterday", "changes-since=yesterday: it must be a time"),
            ("tag=x", "images cannot be asked for by 'tag': the Compute API takes name, status, server"),
            ("sort=name:asc", "images cannot be asked for by 'sort': the Compute API takes"),
            ("property-=x", "images cannot be asked for by 'property-'"),
            ("os_distro=x", "images cannot be asked for by 'os_distro'"),
            ("name=a&name=b", "'name' is there twice"),
            ("name", "'name' is no query"),
        ] {
            let why = parsed(text).unwrap_err().to_string();
            assert!(why.starts_with(sentence), "{text}: {why}");
        }
    }
}
