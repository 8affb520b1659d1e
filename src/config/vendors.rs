//! Public clouds whose address of Keystone is known, for clouds that name a vendor instead of an address.

use super::error::ConfigError;
use super::value::{Map, Value};

/// A public cloud: its name, the address of its Keystone, and its regions, the first one being the default.
type Vendor = (&'static str, &'static str, &'static [&'static str]);

const VENDORS: [Vendor; 13] = [
    ("auro", "https://api.van2.auro.io:5000/v3", &["RegionOne"]),
    ("binero", "https://auth.binero.cloud:5000/v3", &["europe-se-1"]),
    ("citycloud", "https://{region_name}.citycloud.com:5000/v3/", &["Buf1", "Fra1", "Sto2", "Kna1", "dx1", "tky1"]),
    ("dreamcompute", "https://iad2.dream.io:5000", &["RegionOne"]),
    ("elastx", "https://ops.elastx.cloud:5000/v3", &["se-sto"]),
    ("entercloudsuite", "https://api.entercloudsuite.com/", &["it-mil1", "nl-ams1", "de-fra1"]),
    ("limestonenetworks", "https://auth.cloud.lstn.net:5000/v3", &["us-dfw-1", "us-slc"]),
    ("otc", "https://iam.{region_name}.otc.t-systems.com/v3", &["eu-de", "eu-nl"]),
    ("otc-swiss", "https://iam-pub.eu-ch2.sc.otc.t-systems.com/v3", &["eu-ch2"]),
    ("ovh-us", "https://auth.cloud.ovh.us/", &["US-EAST-VA-1", "US-WEST-OR-1", "US-EAST-VA", "US-WEST-OR"]),
    ("switchcloud", "https://identity.compute.cloud.switch.ch/v3", &["zhw", "zhc"]),
    ("switchengines", "https://keystone.cloud.switch.ch:5000/v3", &["LS", "ZH"]),
    ("zetta", "https://identity.api.zetta.io/v3", &["no-osl1"]),
];

/// Vendors whose users and projects are in the domain `Default`.
const DEFAULT_DOMAIN: [&str; 2] = ["auro", "ovh-us"];

/// Vendors that publish their profile at an address of their own, which is not downloaded.
const REMOTE: [(&str, &str); 2] = [("ovh", "https://ovhcloud.com"), ("vexxhost", "https://vexxhost.com")];

/// The settings of a vendor, for a cloud that refers to it.
pub(super) fn profile(cloud: &str, vendor: &str) -> Result<Map, ConfigError> {
    if let Some((name, auth_url, regions)) = VENDORS.iter().find(|(name, ..)| *name == vendor) {
        return Ok(settings(name, auth_url, regions));
    }
    let remote = REMOTE.iter().find(|(name, _)| *name == vendor).map(|(_, address)| *address);
    let address = remote.or_else(|| Some(vendor).filter(|vendor| vendor.contains("://")));
    Err(match address {
        Some(address) => ConfigError::RemoteVendor { cloud: cloud.to_owned(), profile: address.to_owned() },
        None => ConfigError::UnknownVendor {
            cloud: cloud.to_owned(),
            profile: vendor.to_owned(),
            known: VENDORS.map(|(name, ..)| name).join(", "),
        },
    })
}

fn settings(name: &str, auth_url: &str, regions: &[&str]) -> Map {
    let mut auth = Map::from([("auth_url".to_owned(), Value::text(auth_url))]);
    if DEFAULT_DOMAIN.contains(&name) {
        auth.insert("user_domain_name".to_owned(), Value::text("Default"));
        auth.insert("project_domain_name".to_owned(), Value::text("Default"));
    }
    let regions = regions.iter().map(|region| Value::text(*region)).collect();
    Map::from([("auth".to_owned(), Value::Map(auth)), ("regions".to_owned(), Value::List(regions))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_vendor_is_named_together_with_the_known_ones() {
        let error = profile("mine", "nobody").unwrap_err().to_string();
        assert!(error.contains("\"nobody\"") && error.contains("citycloud"), "{error}");
    }

    #[test]
    fn a_profile_that_would_have_to_be_downloaded_is_refused() {
        for vendor in ["vexxhost", "https://cloud.example.org"] {
            assert!(matches!(profile("mine", vendor), Err(ConfigError::RemoteVendor { .. })), "{vendor}");
        }
    }
}
