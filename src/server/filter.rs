//! The filters of a listing: attributes with their operators, tags, properties, and who sees what.

use super::errors::{ApiError, Refusal};
use super::list::Query;
use super::record::{Record, Visibility};
use super::service::Caller;
use super::time_filter::TimeFilter;
use std::str::FromStr;

/// Parameters that are no filters.
const CONTROLS: [&str; 5] = ["limit", "marker", "sort", "sort_key", "sort_dir"];

/// One condition on an image.
#[derive(Debug)]
enum Condition {
    /// `name`, `id`, `status`, `disk_format`, `container_format`: one of these values.
    Word(Word, Vec<String>),
    /// An attribute equal to a text.
    Exact(Exact, String),
    /// An attribute equal to a number; what is no number equals none.
    Number(Number, Option<i128>),
    SizeMin(i128),
    SizeMax(i128),
    Protected(bool),
    Time(TimeFilter),
    Tag(String),
    Property(String, String),
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Name,
    Id,
    Status,
    DiskFormat,
    ContainerFormat,
}

#[derive(Clone, Copy, Debug)]
enum Exact {
    Checksum,
    HashValue,
    HashAlgorithm,
    Owner,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Size,
    VirtualSize,
    MinDisk,
    MinRam,
}

/// Which visibilities are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// All but the communities of others.
    Usual,
    All,
    Only(Visibility),
}

/// All filters of a query.
#[derive(Debug)]
pub(crate) struct Filters {
    conditions: Vec<Condition>,
    seen: Seen,
    hidden: bool,
    /// `None` means any.
    member_status: Option<String>,
}

impl Filters {
    pub(crate) fn parse(query: &Query) -> Result<Self, Refusal> {
        let mut filters =
            Self { conditions: Vec::new(), seen: Seen::Usual, hidden: false, member_status: Some("accepted".into()) };
        for (key, value) in &query.0 {
            // Of repeated keys the last counts, but tags add up.
            let counts = key == "tag" || query.last(key).is_some_and(|last| std::ptr::eq(last, value.as_str()));
            if counts && !CONTROLS.contains(&key.as_str()) {
                filters.add(key, value)?;
            }
        }
        Ok(filters)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "visibility" => self.seen = seen(value)?,
            "os_hidden" => self.hidden = flag(key, value, &value.to_lowercase())?,
            "member_status" => self.member_status = member_status(value)?,
            // Glance fails over the empty one.
            "changes-since" if value.is_empty() => return Err(ApiError::internal().into()),
            "changes-since" => {
                let why = "The \"changes-since\" filter is no longer available on v2.";
                return Err(ApiError::bad_request(why).into());
            }
            _ => self.conditions.push(condition(key, value)?),
        }
        Ok(())
    }

    /// Whether a listing for this caller shows the image.
    pub(crate) fn lets_through(&self, caller: &Caller, record: &Record) -> bool {
        self.is_listed(caller, record)
            && record.os_hidden == self.hidden
            && self.conditions.iter().all(|condition| condition.holds(record))
    }

    fn is_listed(&self, caller: &Caller, record: &Record) -> bool {
        let asked = match self.seen {
            Seen::All => true,
            Seen::Usual => record.visibility != Visibility::Community || caller.owns(record),
            Seen::Only(visibility) => record.visibility == visibility,
        };
        asked && (self.is_visible(caller, record))
    }

    fn is_visible(&self, caller: &Caller, record: &Record) -> bool {
        let shared = caller
            .share_status(record)
            .is_some_and(|status| self.member_status.as_deref().is_none_or(|wanted| wanted == status));
        let open = matches!(record.visibility, Visibility::Public | Visibility::Community);
        open || caller.admin || caller.owns(record) || shared
    }
}

impl Condition {
    fn holds(&self, record: &Record) -> bool {
        match self {
            Self::Word(attribute, wanted) => {
                attribute.of(record).is_some_and(|value| wanted.iter().any(|word| word == value))
            }
            Self::Exact(attribute, wanted) => attribute.of(record) == Some(wanted),
            Self::Number(attribute, wanted) => wanted.is_some() && attribute.of(record) == *wanted,
            Self::SizeMin(least) => record.size().is_some_and(|size| i128::from(size) >= *least),
            Self::SizeMax(most) => record.size().is_some_and(|size| i128::from(size) <= *most),
            Self::Protected(wanted) => record.protected == *wanted,
            Self::Time(filter) => filter.holds(record),
            Self::Tag(tag) => record.tags.contains(tag),
            Self::Property(name, wanted) => record.properties.get(name) == Some(wanted),
        }
    }
}

impl Word {
    fn of(self, record: &Record) -> Option<&str> {
        match self {
            Self::Name => record.name.as_deref(),
            Self::Id => Some(&record.id),
            Self::Status => Some(record.status.as_str()),
            Self::DiskFormat => record.disk_format.as_deref(),
            Self::ContainerFormat => record.container_format.as_deref(),
        }
    }
}

impl Exact {
    fn of(self, record: &Record) -> Option<&str> {
        match self {
            Self::Checksum => record.checksum(),
            Self::HashValue => record.hash(),
            Self::HashAlgorithm => record.hash().map(|_| "sha512"),
            Self::Owner => record.owner.as_deref(),
        }
    }
}

impl Number {
    fn of(self, record: &Record) -> Option<i128> {
        match self {
            Self::Size => record.size().map(i128::from),
            Self::VirtualSize => record.virtual_size().map(i128::from),
            Self::MinDisk => Some(record.min_disk.into()),
            Self::MinRam => Some(record.min_ram.into()),
        }
    }
}

fn condition(key: &str, value: &str) -> Result<Condition, Refusal> {
    let text = value.to_owned();
    Ok(match key {
        "name" => Condition::Word(Word::Name, words(value)?),
        "id" => Condition::Word(Word::Id, words(value)?),
        "status" => Condition::Word(Word::Status, words(value)?),
        "disk_format" => Condition::Word(Word::DiskFormat, words(value)?),
        "container_format" => Condition::Word(Word::ContainerFormat, words(value)?),
        "checksum" => Condition::Exact(Exact::Checksum, text),
        "os_hash_value" => Condition::Exact(Exact::HashValue, text),
        "os_hash_algo" => Condition::Exact(Exact::HashAlgorithm, text),
        "owner" => Condition::Exact(Exact::Owner, text),
        "size" => Condition::Number(Number::Size, number(value)),
        "virtual_size" => Condition::Number(Number::VirtualSize, number(value)),
        "min_disk" => Condition::Number(Number::MinDisk, number(value)),
        "min_ram" => Condition::Number(Number::MinRam, number(value)),
        "size_min" => Condition::SizeMin(bound(value)?),
        "size_max" => Condition::SizeMax(bound(value)?),
        "protected" => Condition::Protected(flag(key, value, value)?),
        "created_at" | "updated_at" => Condition::Time(TimeFilter::parse(key, value)?),
        "tag" => Condition::Tag(text),
        _ => Condition::Property(key.to_owned(), text),
    })
}

fn seen(value: &str) -> Result<Seen, Refusal> {
    match value {
        "" => Ok(Seen::Usual),
        "all" => Ok(Seen::All),
        word => Visibility::parse(word)
            .map(Seen::Only)
            .ok_or_else(|| ApiError::bad_request(format!("Invalid visibility value: {word}")).into()),
    }
}

fn member_status(value: &str) -> Result<Option<String>, Refusal> {
    match value {
        "all" => Ok(None),
        "pending" | "accepted" | "rejected" => Ok(Some(value.to_owned())),
        other => Err(ApiError::bad_request(format!("Invalid status: {other}")).into()),
    }
}

fn flag(key: &str, given: &str, word: &str) -> Result<bool, Refusal> {
    bool::from_str(word).map_err(|_| {
        let why = format!("Invalid value '{given}' for '{key}' filter. Valid values are 'true' or 'false'.");
        ApiError::bad_request(why).into()
    })
}

fn number(value: &str) -> Option<i128> {
    value.trim().parse().ok()
}

fn bound(value: &str) -> Result<i128, Refusal> {
    number(value).ok_or_else(|| ApiError::bad_request("Unable to filter on a range with a non-numeric value.").into())
}

/// A word with an operator: none or `eq:` for one value, `in:` for a list.
fn words(value: &str) -> Result<Vec<String>, Refusal> {
    match value.split_once(':') {
        None => Ok(vec![value.to_owned()]),
        Some(("eq", word)) => Ok(vec![word.to_owned()]),
        Some(("in", list)) => quoted_list(list),
        Some((operator, _)) => {
            Err(ApiError::bad_request(format!("Unable to filter by unknown operator '{operator}'.")).into())
        }
    }
}

/// Values between commas; a value with a comma stands in double quotes, which cannot be escaped.
fn quoted_list(list: &str) -> Result<Vec<String>, Refusal> {
    let bad = |why: &str| Refusal::from(ApiError::bad_request(format!("Invalid filter value {list}. {why}")));
    let mut values = Vec::new();
    let mut rest = list;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (value, behind) = quoted.split_once('"').ok_or_else(|| bad("The quote is not closed."))?;
            values.push(value.to_owned());
            match behind.strip_prefix(',') {
                Some(behind) => rest = behind,
                None if behind.is_empty() => return Ok(values),
                None => return Err(bad("There is no comma after closing quotation mark.")),
            }
        } else {
            let (value, behind) = rest.split_once(',').map_or((rest, None), |(value, behind)| (value, Some(behind)));
            if value.contains('"') {
                return Err(bad("There is no comma before opening quotation mark."));
            }
            values.push(value.to_owned());
            match behind {
                Some(behind) => rest = behind,
                None => return Ok(values),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_commas_only_in_quotes() {
        assert_eq!(quoted_list("a,b").ok(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(quoted_list("\"a,b\",c").ok(), Some(vec!["a,b".to_owned(), "c".to_owned()]));
        for broken in ["\"a", "\"a,b", "\"a\"b", "a\"b"] {
            assert!(quoted_list(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_unknown_operator_is_refused() {
        assert!(words("neq:a").is_err());
        assert_eq!(words("eq:a").ok(), Some(vec!["a".to_owned()]));
        assert_eq!(words("in:a").ok(), Some(vec!["a".to_owned()]));
    }
}
