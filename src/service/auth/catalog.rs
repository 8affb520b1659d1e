//! The catalog: which services there are, and where.

use serde::Deserialize;
use url::Url;

use crate::config::{Cloud, Interface};
use crate::service::error::{Kind, ServiceError};

/// The catalog that came with a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalog(Vec<Service>);

#[derive(Clone, Debug, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    url: String,
}

impl Endpoint {
    fn region(&self) -> &str {
        self.region_id.as_deref().or(self.region.as_deref()).unwrap_or_default()
    }

    fn is(&self, interface: Interface) -> bool {
        self.interface.strip_suffix("URL").unwrap_or(&self.interface) == interface.to_string()
    }
}

/// Which service is looked for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// What it is called in sentences.
    word: &'static str,
    kind: &'a str,
    name: Option<&'a str>,
    interfaces: &'a [Interface],
    /// The option that gives its address.
    option: &'static str,
}

impl<'a> Wanted<'a> {
    /// The Image service that the cloud's settings choose.
    pub(super) fn image(cloud: &'a Cloud) -> Self {
        let (kind, name) = (&cloud.image_service_type, cloud.image_service_name.as_deref());
        let option = "--os-image-endpoint-override";
        Self { word: "Image", kind, name, interfaces: &cloud.interfaces, option }
    }

    /// The Compute service that they choose.
    pub(super) fn compute(cloud: &'a Cloud) -> Self {
        let (kind, name) = (&cloud.compute.service_type, cloud.compute.service_name.as_deref());
        let option = "--os-compute-endpoint-override";
        Self { word: "Compute", kind, name, interfaces: &cloud.compute.interfaces, option }
    }

    fn failed(&self, cloud: &Cloud, words: String) -> ServiceError {
        let action = format!("find the {} service of cloud {}", self.word, cloud.name);
        ServiceError::new(Kind::Configuration, action).with_words(words)
    }
}

impl Catalog {
    /// The address of a service.
    pub(super) fn endpoint(&self, cloud: &Cloud, wanted: &Wanted<'_>) -> Result<Url, ServiceError> {
        let refused = |words: String| Err(wanted.failed(cloud, words));
        let services = self.services(cloud, wanted)?;
        let endpoints = || services.iter().flat_map(|service| &service.endpoints);
        let in_region =
            || endpoints().filter(|one| cloud.region.as_deref().is_none_or(|region| one.region() == region));
        if in_region().next().is_none() {
            return refused(format!("it has no endpoint in region {}; {}", named(cloud), list(endpoints())));
        }
        let of = |interface: &Interface| {
            let found: Vec<_> = in_region().filter(|one| one.is(*interface)).collect();
            Some(found).filter(|found| !found.is_empty())
        };
        let Some(found) = wanted.interfaces.iter().find_map(of) else {
            let wanted: Vec<_> = wanted.interfaces.iter().map(ToString::to_string).collect();
            return refused(format!("it has no {} endpoint; {}", wanted.join(" or "), list(in_region())));
        };
        let mut regions: Vec<_> = found.iter().map(|one| one.region()).collect();
        regions.sort_unstable();
        regions.dedup();
        if regions.len() > 1 {
            return refused(format!("it is in the regions {}; choose one with --os-region-name", regions.join(", ")));
        }
        let text = found.first().map(|one| one.url.as_str()).unwrap_or_default();
        Url::parse(text).or_else(|_| refused(format!("its address in the catalog is not a URL: {text}")))
    }

    fn services(&self, cloud: &Cloud, wanted: &Wanted<'_>) -> Result<Vec<&Service>, ServiceError> {
        if self.0.is_empty() {
            let words = format!(
                "the token for {} comes without a catalog; name a project, or give the address with {}",
                cloud.scope, wanted.option
            );
            return Err(wanted.failed(cloud, words));
        }
        let Wanted { kind, name, .. } = *wanted;
        let fits = |one: &&Service| one.kind == kind && name.is_none_or(|name| one.name.as_deref() == Some(name));
        let found: Vec<_> = self.0.iter().filter(fits).collect();
        if found.is_empty() {
            let mut kinds: Vec<_> = self.0.iter().map(|service| service.kind.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let called = name.map(|name| format!(" called {name}")).unwrap_or_default();
            let words = format!("its catalog has no service of type {kind}{called}; it has {}", kinds.join(", "));
            return Err(wanted.failed(cloud, words));
        }
        Ok(found)
    }
}

fn named(cloud: &Cloud) -> &str {
    cloud.region.as_deref().unwrap_or_default()
}

fn list<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> String {
    let known: Vec<_> = endpoints.map(|one| format!("{} in {}", one.interface, one.region())).collect();
    if known.is_empty() { "it has none at all".to_owned() } else { format!("it has {}", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;

    fn cloud(region: Option<&str>, interfaces: &[Interface]) -> Cloud {
        let mut cloud = Cloud::of_url("http://unused".parse().unwrap(), Tls::default());
        cloud.region = region.map(str::to_owned);
        cloud.interfaces = interfaces.to_vec();
        cloud
    }

    fn catalog() -> Catalog {
        serde_json::from_str(
            r#"[{"type": "identity", "name": "keystone", "endpoints": []},
                {"type": "image", "name": "glance", "endpoints": [
                  {"interface": "public", "region": "A", "region_id": "A", "url": "http://a.public"},
                  {"interface": "internal", "region": "A", "region_id": "A", "url": "http://a.internal"},
                  {"interface": "public", "region": "B", "region_id": "B", "url": "http://b.public"}]}]"#,
        )
        .unwrap()
    }

    fn endpoint(region: Option<&str>, interfaces: &[Interface]) -> Result<String, String> {
        let cloud = cloud(region, interfaces);
        let found = catalog().endpoint(&cloud, &Wanted::image(&cloud));
        found.map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn region_and_interface_choose_the_endpoint() {
        use Interface::{Admin, Internal, Public};
        assert_eq!(endpoint(Some("A"), &[Public]).unwrap(), "http://a.public/");
        assert_eq!(endpoint(Some("A"), &[Internal]).unwrap(), "http://a.internal/");
        assert_eq!(endpoint(Some("B"), &[Internal, Public]).unwrap(), "http://b.public/");
        assert_eq!(endpoint(None, &[Internal]).unwrap(), "http://a.internal/");
        assert!(endpoint(Some("A"), &[Admin]).unwrap_err().contains("public in A, internal in A"));
    }

    #[test]
    fn an_unknown_region_is_told_with_what_there_is() {
        let error = endpoint(Some("C"), &[Interface::Public]).unwrap_err();
        assert!(error.contains("region C") && error.contains("public in B"), "{error}");
    }

    #[test]
    fn a_region_that_nobody_chose_is_not_guessed() {
        let error = endpoint(None, &[Interface::Public]).unwrap_err();
        assert!(error.contains("A, B") && error.contains("--os-region-name"), "{error}");
    }

    #[test]
    fn a_catalog_without_an_image_service_names_what_it_has() {
        let catalog: Catalog = serde_json::from_str(r#"[{"type": "compute"}, {"type": "identity"}]"#).unwrap();
        let (cloud, nowhere) = (cloud(None, &[Interface::Public]), cloud(None, &[]));
        let error = catalog.endpoint(&cloud, &Wanted::image(&cloud)).unwrap_err();
        assert_eq!(error.kind, Kind::Configuration);
        assert!(error.to_string().contains("compute, identity"), "{error}");
        let error = Catalog::default().endpoint(&nowhere, &Wanted::image(&nowhere)).unwrap_err().to_string();
        assert!(error.contains("no project") && error.contains("--os-image-endpoint-override"), "{error}");
    }

    #[test]
    fn the_compute_service_has_a_type_and_interfaces_of_its_own() {
        let catalog: Catalog = serde_json::from_str(
            r#"[{"type": "image", "endpoints": [{"interface": "public", "url": "http://images"}]},
                {"type": "compute", "endpoints": [{"interface": "public", "url": "http://h/v2.1"},
                                                  {"interface": "internal", "url": "http://h/compute/v2.1/p"}]}]"#,
        )
        .unwrap();
        let mut cloud = cloud(None, &[Interface::Public]);
        let found = |cloud: &Cloud| catalog.endpoint(cloud, &Wanted::compute(cloud)).map(|url| url.to_string());
        assert_eq!(found(&cloud).unwrap(), "http://h/v2.1");
        cloud.compute.interfaces = vec![Interface::Internal];
        assert_eq!(found(&cloud).unwrap(), "http://h/compute/v2.1/p");
        cloud.compute.service_type = "compute_legacy".to_owned();
        let error = found(&cloud).unwrap_err().to_string();
        assert!(error.contains("find the Compute service") && error.contains("compute, image"), "{error}");
    }
}
