//! A Keystone of a few lines, which keeps what it is sent and answers what a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

/// A running Keystone; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Keystone {
    /// Its address, without `/v3`.
    pub(crate) url: Url,
    shared: Arc<Shared>,
}

struct Shared {
    logins: Mutex<Vec<Value>>,
    replies: Mutex<VecDeque<Reply>>,
    /// How long a token lives, in seconds.
    life: i64,
    /// A login is answered when a permit is there.
    gate: Semaphore,
}

/// An answer that comes before the usual one.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        let body = json!({ "error": { "code": status, "message": message, "title": "x" } }).to_string();
        Self { status, headers: vec![("x-openstack-request-id", "req-1".to_owned())], body }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl Keystone {
    /// One whose tokens live so many seconds.
    pub(crate) async fn start(life: i64) -> Self {
        let keystone = Self::start_closed(life).await;
        keystone.open(10_000);
        keystone
    }

    /// One that holds logins back until [`Self::open`].
    pub(crate) async fn start_closed(life: i64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (logins, replies) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { logins, replies, life, gate: Semaphore::new(0) });
        let keystone = Self { url, shared };
        let routes = Router::new()
            .route("/", get(versions))
            .route("/v3/auth/tokens", post(log_in))
            .route("/v3/auth/catalog", get(catalog_of))
            .with_state(keystone.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        keystone
    }

    /// Lets so many logins be answered.
    pub(crate) fn open(&self, logins: usize) {
        self.shared.gate.add_permits(logins);
    }

    /// The bodies of the logins so far.
    pub(crate) fn logins(&self) -> Vec<Value> {
        self.shared.logins.lock().unwrap().clone()
    }

    /// What the next login is answered with.
    pub(crate) fn reply(&self, reply: Reply) {
        self.shared.replies.lock().unwrap().push_back(reply);
    }
}

/// Where the Image service is by this Keystone's catalog.
pub(crate) const IMAGE: &str = "http://image.example:9292/";

fn catalog() -> Value {
    let endpoint = |interface: &str, region: &str, url: &str| json!({ "interface": interface, "region": region, "region_id": region, "url": url, "id": "x" });
    json!([
        { "type": "identity", "name": "keystone", "id": "k", "endpoints": [] },
        { "type": "image", "name": "glance", "id": "g", "endpoints": [
            endpoint("public", "RegionOne", IMAGE),
            endpoint("internal", "RegionOne", "http://inside:9292"),
        ] },
    ])
}

async fn versions(State(keystone): State<Keystone>) -> Response {
    let href = format!("{}v3/", keystone.url);
    let version = json!({ "id": "v3.14", "status": "stable", "links": [{ "rel": "self", "href": href }] });
    (StatusCode::MULTIPLE_CHOICES, json!({ "versions": { "values": [version] } }).to_string()).into_response()
}

async fn log_in(State(keystone): State<Keystone>, body: Bytes) -> Response {
    let shared = &keystone.shared;
    let serial = {
        let mut logins = shared.logins.lock().unwrap();
        logins.push(serde_json::from_slice(&body).unwrap());
        logins.len()
    };
    shared.gate.acquire().await.unwrap().forget();
    if let Some(reply) = shared.replies.lock().unwrap().pop_front() {
        let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
        for (name, value) in reply.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        return response;
    }
    // This Keystone's clock is a year behind: what counts is how long a token lives, not what a foreign clock says.
    let issued_at: jiff::Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let expires_at = issued_at + jiff::SignedDuration::from_secs(shared.life);
    let token = json!({ "token": {
        "methods": ["password"],
        "user": { "id": "u1", "name": "me" },
        "project": { "id": "p1", "name": "mine" },
        "roles": [{ "id": "r1", "name": "member" }],
        "issued_at": issued_at.to_string(),
        "expires_at": expires_at.to_string(),
        "catalog": catalog(),
    }});
    (StatusCode::CREATED, [("x-subject-token", format!("token-{serial}"))], token.to_string()).into_response()
}

async fn catalog_of(headers: HeaderMap) -> Response {
    if headers.get("x-auth-token").is_none_or(|token| token != "printed") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    json!({ "catalog": catalog(), "links": {} }).to_string().into_response()
}
