//! What the APIs of all services have in common: documents in JSON, at addresses that are made of names.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{Call, Http};
use super::{Kind, Result, ServiceError};
use crate::image::ImageId;

/// The document that a call answers with. One that ends in the middle, though the connection said that it was whole, is a
/// proxy's or a dying worker's work: what only looks is asked for once more.
pub(super) async fn document<T: DeserializeOwned>(http: &Http, call: &Call) -> Result<T> {
    read(http, call, |body| serde_json::from_slice(body)).await
}

/// The same, as `reader` reads it.
pub(super) async fn read<T>(http: &Http, call: &Call, reader: impl Fn(&[u8]) -> serde_json::Result<T>) -> Result<T> {
    let read = match reader(&http.document(call).await?) {
        Err(error) if error.is_eof() && call.method == Method::GET => reader(&http.document(call).await?),
        read => read,
    };
    read.map_err(|error| misunderstood(&call.action, &error))
}

/// The document in the body of a successful answer.
pub(super) fn understood<'a, T: Deserialize<'a>>(action: &str, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| misunderstood(action, &error))
}

/// What a body is that is no such document.
pub(super) fn misunderstood(action: &str, error: &serde_json::Error) -> ServiceError {
    ServiceError::new(Kind::Malformed, action).with_words(format!("the answer is not understood: {error}"))
}

/// A failure to list images, which every such service can: a 404 to that comes from something else.
pub(super) fn of_listing(error: ServiceError) -> ServiceError {
    if error.kind == Kind::NotFound { of_something_else(error) } else { error }
}

/// A failure to show an image. A 404 says that there is none only where it is the service's own, which gives each answer an
/// id, or has words about the image.
pub(super) fn of_image(error: ServiceError, image: ImageId) -> ServiceError {
    let is_about = |words: &str| words.contains(image.as_str()) || words.starts_with("Image not found");
    let is_own = error.request_id.is_some() || error.words.as_deref().is_some_and(is_about);
    if error.kind == Kind::NotFound && !is_own { of_something_else(error) } else { error }
}

/// The same failure, of a proxy that has nothing behind it, or of whoever else has the address now.
fn of_something_else(error: ServiceError) -> ServiceError {
    let told = error.words.as_deref().unwrap_or("404");
    let words = format!("what answers is not the service, and says: {told}");
    ServiceError { kind: Kind::Malformed, ..error }.with_words(words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_404_says_that_there_is_no_image_only_where_it_is_the_services_own() {
        let image: ImageId = "0a0b0c0d-0000-4000-8000-000000000001".parse().unwrap();
        let told = |words: &str| ServiceError::new(Kind::NotFound, "show image").with_words(words);
        let counted = |words| ServiceError { request_id: Some("req-1".to_owned()), ..told(words) };
        for (error, kind) in [
            (told(&format!("404 Not Found No image found with ID {image}")), Kind::NotFound),
            (told("Image not found."), Kind::NotFound),
            (counted("404 Not Found"), Kind::NotFound),
            (told("default backend - 404"), Kind::Malformed),
            (told("404 Not Found nginx"), Kind::Malformed),
            (ServiceError::new(Kind::NotFound, "show image"), Kind::Malformed),
            (ServiceError::new(Kind::Forbidden, "show image"), Kind::Forbidden),
        ] {
            assert_eq!(of_image(error.clone(), image).kind, kind, "{error}");
        }
        let listing = of_listing(counted("default backend - 404"));
        assert_eq!(listing.kind, Kind::Malformed);
        assert!(listing.to_string().contains("not the service, and says: default backend - 404"), "{listing}");
    }
}
