//! Image data: one request, resumed where it was cut, until every byte that was asked for has come.
//!
//! | what happens | ranged | whole |
//! |---|---|---|
//! | cut, stalled, short | asks for what is missing | starts over and skips what it has, with a sign of life for each chunk |
//! | 400; 200; 206 with other bytes than asked for | [`Kind::Unseekable`] | |
//! | another length than the image has | [`Kind::Gone`] | [`Kind::Gone`] |
//! | 204 | [`Kind::NoData`] | [`Kind::NoData`] |

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};
use reqwest::{Response, StatusCode};

use crate::service::http::{self, Call, Http};
use crate::service::retry::Tries;
use crate::service::{Kind, Result, ServiceError};

/// How the bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// With a `Range` header.
    Ranged,
    /// Without, from the first byte to the last.
    Whole,
}

/// A download under way.
pub(super) struct Download {
    http: Arc<Http>,
    call: Call,
    mode: Mode,
    /// The length of the whole image.
    size: u64,
    /// The bytes still to be given.
    missing: Range<u64>,
    /// The answer under way, and how many of its bytes are to be passed over.
    answer: Option<(Response, u64)>,
    tries: Tries,
    over: bool,
}

impl Download {
    /// Asks for the bytes; answers when the service has begun to send them.
    pub(super) async fn begin(http: Arc<Http>, call: Call, size: u64, range: Range<u64>, mode: Mode) -> Result<Self> {
        let tries = http.tries();
        let mut download = Self { http, call, mode, size, missing: range, answer: None, tries, over: false };
        if !download.missing.is_empty() {
            download.ask(false).await?;
        }
        Ok(download)
    }

    /// The bytes as they come. It ends behind the last one, or behind an error.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut download| async move {
            let step = download.step().await.transpose()?;
            download.over = step.is_err();
            Some((step, download))
        })
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        while !self.over && !self.missing.is_empty() {
            match self.chunk().await {
                Ok(Some(bytes)) if bytes.is_empty() => return Ok(Some(bytes)),
                Ok(Some(bytes)) => {
                    self.tries.progressed();
                    return Ok(Some(bytes));
                }
                Ok(None) => self.resume(self.error(Kind::Unavailable, "the service ended its answer early")).await?,
                Err(error) => self.resume(ServiceError { action: self.call.action.clone(), ..error }).await?,
            }
        }
        Ok(None)
    }

    /// The next bytes that are still missing, none while others are passed over, of the answer under way; `None` at its end.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some((response, passed)) = &mut self.answer else { return Ok(None) };
        let Some(mut bytes) = http::next_chunk(response).await? else { return Ok(None) };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let skipped = length.min(*passed);
        *passed -= skipped;
        bytes = bytes.split_off(usize::try_from(skipped).unwrap_or(bytes.len()));
        let wanted = usize::try_from(self.missing.end - self.missing.start).unwrap_or(usize::MAX);
        bytes.truncate(wanted);
        self.missing.start += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Some(bytes))
    }

    /// Pauses and asks for the rest, unless this happened too often without a byte in between.
    async fn resume(&mut self, error: ServiceError) -> Result<()> {
        self.answer = None;
        let pause = self.tries.failed(None, fastrand::f64()).ok_or_else(|| error.clone())?;
        tracing::debug!(%error, from = self.missing.start, ?pause, "resuming");
        tokio::time::sleep(pause).await;
        self.ask(true).await
    }

    async fn ask(&mut self, is_again: bool) -> Result<()> {
        let Range { start, end } = self.missing;
        let call = match self.mode {
            Mode::Ranged => Call { range: Some(format!("bytes={start}-{}", end - 1)), ..self.call.clone() },
            Mode::Whole => self.call.clone(),
        };
        let outcome = self.http.response(&call, is_again).await;
        let response = outcome.map_err(|error| self.refusal(error))?;
        self.check(&response)?;
        self.answer = Some((response, if self.mode == Mode::Whole { start } else { 0 }));
        Ok(())
    }

    /// A 400 to a well-formed range that says so (`StoreRandomGetNotSupported` of `glance_store`) comes from a store that cannot
    /// seek; a 416 from an image that is shorter than it was; any other one from somebody on the way. All of them arrive as
    /// requests that the service does not accept.
    fn refusal(&self, mut error: ServiceError) -> ServiceError {
        if error.kind == Kind::Invalid && self.mode == Mode::Ranged {
            let says = |sign: &str| error.words.as_deref().is_some_and(|words| words.contains(sign));
            error.kind = if says("inclusive range") {
                Kind::Gone
            } else if says("randomly from this store") {
                Kind::Unseekable
            } else {
                Kind::Unranged
            };
        }
        error
    }

    /// Whether a successful answer is the one that was asked for.
    fn check(&self, response: &Response) -> Result<()> {
        let request_id = http::request_id(response);
        let verdict = match (response.status(), self.mode) {
            (StatusCode::NO_CONTENT, _) => Err(self.error(Kind::NoData, "the image has no bytes now")),
            (StatusCode::PARTIAL_CONTENT, Mode::Ranged) => self.check_part(response),
            (_, Mode::Ranged) => Err(self.error(Kind::Unranged, "the range was passed over")),
            (StatusCode::OK, Mode::Whole) => self.check_whole(response),
            (status, Mode::Whole) => Err(self.error(Kind::Malformed, format!("the service answered {status}"))),
        };
        verdict.map_err(|error| ServiceError { request_id, ..error })
    }

    fn check_part(&self, response: &Response) -> Result<()> {
        let swallowed = || self.error(Kind::Unranged, "the answer is not the part that was asked for");
        let told = header(response, &CONTENT_RANGE).and_then(content_range).ok_or_else(swallowed)?;
        if told.size.is_some_and(|size| size != self.size) {
            return Err(self.other_length(told.size));
        }
        let length = header(response, &CONTENT_LENGTH).map(|length| length.parse().ok());
        let fits = length.is_none_or(|length| length == Some(self.missing.end - self.missing.start));
        if told.bytes == self.missing && fits { Ok(()) } else { Err(swallowed()) }
    }

    fn check_whole(&self, response: &Response) -> Result<()> {
        match header(response, &CONTENT_LENGTH).map(|length| length.parse().ok()) {
            Some(length) if length != Some(self.size) => Err(self.other_length(length)),
            _ => Ok(()),
        }
    }

    fn other_length(&self, length: Option<u64>) -> ServiceError {
        let length = length.map_or_else(|| "an unknown number of".to_owned(), |length| length.to_string());
        self.error(Kind::Gone, format!("it has {length} bytes now, and had {}", self.size))
    }

    fn error(&self, kind: Kind, words: impl Into<String>) -> ServiceError {
        ServiceError::new(kind, &self.call.action).with_words(words)
    }
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// What a `Content-Range` header says (RFC 9110, section 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    bytes: Range<u64>,
    /// The length of the whole, unless the other side does not know it.
    size: Option<u64>,
}

fn content_range(header: &str) -> Option<ContentRange> {
    let (bytes, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let bytes = first.trim().parse().ok()?..last.trim().parse::<u64>().ok()?.checked_add(1)?;
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    Some(ContentRange { bytes, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_and_nonsense_is_not() {
        assert_eq!(content_range("bytes 0-4/10"), Some(ContentRange { bytes: 0..5, size: Some(10) }));
        assert_eq!(content_range("bytes 5-9/*"), Some(ContentRange { bytes: 5..10, size: None }));
        for nonsense in
            ["", "bytes", "bytes */10", "items 0-4/10", "bytes 4/10", "bytes 0-x/10", "bytes 0-18446744073709551615/1"]
        {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }
}
