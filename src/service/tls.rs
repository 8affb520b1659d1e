//! The HTTP clients: certificates, deadlines and what a redirect may do.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity};

use super::error::{Kind, ServiceError};
use crate::config::Tls;

/// A host that is there answers a SYN within milliseconds; two lost packets cost 3 s.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence, for headers and between two parts of a body alike. Never a limit for a whole body.
const SILENCE: Duration = Duration::from_mins(1);
/// Some services answer a missing slash with a redirect, and that only once.
const MOST_REDIRECTS: usize = 5;
/// Connections that wait for the next request. A service closes them sooner or later; more than a few save nothing.
const IDLE_CONNECTIONS: usize = 16;

/// How long a connection waits for the next upload, which spares many small images in a row a new one each. No service is
/// known to close one that was idle for less than two seconds.
const WARM: Duration = Duration::from_secs(1);

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Small requests and answers.
    Api,
    /// Image bytes. One connection a request: several streams in one connection share its one window and come slower.
    Data,
    /// The same once more, after it failed. On a connection of its own, because whoever stands behind one that is kept may go
    /// on failing.
    DataAgain,
    /// Image bytes on their way to the service. The answer comes behind the last of them, so that silence means nothing
    /// here; and a connection that waited long for the next upload would be closed by the service in the middle of it.
    Upload,
}

/// A client with these certificates.
pub(crate) fn client(tls: &Tls, purpose: Purpose) -> Result<Client, ServiceError> {
    // Fails where a provider is set already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let built = certificates(builder(purpose), tls)?.build();
    built
        .or_else(|error| without_authorities(purpose, tls).unwrap_or(Err(error)))
        .map_err(|error| configuration("use the certificates", &error))
}

/// A machine may have no authorities at all (package ca-certificates). Then none is trusted, and a service with http:// or in
/// this process is reached all the same. `None` where others than the machine's are to be trusted.
fn without_authorities(purpose: Purpose, tls: &Tls) -> Option<reqwest::Result<Client>> {
    let builder = certificates(builder(purpose), tls).ok()?.tls_certs_only([]);
    (tls.verify && tls.ca.is_none()).then(|| builder.build())
}

fn builder(purpose: Purpose) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("glancefs/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(Policy::custom(follow));
    match purpose {
        Purpose::Api => builder.read_timeout(SILENCE).pool_max_idle_per_host(IDLE_CONNECTIONS),
        Purpose::Data => builder.read_timeout(SILENCE).pool_max_idle_per_host(IDLE_CONNECTIONS).http1_only(),
        Purpose::DataAgain => builder.read_timeout(SILENCE).pool_max_idle_per_host(0).http1_only(),
        Purpose::Upload => builder.pool_max_idle_per_host(IDLE_CONNECTIONS).pool_idle_timeout(WARM).http1_only(),
    }
}

/// Follows a redirect inside of the same origin only: the token goes along with the request.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
}

fn certificates(mut builder: ClientBuilder, tls: &Tls) -> Result<ClientBuilder, ServiceError> {
    if !tls.verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(path) = &tls.ca {
        let pem = read("cacert", path)?;
        let bundle = Certificate::from_pem_bundle(&pem).map_err(|error| bad_file("cacert", path, &error))?;
        if bundle.is_empty() {
            return Err(bad_file("cacert", path, &"there is no certificate in it"));
        }
        builder = builder.tls_certs_merge(bundle);
    }
    if let Some(path) = &tls.cert {
        let mut pem = read("cert", path)?;
        if let Some(key) = &tls.key {
            pem.push(b'\n');
            pem.extend(read("key", key)?);
        }
        builder = builder.identity(Identity::from_pem(&pem).map_err(|error| bad_file("cert", path, &error))?);
    }
    Ok(builder)
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ServiceError> {
    std::fs::read(path).map_err(|error| bad_file(option, path, &error))
}

fn bad_file(option: &str, path: &Path, error: &dyn std::fmt::Display) -> ServiceError {
    configuration(&format!("use {} (--os-{option})", path.display()), error)
}

fn configuration(action: &str, error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::new(Kind::Configuration, action).with_words(error.to_string())
}
