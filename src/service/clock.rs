//! How far this machine's clock is from a service's.

use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;
use tokio::time::timeout;
use url::Url;

use super::tls::{Purpose, client};
use super::{Kind, Result, ServiceError};
use crate::config::Tls;

/// A header is all that is wanted, and only by a person who waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far our clock is ahead of the one behind `url`, to the second; negative where it is behind. `None` where the
/// answer has no date. Any answer will do, also a refusal.
pub async fn ahead(tls: &Tls, url: &Url) -> Result<Option<SignedDuration>> {
    let action = format!("ask {url} for its time");
    let answer = timeout(PATIENCE, client(tls, Purpose::Api)?.get(url.clone()).send());
    let failed = |kind| ServiceError::new(kind, &action);
    let answer = answer.await.map_err(|_| failed(Kind::TimedOut))?.map_err(|_| failed(Kind::Unreachable))?;
    let told = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(parse);
    Ok(told.zip(Timestamp::try_from(SystemTime::now()).ok()).map(|(told, now)| now.duration_since(told)))
}

/// The `Date` of HTTP (RFC 9110, 5.6.7) in the form that every server of today sends.
fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_http_is_understood() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some("1994-11-06T08:49:37Z".parse().unwrap()));
        assert_eq!(parse("yesterday"), None);
    }
}
