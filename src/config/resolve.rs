//! From an [`Entry`] and the command line to a [`Cloud`]: old spellings, defaults, and what contradicts itself.

mod auth;
mod settings;

use url::Url;

use super::cloud::{AuthMethod, Backend, Cloud, Compute, Interface, Tls};
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
    let compute = compute(settings, &auth)?;
    let image_endpoint = image_endpoint(settings, &auth, &compute)?;
    let auth_url = settings.auth("auth_url").map(|text| auth_url(settings, text)).transpose()?;
    let asks_keystone = !matches!(auth, AuthMethod::None | AuthMethod::AdminToken(_) | AuthMethod::Command(_));
    if auth_url.is_none() && (asks_keystone || (image_endpoint.is_none() && compute.endpoint.is_none())) {
        return Err(settings.missing("auth_url", "write it under auth, or set OS_AUTH_URL or --os-auth-url"));
    }
    Ok(Cloud {
        name: settings.cloud.clone(),
        scope: auth::scope(settings, &auth)?,
        auth,
        auth_url,
        region: settings.value("image_region_name").map(str::to_owned).or_else(|| settings.region.clone()),
        interfaces: interfaces(settings, "image_interface")?,
        image_endpoint,
        image_service_type: settings.value("image_service_type").unwrap_or("image").to_owned(),
        image_service_name: settings.value("image_service_name").map(str::to_owned),
        compute,
        backend: Backend::Image,
        image_api_version: settings.value("image_api_version").map(str::to_owned),
        tls: tls(settings, around),
    })
}

/// The address of the Image service, where the settings fix it. Methods that know no catalog need it.
fn image_endpoint(settings: &Settings, auth: &AuthMethod, compute: &Compute) -> Result<Option<Url>, ConfigError> {
    let own = ["image_endpoint_override", "image_endpoint"].into_iter().find_map(|key| settings.value(key));
    let without_catalog = has_no_catalog(auth);
    let text = if without_catalog { own.or_else(|| common_endpoint(settings)) } else { own };
    match text {
        Some(text) => settings.url("image_endpoint_override", text).map(Some),
        None if without_catalog && compute.endpoint.is_none() => Err(settings.missing(
            "endpoint",
            "without a catalog the Image service's address is needed: write it under auth as endpoint, or give \
             --os-endpoint",
        )),
        None => Ok(None),
    }
}

/// Methods that log in nowhere bring no catalog.
fn has_no_catalog(auth: &AuthMethod) -> bool {
    matches!(auth, AuthMethod::None | AuthMethod::AdminToken(_))
}

/// The one address of a login that has no catalog, whichever service is there.
fn common_endpoint(settings: &Settings) -> Option<&str> {
    settings.auth("endpoint").or_else(|| settings.auth("url"))
}

/// The Compute service, with its address where the settings fix it.
fn compute(settings: &Settings, auth: &AuthMethod) -> Result<Compute, ConfigError> {
    let own = ["compute_endpoint_override", "compute_endpoint"].into_iter().find_map(|key| settings.value(key));
    let text = if has_no_catalog(auth) { own.or_else(|| common_endpoint(settings)) } else { own };
    let usual = Compute::default();
    Ok(Compute {
        interfaces: interfaces(settings, "compute_interface")?,
        endpoint: text.map(|text| settings.url("compute_endpoint_override", text)).transpose()?,
        service_type: settings.value("compute_service_type").map_or(usual.service_type, str::to_owned),
        service_name: settings.value("compute_service_name").map(str::to_owned),
    })
}

fn auth_url(settings: &Settings, text: &str) -> Result<Url, ConfigError> {
    let url = settings.url("auth_url", text)?;
    if url.path().trim_end_matches('/').ends_with("/v2.0") {
        return Err(settings.invalid("auth_url", url.as_str(), "that is Keystone's version 2, which is gone; use /v3"));
    }
    Ok(url)
}

/// The interfaces that `own` names for one service, or else those of all.
fn interfaces(settings: &Settings, own: &str) -> Result<Vec<Interface>, ConfigError> {
    let texts = match settings.values(own) {
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

/// `insecure` beats everything; `verify` beats `cacert`, which is kept all the same: it is not wrong, only unused. Files
/// that the cloud does not name are those of the environment, as for `openstack`.
fn tls(settings: &Settings, around: &Surroundings) -> Tls {
    let unset = environment_tls(around);
    let file = |key: &str| settings.value(key).map(|path| around.absolute(path));
    let insecure = settings.raw("insecure").is_some_and(Value::is_on);
    let unverified = settings.raw("verify").is_some_and(Value::is_off);
    let own = file("cert");
    // A key belongs to its certificate: one from here and one from there fit only by chance.
    let key = if own.is_some() { file("key") } else { unset.key };
    Tls { verify: !insecure && !unverified, ca: file("cacert").or(unset.ca), cert: own.or(unset.cert), key }
}

fn environment_tls(around: &Surroundings) -> Tls {
    let file = |name: &str| around.variable(name).map(|path| around.absolute(path));
    Tls { verify: true, ca: file("OS_CACERT"), cert: file("OS_CERT"), key: file("OS_KEY") }
}

impl OpenStackOptions {
    /// The certificates that command line and environment name, for a service that no cloud describes.
    pub fn tls(&self, around: &Surroundings) -> Tls {
        let unset = environment_tls(around);
        let file = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| around.current_dir.join(path));
        let own = file(&self.os_cert);
        let key = if own.is_some() { file(&self.os_key) } else { file(&self.os_key).or(unset.key) };
        Tls { verify: !self.insecure, ca: file(&self.os_cacert).or(unset.ca), cert: own.or(unset.cert), key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(yaml: &str, variables: &[(&str, &str)]) -> Result<Cloud, ConfigError> {
        let text = yaml.to_owned();
        let around = Surroundings {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            current_dir: "/here".into(),
            read: Box::new(move |path| match path.to_str() {
                Some("/here/clouds.yaml") => Ok(text.clone()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            }),
        };
        Cloud::resolve(&around, &OpenStackOptions::default(), Some("one"), None)
    }

    #[test]
    fn no_error_quotes_a_secret() {
        for auth in [
            "auth_url: 'http://me:s3cret@k/v3'",
            "auth_url: 'me:s3cret@k/v3'",
            "auth_url: 'http://s3cret@{nothing}/v3'",
            "auth_url: 'http://k/v3', password: s3cret",
            "auth_url: [s3cret], username: u, password: s3cret",
            "auth_url: 'http://k/v3', username: u, token: s3cret",
            "password: s3cret, username: u, auth_url: 'http://k/v2.0'",
        ] {
            let error = resolve(&format!("clouds: {{one: {{auth: {{{auth}}}}}}}"), &[]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{auth}: {error}");
        }
        for yaml in ["clouds: {one: s3cret}", "clouds: s3cret", "s3cret", "clouds: {one: {auth: s3cret}}", "a: 's3cret"]
        {
            let error = resolve(yaml, &[]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_password_that_the_file_does_not_have_comes_from_the_environment() {
        let yaml = "clouds: {one: {auth: {auth_url: 'http://k/v3', username: u}}}";
        assert!(matches!(resolve(yaml, &[]), Err(ConfigError::Missing { key: "password", .. })));
        assert!(resolve(yaml, &[("OS_PASSWORD", "p"), ("OS_USERNAME", "other")]).is_ok());
    }

    #[test]
    fn the_compute_service_has_settings_of_its_own() {
        let auth = "auth: {auth_url: 'http://k/v3', username: u, password: p}";
        let usual = resolve(&format!("clouds: {{one: {{interface: internal, {auth}}}}}"), &[]).unwrap();
        assert_eq!(usual.compute, Compute { interfaces: vec![Interface::Internal], ..Compute::default() });
        let own = "compute_interface: admin, compute_endpoint_override: 'http://h/v2.1', compute_service_type: c, \
                   compute_service_name: n";
        let own = resolve(&format!("clouds: {{one: {{{own}, {auth}}}}}"), &[]).unwrap();
        assert_eq!(own.interfaces, [Interface::Public]);
        let expected = Compute {
            interfaces: vec![Interface::Admin],
            endpoint: Some("http://h/v2.1".parse().unwrap()),
            service_type: "c".to_owned(),
            service_name: Some("n".to_owned()),
        };
        assert_eq!(own.compute, expected);
    }

    #[test]
    fn without_a_catalog_the_address_of_one_of_the_services_is_enough() {
        let yaml = |more: &str| format!("clouds: {{one: {{auth_type: none{more}}}}}");
        assert!(matches!(resolve(&yaml(""), &[]), Err(ConfigError::Missing { key: "endpoint", .. })));
        let one = resolve(&yaml(", compute_endpoint_override: 'http://h/v2.1'"), &[]).unwrap();
        assert!(one.image_endpoint.is_none() && one.compute.endpoint.is_some());
        let both = resolve(&yaml(", auth: {endpoint: 'http://h/v2.1'}"), &[]).unwrap();
        assert_eq!(both.image_endpoint, both.compute.endpoint, "whichever is there");
    }

    #[test]
    fn certificates_that_the_cloud_does_not_name_come_from_the_environment() {
        let auth = "auth: {auth_url: 'https://k/v3', username: u, password: p}";
        let variables = [("OS_CACERT", "ca.pem"), ("OS_CERT", "/me.pem"), ("OS_KEY", "/me.key")];
        let tls = resolve(&format!("clouds: {{one: {{{auth}}}}}"), &variables).unwrap().tls;
        assert_eq!((tls.ca, tls.key), (Some("/here/ca.pem".into()), Some("/me.key".into())));
        let own = resolve(&format!("clouds: {{one: {{cert: /both.pem, {auth}}}}}"), &variables).unwrap().tls;
        assert_eq!((own.cert, own.key), (Some("/both.pem".into()), None), "the key is in the file of the certificate");
    }

    #[test]
    fn a_command_for_the_token_needs_neither_user_nor_password() {
        let cloud = "auth_type: v3oidcpassword, token_command: [issue, --json], auth: {auth_url: 'http://k/v3'}";
        let cloud = resolve(&format!("clouds: {{one: {{{cloud}}}}}"), &[]).unwrap();
        assert!(matches!(cloud.auth, AuthMethod::Command(_)));
    }
}
