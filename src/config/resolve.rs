//! From an [`Entry`] and the command line to a [`Cloud`]: old spellings, defaults, and what contradicts itself.

mod auth;
mod settings;

use url::Url;

use super::cloud::{AuthMethod, Cloud, Interface, Tls};
use super::clouds::{Clouds, Entry};
use super::environment::Surroundings;
use super::error::ConfigError;
use super::options::OpenStackOptions;
use super::value::Value;
use settings::Settings;

impl Cloud {
    /// The cloud of that name in that region, as files, environment and command line describe it; without a name the
    /// command line's, or the one that is meant when none is named.
    pub fn resolve(
        around: &Surroundings,
        options: &OpenStackOptions,
        name: Option<&str>,
        region: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let auth = options.auth(around)?;
        let name = name.or(options.os_cloud.as_deref());
        let region = region.or(options.os_region_name.as_deref()).or_else(|| around.variable("OS_REGION_NAME"));
        let entry = entry(&Clouds::load(around)?, options, name, region)?;
        let mut settings = Settings::new(entry, around)?;
        settings.lay_over(auth, options.settings());
        typed(&settings, around)
    }
}

/// The configured cloud, or an empty one where the command line says everything.
fn entry(
    clouds: &Clouds,
    options: &OpenStackOptions,
    name: Option<&str>,
    region: Option<&str>,
) -> Result<Entry, ConfigError> {
    match clouds.select(name, region) {
        Err(ConfigError::NothingConfigured { .. } | ConfigError::ChooseCloud { .. }) if options.is_complete() => {
            let region = region.map(str::to_owned);
            Ok(Entry { name: "command line".to_owned(), settings: super::value::Map::new(), region })
        }
        other => other,
    }
}

fn typed(settings: &Settings, around: &Surroundings) -> Result<Cloud, ConfigError> {
    let auth = auth::method(settings)?;
    let image_endpoint = image_endpoint(settings, &auth)?;
    let auth_url = settings.auth("auth_url").map(|text| auth_url(settings, text)).transpose()?;
    let asks_keystone = !matches!(auth, AuthMethod::None | AuthMethod::AdminToken(_) | AuthMethod::Command(_));
    if auth_url.is_none() && (asks_keystone || image_endpoint.is_none()) {
        return Err(settings.missing("auth_url", "write it under auth, or set OS_AUTH_URL or --os-auth-url"));
    }
    Ok(Cloud {
        name: settings.cloud.clone(),
        scope: auth::scope(settings, &auth)?,
        auth,
        auth_url,
        region: settings.value("image_region_name").map(str::to_owned).or_else(|| settings.region.clone()),
        interfaces: interfaces(settings)?,
        image_endpoint,
        image_service_type: settings.value("image_service_type").unwrap_or("image").to_owned(),
        image_service_name: settings.value("image_service_name").map(str::to_owned),
        image_api_version: settings.value("image_api_version").map(str::to_owned),
        tls: tls(settings, around),
    })
}

/// The address of the Image service, where the settings fix it. Methods that know no catalog need it.
fn image_endpoint(settings: &Settings, auth: &AuthMethod) -> Result<Option<Url>, ConfigError> {
    let own = ["image_endpoint_override", "image_endpoint"].into_iter().find_map(|key| settings.value(key));
    let without_catalog = matches!(auth, AuthMethod::None | AuthMethod::AdminToken(_));
    let common = || settings.auth("endpoint").or_else(|| settings.auth("url"));
    let text = if without_catalog { own.or_else(common) } else { own };
    match text {
        Some(text) => settings.url("image_endpoint_override", text).map(Some),
        None if without_catalog => Err(settings.missing(
            "endpoint",
            "without a catalog the Image service's address is needed: write it under auth as endpoint, or give \
             --os-endpoint",
        )),
        None => Ok(None),
    }
}

fn auth_url(settings: &Settings, text: &str) -> Result<Url, ConfigError> {
    let url = settings.url("auth_url", text)?;
    if url.path().trim_end_matches('/').ends_with("/v2.0") {
        return Err(settings.invalid("auth_url", url.as_str(), "that is Keystone's version 2, which is gone; use /v3"));
    }
    Ok(url)
}

fn interfaces(settings: &Settings) -> Result<Vec<Interface>, ConfigError> {
    let texts = match settings.values("image_interface") {
        texts if texts.is_empty() => settings.values("interface"),
        texts => texts,
    };
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| interface(settings, text)).collect();
    parsed.map(|list| if list.is_empty() { vec![Interface::Public] } else { list })
}

fn interface(settings: &Settings, text: &str) -> Result<Interface, ConfigError> {
    match text.strip_suffix("URL").unwrap_or(text) {
        "public" => Ok(Interface::Public),
        "internal" => Ok(Interface::Internal),
        "admin" => Ok(Interface::Admin),
        _ => Err(settings.invalid("interface", text, "it can be public, internal or admin")),
    }
}

/// `insecure` beats everything; `verify` beats `cacert`, which is kept all the same: it is not wrong, only unused.
fn tls(settings: &Settings, around: &Surroundings) -> Tls {
    let file = |key: &str| settings.value(key).map(|path| around.absolute(path));
    let insecure = settings.raw("insecure").is_some_and(Value::is_on);
    let unverified = settings.raw("verify").is_some_and(Value::is_off);
    Tls { verify: !insecure && !unverified, ca: file("cacert"), cert: file("cert"), key: file("key") }
}
