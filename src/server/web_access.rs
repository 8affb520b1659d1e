//! Where `web-download` may fetch from.

use std::net::{IpAddr, SocketAddr};
use url::{Host, Url};

/// Where `web-download` may fetch from. The service fetches for whoever asks, from where it stands: what only this
/// machine can reach, such as its other services, is not for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WebAccess {
    /// Hosts beyond this machine and its link, on ports 80 and 443, as Glance does by default.
    #[default]
    Others,
    /// These places too, each as `host:port`.
    OthersAnd(Vec<String>),
    /// Whatever can be reached.
    Anywhere,
}

/// Why an address is not fetched from. Only hosts are named: the rest of an address may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAccess {
    #[error("{0} is not fetched from")]
    Refused(String),
    #[error("{0} has no address")]
    Unresolved(String),
}

/// The host of a URL, which may be shown.
pub(crate) fn host(url: &Url) -> String {
    url.host_str().unwrap_or("nothing").to_owned()
}

impl WebAccess {
    /// The addresses behind a URL that may be fetched from. They are the ones to connect to: another look into the DNS
    /// may tell others.
    pub(crate) async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, NoAccess> {
        let refused = || NoAccess::Refused(host(url));
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        let (name, port) = (url.host().ok_or_else(refused)?, url.port_or_known_default().ok_or_else(refused)?);
        let place = format!("{name}:{port}");
        let any = match self {
            Self::Others => false,
            Self::OthersAnd(places) => places.iter().any(|named| named.eq_ignore_ascii_case(&place)),
            Self::Anywhere => true,
        };
        if !any && !matches!(port, 80 | 443) {
            return Err(refused());
        }
        let all = resolved(&name, port).await.ok_or_else(|| NoAccess::Unresolved(host(url)))?;
        let open: Vec<SocketAddr> = all.into_iter().filter(|address| any || is_elsewhere(address.ip())).collect();
        if open.is_empty() { Err(refused()) } else { Ok(open) }
    }
}

async fn resolved(host: &Host<&str>, port: u16) -> Option<Vec<SocketAddr>> {
    match host {
        Host::Ipv4(address) => Some(vec![(*address, port).into()]),
        Host::Ipv6(address) => Some(vec![(*address, port).into()]),
        Host::Domain(name) => Some(tokio::net::lookup_host((*name, port)).await.ok()?.collect()),
    }
}

/// Neither this machine nor its link, where clouds hand out metadata.
fn is_elsewhere(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(access: &WebAccess, url: &str) -> bool {
        access.addresses(&Url::parse(url).unwrap()).await.is_ok()
    }

    #[tokio::test]
    async fn this_machine_and_its_link_are_refused_however_they_are_written() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://localhost/",
        ] {
            assert!(!open(&WebAccess::Others, url).await, "{url}");
            assert!(open(&WebAccess::Anywhere, url).await, "{url}");
        }
    }

    #[tokio::test]
    async fn other_hosts_are_open_on_the_ports_of_the_web() {
        for (url, expected) in [
            ("http://192.0.2.1/x", true),
            ("https://10.0.0.1/x", true),
            ("http://192.0.2.1:8080/x", false),
            ("http://192.0.2.1:22/x", false),
            ("ftp://192.0.2.1/x", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(open(&WebAccess::Others, url).await, expected, "{url}");
        }
        assert!(!open(&WebAccess::Anywhere, "file:///etc/passwd").await);
    }

    #[tokio::test]
    async fn an_address_s_secrets_are_in_no_error() {
        let url = Url::parse("http://user:pass@127.0.0.1/x?sig=secret").unwrap();
        let error = WebAccess::Others.addresses(&url).await.unwrap_err();
        assert_eq!(error.to_string(), "127.0.0.1 is not fetched from");
        assert!(!format!("{error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_named_place_is_open_and_its_neighbours_are_not() {
        let access = WebAccess::OthersAnd(vec!["127.0.0.1:8080".to_owned()]);
        assert!(open(&access, "http://127.0.0.1:8080/x").await);
        assert!(!open(&access, "http://127.0.0.1:8081/x").await);
        assert!(!open(&access, "http://127.0.0.2:8080/x").await);
        assert!(open(&access, "http://192.0.2.1/x").await);
    }
}
