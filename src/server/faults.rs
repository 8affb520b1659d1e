//! Which request meets which fault, from a seed, and what the faults look like.

use super::behaviour::Faults;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::{StreamExt, stream};
use std::io;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before a status line.
    Closed,
    /// The connection ends in the middle of the body.
    Cut,
    /// The body stops in the middle and nothing follows.
    Stalled,
    /// 500 with Glance's words.
    Broken,
    /// 503 with `Retry-After`.
    Unavailable,
    /// 429 with `Retry-After`, as proxies answer who asks too often.
    Limited,
    /// The body ends too early and as if it were complete, as that of a service whose store failed it.
    Short,
    /// A proxy's HTML page.
    Page,
}

const ALL: [Fault; 8] = [
    Fault::Closed,
    Fault::Cut,
    Fault::Stalled,
    Fault::Broken,
    Fault::Unavailable,
    Fault::Limited,
    Fault::Short,
    Fault::Page,
];

impl Faults {
    /// The fault of the request with this number since these faults were set, if it meets one and is no upload.
    pub fn of(self, number: u64) -> Option<Fault> {
        self.drawn(number, &ALL)
    }

    /// One of `all`, or none, for the request with this number.
    pub(crate) fn drawn<T: Copy>(self, number: u64, all: &[T]) -> Option<T> {
        // The odd constant spreads neighbouring numbers over the generator's states.
        let mut rng = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        if self.one_in == 0 || rng.u32(0..self.one_in) != 0 {
            return None;
        }
        rng.choice(all).copied()
    }
}

/// The answer that takes the place of the service's own, for the faults that replace it.
pub(crate) fn replacement(fault: Fault) -> Option<Response<Body>> {
    let (status, body) = match fault {
        Fault::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "<html><body>Internal Server Error</body></html>"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "<html><body>Service Unavailable</body></html>"),
        Fault::Limited => (StatusCode::TOO_MANY_REQUESTS, "<html><body>Too Many Requests</body></html>"),
        Fault::Page => (StatusCode::BAD_GATEWAY, "<html><head><title>502 Bad Gateway</title></head></html>"),
        Fault::Closed | Fault::Cut | Fault::Stalled | Fault::Short => return None,
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    if matches!(fault, Fault::Unavailable | Fault::Limited) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Some(response)
}

/// Ends a body in its first chunk: by an error that closes the connection, by silence, or as if that were all.
pub(crate) fn spoil(response: Response<Body>, fault: Fault) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let length = axum::body::HttpBody::size_hint(&body).exact();
    let head = body.into_data_stream().take(1).map(|chunk| {
        chunk.map(|bytes: Bytes| bytes.slice(..bytes.len() / 2)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    });
    if fault == Fault::Short {
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::from_stream(head));
    }
    // A length that the body does not reach is what makes the cut visible to the reader.
    if !parts.headers.contains_key(header::CONTENT_LENGTH)
        && let Some(length) = length
    {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let body = if fault == Fault::Stalled {
        Body::from_stream(head.chain(stream::pending()))
    } else {
        // What came before is only sent when the body makes the connection wait.
        let end = stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        });
        Body::from_stream(head.chain(end))
    };
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = Faults { seed: 7, one_in: 3 };
        let first: Vec<_> = (0..200).map(|number| faults.of(number)).collect();
        let second: Vec<_> = (0..200).map(|number| faults.of(number)).collect();
        assert_eq!(first, second);
        assert!(first.iter().any(Option::is_some) && first.iter().any(Option::is_none));
    }

    #[test]
    fn one_in_zero_means_no_fault() {
        assert!((0..100).all(|number| Faults { seed: 1, one_in: 0 }.of(number).is_none()));
    }
}
