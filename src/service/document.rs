//! What the APIs of all services have in common: documents in JSON, at addresses that are made of names.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{Call, Http};
use super::{Kind, Result, ServiceError};

/// The document that a call answers with. One that ends in the middle, though the connection said that it was whole, is a
/// proxy's or a dying worker's work: what only looks is asked for once more.
pub(super) async fn document<T: DeserializeOwned>(http: &Http, call: &Call) -> Result<T> {
    match serde_json::from_slice(&http.document(call).await?) {
        Err(error) if error.is_eof() && call.method == Method::GET => {
            understood(&call.action, &http.document(call).await?)
        }
        document => document.map_err(|error| misunderstood(&call.action, &error)),
    }
}

/// The document in the body of a successful answer.
pub(super) fn understood<'a, T: Deserialize<'a>>(action: &str, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| misunderstood(action, &error))
}

/// What a body is that is no such document.
pub(super) fn misunderstood(action: &str, error: &serde_json::Error) -> ServiceError {
    ServiceError::new(Kind::Malformed, action).with_words(format!("the answer is not understood: {error}"))
}

/// The address of what lies below `base` under these names.
pub(super) fn join(base: &Url, segments: &[&str]) -> Result<Url> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => drop(path.pop_if_empty().extend(segments)),
        Err(()) => {
            return Err(ServiceError::new(Kind::Configuration, "use the service")
                .with_words(format!("{base} is not an address that has paths")));
        }
    }
    Ok(url)
}
