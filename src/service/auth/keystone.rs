//! Talking to Keystone: where its version 3 is, a login, a catalog.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::catalog::Catalog;
use super::token::Holder;
use crate::service::error::{Kind, ServiceError};
use crate::service::failure;
use crate::service::retry::{Patience, Tries, retry_after};
use crate::service::words;

/// A login is a few database queries and one slow hash; a whole answer that takes longer does not come any more.
const DEADLINE: Duration = Duration::from_mins(1);
/// More than any catalog is. It bounds what a wrong address can make us hold.
const LARGEST_ANSWER: usize = 8 << 20;
/// How often it is tried to connect to a host that refuses: a restart is quick, a wrong address stays wrong.
const TRIES_TO_CONNECT: u32 = 3;

/// A Keystone.
pub(super) struct Keystone {
    client: Client,
    auth_url: Url,
    /// The address of version 3, once it is known.
    version_3: Mutex<Option<Url>>,
}

/// What a login brings.
pub(super) struct Issued {
    pub(super) value: SecretString,
    /// How long the token lives, by Keystone's own clock: ours may be wrong.
    pub(super) life: Option<Duration>,
    /// When it was issued, by the same clock.
    pub(super) since: Option<Timestamp>,
    pub(super) holder: Holder,
    pub(super) catalog: Catalog,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

#[derive(Deserialize)]
struct Document {
    token: Described,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    issued_at: Option<Timestamp>,
    #[serde(default)]
    user: Option<Named>,
    #[serde(default)]
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Named>,
    #[serde(default)]
    catalog: Catalog,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Keystone {
    pub(super) fn new(client: Client, auth_url: Url) -> Self {
        Self { client, auth_url, version_3: Mutex::new(None) }
    }

    /// Where it is: scheme, host and port.
    pub(super) fn place(&self) -> String {
        self.auth_url.origin().ascii_serialization()
    }

    /// Logs in. `action` says for whom, `advice` what to look at when Keystone refuses.
    pub(super) async fn log_in(&self, body: &Value, action: &str, advice: &str) -> Result<Issued, ServiceError> {
        let url = self.below_version_3("auth/tokens", action).await?;
        let body = body.to_string();
        let post = || self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body.clone());
        let answer = self.send(action, post).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, action, advice));
        }
        let malformed = |what: &str| self.malformed(action, what);
        let value = answer.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
        let value = value.ok_or_else(|| malformed("an answer without a token"))?.into();
        let parsed: Document =
            serde_json::from_slice(&answer.body).map_err(|_| malformed("no description of a token"))?;
        let Described { expires_at, issued_at, user, project, roles, catalog } = parsed.token;
        let life = expires_at.zip(issued_at).map(|(end, start)| end.duration_since(start));
        Ok(Issued {
            value,
            life: life.map(|life| Duration::try_from(life).unwrap_or(Duration::ZERO)),
            since: issued_at,
            holder: holder(user, project, roles),
            catalog,
        })
    }

    /// The catalog that belongs to a token from elsewhere.
    pub(super) async fn catalog(&self, token: &HeaderValue, action: &str) -> Result<Catalog, ServiceError> {
        #[derive(Deserialize)]
        struct Listing {
            catalog: Catalog,
        }
        let url = self.below_version_3("auth/catalog", action).await?;
        let answer = self.send(action, || self.client.get(url.clone()).header("x-auth-token", token.clone())).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, action, "is the token still valid, and for a project?"));
        }
        let listing: Result<Listing, _> = serde_json::from_slice(&answer.body);
        listing.map(|listing| listing.catalog).map_err(|_| self.malformed(action, "no catalog"))
    }

    /// The versions document, or whatever else answers at the address.
    pub(super) async fn versions(&self, action: &str) -> Result<Answer, ServiceError> {
        self.send(action, || self.client.get(self.auth_url.clone())).await
    }

    async fn below_version_3(&self, path: &str, action: &str) -> Result<Url, ServiceError> {
        let mut url = self.version_3(action).await?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        Ok(url)
    }

    /// The address of version 3: the configured one if it says so itself, else what the versions document tells.
    pub(super) async fn version_3(&self, action: &str) -> Result<Url, ServiceError> {
        if self.auth_url.path().trim_end_matches('/').ends_with("/v3") {
            return Ok(self.auth_url.clone());
        }
        if let Some(known) = self.known_version_3() {
            return Ok(known);
        }
        let answer = self.versions(action).await?;
        let found = version_3_of(&self.auth_url, &answer.body);
        if let Ok(mut known) = self.version_3.lock() {
            *known = Some(found.clone());
        }
        Ok(found)
    }

    fn known_version_3(&self) -> Option<Url> {
        self.version_3.lock().ok()?.clone()
    }

    /// Sends a request until it is answered, or no try is left. Every request to Keystone may be repeated: a login that
    /// is done twice leaves a token that nobody uses.
    async fn send(&self, action: &str, request: impl Fn() -> RequestBuilder) -> Result<Answer, ServiceError> {
        let mut tries = Tries::new(Patience::CALL);
        loop {
            let (failed, asked) = match self.try_once(action, request()).await {
                Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                Ok(answer) => (self.refused(&answer, action, "try again later"), wish(&answer.headers)),
                Err(error) => (error, None),
            };
            let hopeless = failed.kind == Kind::Unreachable && tries.failures() + 1 >= TRIES_TO_CONNECT;
            match tries.failed(asked, fastrand::f64()) {
                Some(pause) if failure::is_passing(&failed.kind) && !hopeless => tokio::time::sleep(pause).await,
                _ => return Err(failed),
            }
        }
    }

    async fn try_once(&self, action: &str, request: RequestBuilder) -> Result<Answer, ServiceError> {
        let broken = |error: reqwest::Error| failure::of_request(&error, action, &self.place());
        let request = request.header(ACCEPT, "application/json").timeout(DEADLINE);
        let mut response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if body.len() + part.len() > LARGEST_ANSWER {
                return Err(self.malformed(action, "an endless document"));
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, headers, body })
    }

    /// The error for a status that is none of success, in Keystone's own words.
    fn refused(&self, answer: &Answer, action: &str, advice: &str) -> ServiceError {
        let status = answer.status;
        let said = message(&answer.body);
        let kind = match status {
            _ if is_passing(status) => Kind::Unavailable,
            _ if status.is_redirection() => Kind::Configuration,
            // Keystone answers so about an application credential that was deleted and a token that is none. Without
            // its words it is another server, or another path of it.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE if said.is_none() => {
                Kind::Configuration
            }
            _ => Kind::Login,
        };
        let said = said.unwrap_or_else(|| format!("{} answers {status}", self.place()));
        let words = match kind {
            Kind::Configuration => {
                format!("there is no Keystone v3 at {} (it answers {status}); look at auth_url", self.auth_url)
            }
            _ if answer.headers.contains_key("openstack-auth-receipt") => {
                format!("{said} Keystone asks this user for further factors: use auth_type v3multifactor")
            }
            _ => format!("{said} ({advice})"),
        };
        let mut error = ServiceError::new(kind, action).with_words(words);
        let id = answer.headers.get("x-openstack-request-id").and_then(|value| value.to_str().ok());
        error.request_id = id.map(str::to_owned);
        error
    }

    fn malformed(&self, action: &str, what: &str) -> ServiceError {
        let words = format!("{} answers with {what}: is it a Keystone? Look at auth_url", self.auth_url);
        ServiceError::new(Kind::Malformed, action).with_words(words)
    }
}

fn holder(user: Option<Named>, project: Option<Named>, roles: Vec<Named>) -> Holder {
    let parts = |named: Option<Named>| named.map_or((None, None), |named| (named.id, named.name));
    let ((user_id, user_name), (project_id, project_name)) = (parts(user), parts(project));
    let roles = roles.into_iter().filter_map(|role| role.name).collect();
    Holder { user_id, user_name, project_id, project_name, roles }
}

/// Statuses that may be others a moment later. A 500 of Keystone is often a database that is just away.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

fn wish(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after)
}

/// Keystone's own sentence, `{"error": {"message": ...}}`.
fn message(body: &[u8]) -> Option<String> {
    let parsed: Value = serde_json::from_slice(body).ok()?;
    parsed.get("error").and_then(|_| words::explanation(body))
}

/// The address of version 3, out of a versions document read at `at`. Only the path is taken from it: behind a proxy the
/// document often names a host that nobody outside can reach, and a password goes to no host that the user did not name.
fn version_3_of(at: &Url, document: &[u8]) -> Url {
    let parsed: Value = serde_json::from_slice(document).unwrap_or_default();
    let versions = parsed.pointer("/versions/values").or_else(|| parsed.get("versions")).and_then(Value::as_array);
    let is_3 = |version: &&Value| version.get("id").and_then(Value::as_str).is_some_and(|id| id.starts_with("v3"));
    let link =
        versions.and_then(|versions| versions.iter().find(is_3)).and_then(|version| version.pointer("/links/0/href"));
    let path = link.and_then(Value::as_str).and_then(|href| at.join(href).ok()).map(|url| url.path().to_owned());
    let mut url = at.clone();
    url.set_query(None);
    match path {
        Some(path) if path.trim_end_matches('/').ends_with("/v3") => url.set_path(&path),
        _ => url.set_path(&format!("{}/v3", at.path().trim_end_matches('/'))),
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_3(at: &str, document: &str) -> String {
        version_3_of(&at.parse().unwrap(), document.as_bytes()).to_string()
    }

    #[test]
    fn version_3_is_found_in_the_versions_document() {
        let document =
            r#"{"versions": {"values": [{"id": "v3.14", "links": [{"href": "http://h:5000/identity/v3/"}]}]}}"#;
        assert_eq!(version_3("http://h:5000/identity", document), "http://h:5000/identity/v3/");
        assert_eq!(version_3("https://outside/", document), "https://outside/identity/v3/");
    }

    #[test]
    fn without_a_versions_document_v3_is_appended() {
        assert_eq!(version_3("http://h:5000", "<html>"), "http://h:5000/v3");
        assert_eq!(version_3("http://h/identity/", "{}"), "http://h/identity/v3");
    }

    #[test]
    fn keystones_own_sentence_is_found() {
        let body = br#"{"error": {"code": 401, "message": "Not you.", "title": "Unauthorized"}}"#;
        assert_eq!(message(body).as_deref(), Some("Not you."));
        assert_eq!(message(b"<html>"), None);
    }
}
