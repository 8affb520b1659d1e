//! Which part of an image a request asks for: `Range`, or the `Content-Range` that old clients sent.

use super::errors::{ApiError, Refusal};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_RANGE, RANGE};

/// A part of an image, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// What `Range` may say after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    From { start: u64, last: Option<u64> },
    Last(u64),
}

/// The part that the headers ask for; `None` where they ask for everything. `size` is `None` where there is no data:
/// then a range that can be read makes Glance fail without an answer.
pub(crate) fn asked_part(headers: &HeaderMap, size: Option<u64>) -> Result<Option<Part>, Refusal> {
    if let Some(value) = headers.get(RANGE) {
        // A header that is no text is no range either.
        return range(value.to_str().unwrap_or(""), size).map(Some);
    }
    headers.get(CONTENT_RANGE).map(|value| content_range(value.to_str().unwrap_or(""), size)).transpose()
}

fn range(text: &str, size: Option<u64>) -> Result<Part, Refusal> {
    if text.contains(',') {
        let why = "Requests with multiple ranges are not supported in Glance. You may make multiple single-range \
                   requests instead.";
        return Err(ApiError::bad_request(why).into());
    }
    let asked = read_range(text)?;
    let size = size.ok_or(Refusal::Drop)?;
    match asked {
        Asked::From { start, last } if start < size => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            Ok(Part { start, length: end - start })
        }
        Asked::Last(count) if count > 0 => {
            // Beyond the size, and of an empty image, it is everything.
            let start = size.saturating_sub(count);
            Ok(Part { start, length: size - start })
        }
        Asked::Last(_) if size > 0 => Ok(Part { start: 0, length: size }),
        Asked::From { .. } | Asked::Last(_) => {
            let last = i128::from(size) - 1;
            Err(ApiError::range(format!(
                "Invalid start position in Range header. Start position MUST be in the inclusive range [0, {last}]."
            ))
            .into())
        }
    }
}

/// Reads `bytes=a-b`, `a-` or `-n`. Spaces are allowed around the numbers, and what follows them is not looked at.
fn read_range(text: &str) -> Result<Asked, Refusal> {
    let junk = || Refusal::from(ApiError::range("Invalid Range header."));
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("bytes").map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
    let (start, rest) = digits(rest.ok_or_else(junk)?.trim_start());
    let rest = rest.trim_start().strip_prefix('-').ok_or_else(junk)?;
    let (last, _) = digits(rest.trim_start());
    match (number(start), number(last)) {
        (None, None) => Err(Refusal::Drop),
        (None, Some(count)) => Ok(Asked::Last(count)),
        (Some(start), Some(last)) if last < start => Err(junk()),
        (Some(start), last) => Ok(Asked::From { start, last }),
    }
}

/// Reads `bytes a-b/size` or `bytes a-b/*`.
fn content_range(text: &str, size: Option<u64>) -> Result<Part, Refusal> {
    let junk = || Refusal::from(ApiError::range("Invalid Content-Range header."));
    let rest = text.strip_prefix("bytes").filter(|rest| rest.starts_with(char::is_whitespace)).ok_or_else(junk)?;
    let (range, length) = rest.trim_start().split_once('/').ok_or_else(junk)?;
    let length = if length.starts_with('*') { None } else { Some(number(digits(length).0).ok_or_else(junk)?) };
    if range == "*" {
        return Err(Refusal::Drop);
    }
    let (start, last) = range.split_once('-').ok_or_else(junk)?;
    let (Some(start), Some(last)) = (exact(start), exact(last)) else {
        return Err(junk());
    };
    let size = size.ok_or(Refusal::Drop)?;
    if last < start || length.is_some_and(|length| last >= length) || last >= size {
        return Err(junk());
    }
    Ok(Part { start, length: last - start + 1 })
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Digits as a number; one too large for any image is the largest there is.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(u64::MAX)) }
}

fn exact(text: &str) -> Option<u64> {
    let (found, rest) = digits(text);
    number(found).filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn ask(name: axum::http::HeaderName, text: &str, size: Option<u64>) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(text).unwrap());
        match asked_part(&headers, size) {
            Ok(Some(part)) => format!("{}+{}", part.start, part.length),
            Ok(None) => "all".to_owned(),
            Err(Refusal::Drop) => "drop".to_owned(),
            Err(Refusal::Answer(error)) => error.render(&HeaderMap::new()).status().as_u16().to_string(),
        }
    }

    #[test]
    fn every_form_of_range_is_read_as_glance_reads_it() {
        for (text, expected) in [
            ("bytes=0-1", "0+2"),
            ("bytes=1-", "1+4"),
            ("bytes=-2", "3+2"),
            ("bytes=-0", "0+5"),
            ("bytes=-9", "0+5"),
            ("bytes=2-99", "2+3"),
            ("bytes=5-", "416"),
            ("bytes=9-10", "416"),
            ("bytes=0-0,2-3", "400"),
            ("bytes=3-2", "416"),
            ("lines=0-1", "416"),
            ("junk", "416"),
            ("bytes=-", "drop"),
            ("bytes=a-b", "416"),
            ("bytes= 0-1", "0+2"),
            ("BYTES=0-1", "0+2"),
            ("bytes=0-1,", "400"),
            ("", "416"),
            ("bytes=1", "416"),
            ("bytes=0 - 1", "0+2"),
            ("bytes=0-1;2", "0+2"),
            ("bytes=0-99999999999999999999999", "0+5"),
        ] {
            assert_eq!(ask(RANGE, text, Some(5)), expected, "{text}");
        }
    }

    #[test]
    fn an_old_content_range_works_like_a_range() {
        for (text, expected) in [
            ("bytes 0-1/5", "0+2"),
            ("bytes 0-1/*", "0+2"),
            ("bytes */5", "drop"),
            ("bytes 0-9/5", "416"),
            ("bytes 0-4/5", "0+5"),
            ("bytes 1-2/99", "1+2"),
            ("bytes 2-1/5", "416"),
            ("bytes 0-9/99", "416"),
            ("junk", "416"),
        ] {
            assert_eq!(ask(CONTENT_RANGE, text, Some(5)), expected, "{text}");
        }
    }

    #[test]
    fn a_range_of_an_image_without_data_gets_no_answer() {
        assert_eq!(ask(RANGE, "bytes=0-1", None), "drop");
        assert_eq!(ask(RANGE, "bytes=-1", None), "drop");
        assert_eq!(ask(RANGE, "junk", None), "416");
        assert_eq!(ask(RANGE, "bytes=0-1,3-4", None), "400");
    }

    #[test]
    fn an_empty_image_has_no_first_byte() {
        assert_eq!(ask(RANGE, "bytes=0-1", Some(0)), "416");
        assert_eq!(ask(RANGE, "bytes=-0", Some(0)), "416");
        assert_eq!(ask(RANGE, "bytes=-1", Some(0)), "0+0");
    }
}
