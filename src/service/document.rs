//! What the APIs of all services have in common: documents in JSON, at addresses that are made of names.

use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{Call, Http};
use super::{Kind, Result, ServiceError};

/// The document that a call answers with.
pub(super) async fn document<T: DeserializeOwned>(http: &Http, call: &Call) -> Result<T> {
    understood(&call.action, &http.document(call).await?)
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
