//! Filters on times: an operator and a time in one of ISO 8601's shorter forms.

use super::errors::{ApiError, Refusal};
use super::record::Record;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
}

/// A condition on `created_at` or `updated_at`.
#[derive(Debug)]
pub(crate) struct TimeFilter {
    updated: bool,
    operator: Operator,
    time: Timestamp,
}

impl TimeFilter {
    pub(crate) fn parse(key: &str, value: &str) -> Result<Self, Refusal> {
        let bad = || {
            let why = format!("Bad \"{key}\" query filter format. Use ISO 8601 DateTime notation.");
            Refusal::from(ApiError::bad_request(why))
        };
        // A time holds colons itself: only what is none as a whole is cut at the first.
        let (operator, time) = match (parse_time(value), value.split_once(':')) {
            (Some(time), _) => ("eq", time),
            (None, Some((operator, rest))) => (operator, parse_time(rest).ok_or_else(bad)?),
            (None, None) => return Err(bad()),
        };
        let operator = match operator {
            "eq" => Operator::Eq,
            "neq" => Operator::Neq,
            "gt" => Operator::Gt,
            "gte" => Operator::Gte,
            "lt" => Operator::Lt,
            "lte" => Operator::Lte,
            _ => return Err(ApiError::bad_request("Unable to filter on a unknown operator.").into()),
        };
        Ok(Self { updated: key == "updated_at", operator, time })
    }

    /// Compares with the microseconds that are kept, not with the seconds that are shown.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        let time = if self.updated { record.updated_at } else { record.created_at };
        match self.operator {
            Operator::Eq => time == self.time,
            Operator::Neq => time != self.time,
            Operator::Gt => time > self.time,
            Operator::Gte => time >= self.time,
            Operator::Lt => time < self.time,
            Operator::Lte => time <= self.time,
        }
    }
}

/// A year, a month, a day, or a day and a time with or without a zone (without: UTC), with or without separators.
fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, rest) = match text.find(['T', ' ']) {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let date = parse_date(date)?;
    let (time, zone) = match rest.get(1..) {
        Some(rest) => split_zone(rest)?,
        None => (Time::midnight(), Offset::UTC),
    };
    let zoned = DateTime::from_parts(date, time).to_zoned(TimeZone::fixed(zone)).ok()?;
    Timestamp::from_microsecond(zoned.timestamp().as_microsecond()).ok()
}

fn parse_date(text: &str) -> Option<Date> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = match text.len() {
        8 if digits(text) => vec![text.get(..4)?, text.get(4..6)?, text.get(6..)?],
        _ => text.split('-').collect(),
    };
    let (year, month, day) = match parts.as_slice() {
        [year] => (*year, "1", "1"),
        [year, month] => (*year, *month, "1"),
        [year, month, day] => (*year, *month, *day),
        _ => return None,
    };
    if year.len() != 4 || !digits(year) || !digits(month) || !digits(day) {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

fn split_zone(text: &str) -> Option<(Time, Offset)> {
    let at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at_checked(at)?;
    Some((parse_clock(time)?, parse_zone(zone)?))
}

fn parse_zone(text: &str) -> Option<Offset> {
    if text.is_empty() || text == "Z" {
        return Some(Offset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |rest| rest.parse().ok())?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Hours, minutes, seconds; of the fraction six digits count.
fn parse_clock(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = whole.chars().filter(|letter| *letter != ':').collect();
    if !matches!(digits.len(), 2 | 4 | 6) || !(digits.clone() + fraction).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |from: usize| digits.get(from..from + 2).map_or(Some(0), |pair| pair.parse::<i8>().ok());
    let micros: i32 = fraction.chars().chain("000000".chars()).take(6).collect::<String>().parse().ok()?;
    Time::new(pair(0)?, pair(2)?, pair(4)?, micros * 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_forms_of_a_time_are_read() {
        for (text, expected) in [
            ("2020", "2020-01-01T00:00:00Z"),
            ("2020-02", "2020-02-01T00:00:00Z"),
            ("2020-02-03", "2020-02-03T00:00:00Z"),
            ("20200203T040506Z", "2020-02-03T04:05:06Z"),
            ("2020-02-03T04:05Z", "2020-02-03T04:05:00Z"),
            ("2020-02-03 04:05:06", "2020-02-03T04:05:06Z"),
            ("2020-02-03T04:05:06+01:00", "2020-02-03T03:05:06Z"),
            ("2020-02-03T04:05:06.123456789Z", "2020-02-03T04:05:06.123456Z"),
        ] {
            assert_eq!(parse_time(text), expected.parse().ok(), "{text}");
        }
        for junk in ["junk", "", "2020-13-01", "2020-W01", "1577836800", "12:00", "T"] {
            assert_eq!(parse_time(junk), None, "{junk}");
        }
    }

    #[test]
    fn an_operator_is_cut_off_before_a_time() {
        for good in ["2020", "gt:2020-01-01T00:00:00+01:00", "2020-01-01T00:00:00Z", "neq:2020"] {
            assert!(TimeFilter::parse("created_at", good).is_ok(), "{good}");
        }
        for bad in ["in:2020", "foo:2020-01-01", "gt:", "", "gt:12:00", "LT:2020"] {
            assert!(TimeFilter::parse("created_at", bad).is_err(), "{bad}");
        }
    }
}
