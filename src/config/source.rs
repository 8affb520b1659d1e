//! What is to be mounted, as it stands on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::error::ConfigError;

/// What is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cloud of clouds.yaml: `NAME` or `NAME/REGION`.
    Cloud {
        /// The cloud.
        name: String,
        /// The region, where one is named.
        region: Option<String>,
    },
    /// An Image service without Keystone: `http://HOST:9292`.
    Url(Url),
    /// A folder with images of the embedded Image service: `local:DIR`.
    Local(PathBuf),
    /// What the environment says, or the only cloud there is: no source was given.
    Environment,
}

impl FromStr for Source {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let refused = |advice| ConfigError::Source { text: text.to_owned(), advice };
        if let Some(folder) = text.strip_prefix("local:") {
            return match folder {
                "" => Err(refused("a folder has to follow local:")),
                folder => Ok(Self::Local(PathBuf::from(folder))),
            };
        }
        if text.contains("://") {
            return url(text).map(Self::Url);
        }
        let (name, region) = match text.split_once('/') {
            Some((name, region)) => (name, Some(region)),
            None => (text, None),
        };
        if name.is_empty() || region == Some("") {
            return Err(refused("give a cloud of clouds.yaml as NAME or NAME/REGION, a URL, or local:DIR"));
        }
        Ok(Self::Cloud { name: name.to_owned(), region: region.map(str::to_owned) })
    }
}

/// The address of an Image service. What may be a secret in it is not quoted.
fn url(text: &str) -> Result<Url, ConfigError> {
    let refused = |advice| ConfigError::Source { text: "that address".to_owned(), advice };
    let url = Url::parse(text).map_err(|_| refused("it cannot be read as a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("an Image service has an address with http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("an Image service takes no user and no password in its address"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_a_cloud_a_url_or_a_folder() {
        let cloud =
            |name: &str, region: Option<&str>| Source::Cloud { name: name.into(), region: region.map(Into::into) };
        assert_eq!(source("demo"), cloud("demo", None));
        assert_eq!(source("demo/eu-1"), cloud("demo", Some("eu-1")));
        assert_eq!(source("http://h:9292"), Source::Url("http://h:9292".parse().unwrap()));
        assert_eq!(source("local:/srv/images"), Source::Local("/srv/images".into()));
    }

    #[test]
    fn what_is_no_source_is_refused_with_advice() {
        for text in ["", "/", "demo/", "/eu", "local:", "ftp://h", "http://"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_quoted() {
        let error = "http://me:s3cret@h:9292".parse::<Source>().unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
