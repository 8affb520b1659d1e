//! Failures of a Compute service that say little by themselves, in words that say what helps.

use reqwest::Url;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::document::{document, join};
use super::super::http::{Call, Http};
use super::super::{Kind, Result, ServiceError};

/// A listing of which nothing is looked at.
#[derive(Deserialize)]
struct AnyListing {
    #[serde(rename = "images")]
    _images: IgnoredAny,
}

/// Lists one image, which shows whether there is a Compute service at this address.
pub(super) async fn try_list(http: &Http, base: &Url) -> Result<()> {
    let mut url = join(base, &["images"])?;
    url.query_pairs_mut().append_pair("limit", "1");
    let call = Call::get("list images", url);
    let listed = document::<AnyListing>(http, &call).await.map(drop);
    listed.map_err(|error| of_one_image(of_address(error, base)))
}

fn of_address(mut error: ServiceError, base: &Url) -> ServiceError {
    match error.kind {
        Kind::NotFound => {
            error.kind = Kind::NotOffered;
            error.with_words(format!(
                "there is no Compute service that shows images at {base}; its address mostly ends in /v2.1"
            ))
        }
        // Nova answers so where the address names no version.
        Kind::NotOffered if error.words.as_deref().is_some_and(|words| words.contains("300 Multiple Choices")) => {
            let versioned = join(base, &["v2.1"]).unwrap_or_else(|_| base.clone());
            error.with_advice(format!(
                "the address {base} names no version of the Compute API: give one that does, as with \
                 --os-compute-endpoint-override {versioned}"
            ))
        }
        _ => error,
    }
}

/// Nova reads two properties as JSON, and fails over one that is none: over that image, and over each listing that it is in.
pub(super) fn of_one_image(error: ServiceError) -> ServiceError {
    let is_json = error.words.as_deref().is_some_and(|words| words.contains("JSONDecodeError"));
    if error.kind != Kind::Unavailable || !is_json {
        return error;
    }
    error.with_advice(
        "the Compute service fails over an image whose property mappings or block_device_mapping is no JSON: remove that \
         property in a mount with --service image, or delete the image",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_nova_cannot_read_is_told_from_a_service_that_fails() {
        let of = |kind, words: &str| of_one_image(ServiceError::new(kind, "list images").with_words(words)).to_string();
        let words = "Unexpected API Error. <class 'json.decoder.JSONDecodeError'>";
        assert!(of(Kind::Unavailable, words).contains("block_device_mapping"));
        assert!(of(Kind::Unavailable, "Unexpected API Error.").ends_with("tell its operator"));
        assert!(!of(Kind::Invalid, words).contains("block_device_mapping"));
    }
}
