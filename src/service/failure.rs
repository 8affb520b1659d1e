//! What a failed request means, when no answer came.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::error::{Kind, ServiceError};

/// The failure of a request to `place` (an origin, as `https://host:port`), in words that say what to do.
pub(crate) fn of_request(error: &reqwest::Error, action: &str, place: &str) -> ServiceError {
    let (kind, words) = if let Some(tls) = find_tls(error) {
        (Kind::Untrusted, tls_words(tls, place))
    } else if error.is_timeout() {
        (Kind::TimedOut, format!("{place} does not answer in time"))
    } else if error.is_connect() {
        (Kind::Unreachable, format!("there is no connection to {place}: {}", cause(error)))
    } else {
        (Kind::Unavailable, format!("the connection to {place} broke: {}", cause(error)))
    };
    ServiceError::new(kind, action).with_words(words)
}

/// May the same request succeed a moment later?
pub(crate) fn is_passing(kind: &Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::TimedOut | Kind::Unreachable)
}

/// Whether the other side gave the connection up with bytes on it that nobody read: an answer of its own may have been
/// among what was lost then. One that only ended its side has lost nothing.
pub(crate) fn is_reset(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(ConnectionReset | ConnectionAborted | BrokenPipe)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The innermost cause, which is the one that says what happened; it holds no URL.
fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error that carries another error hides it from `source`.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = carried.and_then(|inner| find_tls(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn tls_words(error: &rustls::Error, place: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            let public = match reason {
                CertificateError::UnknownIssuer => "; package ca-certificates has those of public ones",
                _ => "",
            };
            format!(
                "the certificate of {place} is not to be trusted ({}); name its authority's certificate with \
                 --os-cacert or OS_CACERT{public}",
                certificate_words(reason)
            )
        }
        rustls::Error::AlertReceived(alert) => {
            format!(
                "{place} refuses the encrypted connection ({alert:?}); if it wants a certificate of yours, give --os-cert and --os-key"
            )
        }
        rustls::Error::InvalidMessage(_) => format!("{place} does not speak TLS; is its address one with http://?"),
        other => format!("no encrypted connection to {place}: {other}"),
    }
}

/// What is wrong with a certificate. The library has no words for what its verifier calls "other".
fn certificate_words(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it is the certificate of an authority, and a server needs one of its own".to_owned()
        }
        CertificateError::Other(_) => "it is not one of a server".to_owned(),
        CertificateError::UnknownIssuer => "no authority that is known here has signed it".to_owned(),
        known => known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn a_certificate_is_explained_in_words_and_not_in_the_verifiers_terms() {
        let own = CertificateError::Other(OtherError(Arc::new(io::Error::other("CaUsedAsEndEntity"))));
        let table = [(own, "certificate of an authority"), (CertificateError::Expired, "expired")];
        for (reason, words) in table {
            let sentence = tls_words(&rustls::Error::InvalidCertificate(reason), "https://x").to_lowercase();
            assert!(sentence.contains(words) && !sentence.contains("other("), "{sentence}");
        }
    }
}
