//! The order of a listing.

use super::errors::{ApiError, Refusal};
use super::list::Query;
use super::record::Record;
use jiff::Timestamp;
use std::cmp::Ordering;

/// The attributes that a listing can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Status,
    ContainerFormat,
    DiskFormat,
    Size,
    Id,
    CreatedAt,
    UpdatedAt,
}

const KEYS: [(&str, Key); 8] = [
    ("name", Key::Name),
    ("status", Key::Status),
    ("container_format", Key::ContainerFormat),
    ("disk_format", Key::DiskFormat),
    ("size", Key::Size),
    ("id", Key::Id),
    ("created_at", Key::CreatedAt),
    ("updated_at", Key::UpdatedAt),
];

/// What a key compares; an absent value comes before every other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortValue<'a> {
    Text(Option<&'a str>),
    Number(Option<u64>),
    Time(Timestamp),
}

impl Key {
    fn parse(name: &str) -> Result<Self, Refusal> {
        if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
            return Ok(*key);
        }
        let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
        let known = known.join(", ");
        let why = format!("Invalid sort key: {name}. It must be one of the following: {known}.");
        Err(ApiError::bad_request(why).into())
    }

    fn of(self, record: &Record) -> SortValue<'_> {
        match self {
            Self::Name => SortValue::Text(record.name.as_deref()),
            Self::Status => SortValue::Text(Some(record.status.as_str())),
            Self::ContainerFormat => SortValue::Text(record.container_format.as_deref()),
            Self::DiskFormat => SortValue::Text(record.disk_format.as_deref()),
            Self::Size => SortValue::Number(record.size()),
            Self::Id => SortValue::Text(Some(&record.id)),
            Self::CreatedAt => SortValue::Time(record.created_at),
            Self::UpdatedAt => SortValue::Time(record.updated_at),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Rising,
    Falling,
}

impl Direction {
    fn parse(word: &str) -> Result<Self, Refusal> {
        match word {
            "asc" => Ok(Self::Rising),
            "desc" => Ok(Self::Falling),
            other => Err(ApiError::bad_request(format!("Invalid sort direction: {other}")).into()),
        }
    }
}

/// The order of a listing: keys with their directions, made total by the time of creation and the id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order(Vec<(Key, Direction)>);

impl Order {
    /// Reads `sort=key:direction,…`, or any number of `sort_key` with one `sort_dir` for all or one each.
    pub(crate) fn parse(query: &Query) -> Result<Self, Refusal> {
        let old: Vec<&str> = query.all("sort_key").collect();
        let directions: Vec<&str> = query.all("sort_dir").collect();
        let (mut keys, default) = match query.last("sort") {
            Some(_) if !old.is_empty() || !directions.is_empty() => {
                return Err(ApiError::bad_request("Old and new sorting syntax cannot be combined").into());
            }
            Some(text) => (new_syntax(text)?, None),
            None => old_syntax(&old, &directions)?,
        };
        let default = match (default, keys.as_slice()) {
            (Some(direction), _) | (None, [(_, direction)]) => direction,
            _ => &Direction::Falling,
        };
        let default = *default;
        for key in [Key::CreatedAt, Key::Id] {
            if !keys.iter().any(|(known, _)| *known == key) {
                keys.push((key, default));
            }
        }
        Ok(Self(keys))
    }

    /// Whether this is the order that the index keeps.
    pub(crate) fn is_default(&self) -> bool {
        self.0 == [(Key::CreatedAt, Direction::Falling), (Key::Id, Direction::Falling)]
    }

    /// Whether an image comes after a marker. A marker without a size counts as larger than every image, as in Glance:
    /// a listing by size that ends a page on such an image begins anew (falling), or ends (rising).
    pub(crate) fn is_behind(&self, record: &Record, marker: &Record) -> bool {
        let each = self.0.iter().map(|(key, direction)| {
            let mark = match key.of(marker) {
                SortValue::Number(None) => SortValue::Number(Some(u64::MAX)),
                present => present,
            };
            match direction {
                Direction::Rising => key.of(record).cmp(&mark),
                Direction::Falling => mark.cmp(&key.of(record)),
            }
        });
        each.fold(Ordering::Equal, Ordering::then) == Ordering::Greater
    }

    pub(crate) fn compare(&self, a: &Record, b: &Record) -> Ordering {
        let each = self.0.iter().map(|(key, direction)| match direction {
            Direction::Rising => key.of(a).cmp(&key.of(b)),
            Direction::Falling => key.of(b).cmp(&key.of(a)),
        });
        each.fold(Ordering::Equal, Ordering::then)
    }
}

type Keys = Vec<(Key, Direction)>;

fn new_syntax(text: &str) -> Result<Keys, Refusal> {
    let entries = text.split(',').map(|entry| match entry.trim().split_once(':') {
        Some((key, direction)) => Ok((Key::parse(key)?, Direction::parse(direction)?)),
        None => Ok((Key::parse(entry.trim())?, Direction::Falling)),
    });
    entries.collect()
}

/// The keys, and the direction that holds for the keys that make the order total.
fn old_syntax(keys: &[&str], directions: &[&str]) -> Result<(Keys, Option<&'static Direction>), Refusal> {
    let keys: Vec<Key> = keys.iter().map(|key| Key::parse(key)).collect::<Result<_, _>>()?;
    let directions: Vec<Direction> = directions.iter().map(|word| Direction::parse(word)).collect::<Result<_, _>>()?;
    let keys = if keys.is_empty() { vec![Key::CreatedAt] } else { keys };
    let one_for_all = match directions.as_slice() {
        [] => Direction::Falling,
        [one] => *one,
        each if each.len() == keys.len() => {
            return Ok((keys.into_iter().zip(directions).collect(), Some(&Direction::Falling)));
        }
        _ => return Err(ApiError::bad_request("Number of sort dirs does not match the number of sort keys").into()),
    };
    let default = if one_for_all == Direction::Rising { &Direction::Rising } else { &Direction::Falling };
    Ok((keys.into_iter().map(|key| (key, one_for_all)).collect(), Some(default)))
}
