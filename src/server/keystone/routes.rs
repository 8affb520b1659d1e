//! Keystone's paths.

use super::accounts::{Project, User};
use super::login::{NoLogin, domain_name, login};
use super::tokens::{Identity, Scope, Token};
use crate::server::routes::json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json as value};
use std::sync::Arc;
use uuid::Uuid;

const REGION: &str = "RegionOne";
const SUBJECT: &str = "x-subject-token";

type Shared = State<Arc<Identity>>;
type Answer = Result<Response<Body>, Failure>;

/// An error answer.
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    /// Where to log in, on a 401.
    keystone: Option<String>,
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        let code = self.status.as_u16();
        let title = self.status.canonical_reason().unwrap_or("Unknown");
        let body = value!({"error": {"code": code, "message": self.message, "title": title}});
        let mut response = json(self.status, &body);
        let challenge = self.keystone.and_then(|url| HeaderValue::from_str(&format!("Keystone uri=\"{url}\"")).ok());
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The paths of a Keystone.
pub(crate) fn router(identity: Arc<Identity>) -> Router {
    Router::new()
        .route("/", get(versions))
        .route("/v3", get(version))
        .route("/v3/", get(version))
        .route("/v3/auth/tokens", get(validate).post(log_in).delete(revoke))
        .route("/v3/auth/projects", get(own_projects))
        .route("/v3/auth/domains", get(own_domains))
        .route("/v3/auth/catalog", get(own_catalog))
        .route("/v3/projects", get(all_projects))
        .route("/v3/projects/{id}", get(one_project))
        .route("/v3/users/{id}/projects", get(projects_of_user))
        .layer(from_fn(mark))
        .with_state(identity)
}

/// What every answer carries.
async fn mark(request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    if let Ok(id) = HeaderValue::from_str(&format!("req-{}", Uuid::new_v4())) {
        headers.insert("x-openstack-request-id", id);
    }
    response
}

fn described(identity: &Identity) -> Value {
    value!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/", identity.url())}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

async fn versions(State(identity): Shared) -> Response<Body> {
    let body = value!({"versions": {"values": [described(&identity)]}});
    let mut response = json(StatusCode::MULTIPLE_CHOICES, &body);
    if let Ok(to) = HeaderValue::from_str(&format!("{}/", identity.url())) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

async fn version(State(identity): Shared) -> Response<Body> {
    json(StatusCode::OK, &value!({"version": described(&identity)}))
}

async fn log_in(State(identity): Shared, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    let body: Value =
        serde_json::from_slice(&body).map_err(|_| malformed("Expecting to find valid JSON in request body."))?;
    let (word, token) = login(&identity, &body).map_err(|why| match why {
        NoLogin::Malformed(why) => malformed(&why),
        NoLogin::Denied => unauthorized(&identity),
    })?;
    Ok(shown_token(&identity, StatusCode::CREATED, &word, &token, wants_catalog(query.as_deref())))
}

/// `?nocatalog` leaves the catalogue out of a token's description, with any value or none.
fn wants_catalog(query: Option<&str>) -> bool {
    !query.unwrap_or_default().split('&').any(|pair| pair.split('=').next() == Some("nocatalog"))
}

fn shown_token(
    identity: &Identity,
    status: StatusCode,
    word: &str,
    token: &Token,
    with_catalog: bool,
) -> Response<Body> {
    let mut body = token_body(identity, token);
    if let Some(map) = body.as_object_mut().filter(|_| !with_catalog) {
        map.remove("catalog");
    }
    let mut response = json(status, &value!({"token": body}));
    if let Ok(mut word) = HeaderValue::from_str(word) {
        word.set_sensitive(true);
        response.headers_mut().insert(SUBJECT, word);
    }
    response
}

fn malformed(why: &str) -> Failure {
    let message = format!(
        "{why} The server could not comply with the request since it is either malformed or otherwise incorrect. The \
         client is assumed to be in error."
    );
    Failure { status: StatusCode::BAD_REQUEST, message, keystone: None }
}

fn unauthorized(identity: &Identity) -> Failure {
    Failure {
        status: StatusCode::UNAUTHORIZED,
        message: "The request you have made requires authentication.".into(),
        keystone: Some(identity.url().to_owned()),
    }
}

fn forbidden(action: &str) -> Failure {
    let message = format!("You are not authorized to perform the requested action: {action}.");
    Failure { status: StatusCode::FORBIDDEN, message, keystone: None }
}

fn not_found(what: &str) -> Failure {
    Failure { status: StatusCode::NOT_FOUND, message: what.to_owned(), keystone: None }
}

fn word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn caller(identity: &Identity, headers: &HeaderMap) -> Result<Arc<Token>, Failure> {
    word(headers, "x-auth-token").and_then(|word| identity.look_up(word)).ok_or_else(|| unauthorized(identity))
}

fn is_admin(token: &Token) -> bool {
    token.roles.iter().any(|role| role == "admin")
}

/// The token that a request speaks of, if the caller may: their own, or anybody's for an administrator.
fn subject(identity: &Identity, headers: &HeaderMap, action: &str) -> Result<(String, Arc<Token>), Failure> {
    let caller = caller(identity, headers)?;
    let found = word(headers, SUBJECT).and_then(|word| Some((word.to_owned(), identity.look_up(word)?)));
    let (word, token) = found.ok_or_else(|| not_found("Could not recognize the token"))?;
    if is_admin(&caller) || caller.user == token.user { Ok((word, token)) } else { Err(forbidden(action)) }
}

async fn validate(State(identity): Shared, RawQuery(query): RawQuery, method: Method, headers: HeaderMap) -> Answer {
    let (word, token) = subject(&identity, &headers, "identity:validate_token")?;
    let mut response = shown_token(&identity, StatusCode::OK, &word, &token, wants_catalog(query.as_deref()));
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    Ok(response)
}

async fn revoke(State(identity): Shared, headers: HeaderMap) -> Answer {
    let (word, _) = subject(&identity, &headers, "identity:revoke_token")?;
    identity.revoke(&word);
    Ok(crate::server::routes::no_content())
}

async fn own_projects(State(identity): Shared, headers: HeaderMap) -> Answer {
    let token = caller(&identity, &headers)?;
    let user = identity.user_of(&token).ok_or_else(|| unauthorized(&identity))?;
    Ok(project_list(&identity, identity.accounts.projects_of(user), "auth/projects"))
}

async fn own_domains(State(identity): Shared, headers: HeaderMap) -> Answer {
    let token = caller(&identity, &headers)?;
    let held = identity.user_of(&token).filter(|user| !user.domain_roles.is_empty());
    let domains: Vec<Value> = held.into_iter().map(|user| domain(&user.domain)).collect();
    let links = value!({"next": null, "previous": null, "self": format!("{}/auth/domains", identity.url())});
    Ok(json(StatusCode::OK, &value!({"domains": domains, "links": links})))
}

async fn own_catalog(State(identity): Shared, headers: HeaderMap) -> Answer {
    caller(&identity, &headers)?;
    let links = value!({"self": format!("{}/auth/catalog", identity.url())});
    Ok(json(StatusCode::OK, &value!({"catalog": catalog(&identity), "links": links})))
}

async fn all_projects(State(identity): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    if !is_admin(&*caller(&identity, &headers)?) {
        return Err(forbidden("identity:list_projects"));
    }
    let query = query.unwrap_or_default();
    let asked = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let (name, domain) = (asked("name"), asked("domain_id"));
    let wanted = identity.accounts.projects.iter().filter(|project| {
        name.as_ref().is_none_or(|name| *name == project.name)
            && domain.as_ref().is_none_or(|domain| *domain == project.domain)
    });
    Ok(project_list(&identity, wanted, "projects"))
}

async fn one_project(State(identity): Shared, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let token = caller(&identity, &headers)?;
    let own = token.scope == Scope::Project(id.clone());
    match identity.accounts.project(&id) {
        Some(project) if own || is_admin(&token) => {
            Ok(json(StatusCode::OK, &value!({"project": shown_project(&identity, project)})))
        }
        None if is_admin(&token) => Err(not_found(&format!("Could not find project: {id}."))),
        _ => Err(forbidden("identity:get_project")),
    }
}

async fn projects_of_user(State(identity): Shared, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let token = caller(&identity, &headers)?;
    match identity.accounts.user(&id) {
        Some(user) if token.user == id || is_admin(&token) => {
            Ok(project_list(&identity, identity.accounts.projects_of(user), &format!("users/{id}/projects")))
        }
        _ => Err(forbidden("identity:list_user_projects")),
    }
}

fn project_list<'a>(identity: &Identity, projects: impl Iterator<Item = &'a Project>, path: &str) -> Response<Body> {
    let projects: Vec<Value> = projects.map(|project| shown_project(identity, project)).collect();
    let links = value!({"next": null, "previous": null, "self": format!("{}/{path}", identity.url())});
    json(StatusCode::OK, &value!({"projects": projects, "links": links}))
}

fn shown_project(identity: &Identity, project: &Project) -> Value {
    value!({
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain,
        "parent_id": project.domain,
        "description": "",
        "enabled": true,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": {"self": format!("{}/projects/{}", identity.url(), project.id)},
    })
}

fn domain(id: &str) -> Value {
    value!({"id": id, "name": domain_name(id)})
}

fn token_body(identity: &Identity, token: &Token) -> Value {
    let user = identity.user_of(token).map(shown_user).unwrap_or_default();
    let mut body = value!({
        "methods": token.methods,
        "user": user,
        "audit_ids": [token.audit_id],
        "issued_at": time(token.issued),
        "expires_at": time(token.expires),
    });
    let Some(map) = body.as_object_mut() else { return body };
    if let Some(project) = identity.project_of(token) {
        let shown = value!({"id": project.id, "name": project.name, "domain": domain(&project.domain)});
        map.insert("project".into(), shown);
        map.insert("is_domain".into(), false.into());
    }
    match &token.scope {
        Scope::Domain(id) => map.insert("domain".into(), domain(id)),
        Scope::System => map.insert("system".into(), value!({"all": true})),
        Scope::Unscoped => return body,
        Scope::Project(_) => None,
    };
    let roles: Vec<Value> = token.roles.iter().map(|role| value!({"id": role, "name": role})).collect();
    map.insert("roles".into(), roles.into());
    map.insert("catalog".into(), catalog(identity));
    body
}

fn shown_user(user: &User) -> Value {
    value!({"id": user.id, "name": user.name, "domain": domain(&user.domain), "password_expires_at": null})
}

fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn catalog(identity: &Identity) -> Value {
    let image = identity.image_url().map(|url| ("image", "glance", url));
    let compute = identity.compute_url().map(|url| ("compute", "nova", url));
    let services = [("identity", "keystone", identity.url())].into_iter().chain(image).chain(compute);
    let shown = services.map(|(kind, name, url)| {
        let endpoints = ["public", "internal", "admin"].map(|interface| {
            value!({
                "id": format!("{kind}-{interface}"), "interface": interface, "url": url,
                "region": REGION, "region_id": REGION,
            })
        });
        value!({"id": kind, "type": kind, "name": name, "endpoints": endpoints})
    });
    shown.collect()
}
