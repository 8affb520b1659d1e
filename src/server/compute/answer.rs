//! From a request to its answer, and what every answer of the Compute API carries.

use super::body::{acceptable, items};
use super::error::{Fault, unauthorized, unrouted};
use super::path::{Action, Address, PREFIX, Place, Version};
use super::version::{self, Microversion};
use super::view::{self, Links};
use super::{list, metadata};
use crate::server::errors::Refusal;
use crate::server::routes::{json, no_content};
use crate::server::service::{Caller, Service, on_disk};
use crate::server::store::Unwritten;
use crate::server::versions::host_url;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::json as value;
use std::sync::Arc;
use uuid::Uuid;

/// Answers one request.
pub(crate) async fn answer(service: Arc<Service>, address: Address, request: Request<Body>) -> Response<Body> {
    let base = format!("{}{PREFIX}", host_url(&service, request.headers()));
    match address {
        Address::Versions => version::list(&base),
        Address::Choice(path) => version::choices(&base, &path),
        Address::Version(version) => marked(match microversion(version, request.headers()) {
            Ok(asked) => finished(Ok(version::show(version, &base)), asked),
            Err(response) => *response,
        }),
        Address::Within(version, place) => {
            let is_head = request.method() == Method::HEAD;
            let mut response = marked(within(service, version, place, request).await);
            if is_head {
                *response.body_mut() = Body::empty();
            }
            response
        }
    }
}

/// Gives an answer its id, under the name that all services have for it and under Nova's own.
fn marked(mut response: Response<Body>) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(&format!("req-{}", Uuid::new_v4())) {
        response.headers_mut().insert("x-openstack-request-id", id.clone());
        response.headers_mut().insert("x-compute-request-id", id);
    }
    response
}

/// The microversion that is asked for, none in the old version; or the answer where there is no such.
fn microversion(version: Version, headers: &HeaderMap) -> Result<Option<Microversion>, Box<Response<Body>>> {
    if version == Version::V20 {
        return Ok(None);
    }
    let asked = Microversion::asked(headers).map_err(|fault| Box::new(fault.render()))?;
    asked.must_exist().map_err(|fault| Box::new(finished(Err(fault), Some(asked))))?;
    Ok(Some(asked))
}

fn finished(answered: Result<Response<Body>, Fault>, asked: Option<Microversion>) -> Response<Body> {
    let mut response = answered.unwrap_or_else(|fault| fault.render());
    if let Some(asked) = asked {
        asked.mark(&mut response);
    }
    response
}

/// What only shows itself to who has logged in, also that it is not there.
async fn within(
    service: Arc<Service>,
    version: Version,
    place: Option<Place>,
    request: Request<Body>,
) -> Response<Body> {
    let Ok(caller) = service.caller(request.headers()) else {
        return unauthorized(service.identity.as_ref().map_or("", |identity| identity.url()));
    };
    let routed = place.and_then(|place| Some((Action::of(request.method(), place.resource)?, place.project)));
    let Some((action, project)) = routed else {
        return unrouted(request.headers());
    };
    let asked = match microversion(version, request.headers()) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let answered = match allowed(&caller, &action, project.as_deref(), asked, &request) {
        Ok(()) => {
            let links = Links { host: host_url(&service, request.headers()), version, project };
            act(service, caller, &links, action, request).await
        }
        Err(fault) => Err(fault),
    };
    finished(answered, asked)
}

/// What is checked before an image is looked at.
fn allowed(
    caller: &Caller,
    action: &Action,
    project: Option<&str>,
    asked: Option<Microversion>,
    request: &Request<Body>,
) -> Result<(), Fault> {
    acceptable(request.headers())?;
    if let Some(given) = project.filter(|given| Some(*given) != caller.project.as_deref()) {
        let own = caller.project.as_deref().unwrap_or("None");
        let why =
            format!("Malformed request URL: URL's project_id '{given}' doesn't match Context's project_id '{own}'");
        return Err(Fault::bad_request(why));
    }
    if asked.is_some_and(|asked| asked > action.last_microversion()) {
        return Err(Fault::no_resource());
    }
    // Nova has forgotten to say which parameters there may be, and fails over any.
    let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
    if has_query && matches!(action, Action::Metadata(_) | Action::Item(..)) {
        return Err(Fault::unexpected("KeyError"));
    }
    Ok(())
}

async fn act(
    service: Arc<Service>,
    caller: Caller,
    links: &Links,
    action: Action,
    request: Request<Body>,
) -> Result<Response<Body>, Fault> {
    let query = request.uri().query().unwrap_or("");
    let shown = match action {
        Action::List => list::list(&service, &caller, query, links, "images", view::brief)?,
        Action::Detail => list::list(&service, &caller, query, links, "images/detail", view::detailed)?,
        Action::Show(id) => {
            let record = service.visible(&caller, &id).map_err(|_| Fault::no_image())?;
            value!({"image": view::detailed(&record, links)?})
        }
        Action::Delete(id) => return delete(service, caller, id).await,
        Action::Metadata(id) => value!({"metadata": metadata::all(&service, &caller, &id)?}),
        Action::Merge(id) => {
            let given = items(request.into_body(), "metadata", false).await?;
            value!({"metadata": metadata::merge(service, caller, &id, given).await?})
        }
        Action::Replace(id) => {
            let given = items(request.into_body(), "metadata", false).await?;
            metadata::replace(service, caller, &id, given.clone()).await?;
            value!({"metadata": given})
        }
        Action::Item(id, key) => value!({"meta": {&key: metadata::one(&service, &caller, &id, &key)?}}),
        Action::Set(id, key) => {
            let given = items(request.into_body(), "meta", true).await?;
            if !given.contains_key(&key) {
                return Err(Fault::bad_request("Request body and URI mismatch"));
            }
            metadata::set(service, caller, &id, given.clone()).await?;
            value!({"meta": given})
        }
        Action::Remove(id, key) => {
            metadata::remove(service, caller, &id, &key).await?;
            return Ok(gone());
        }
    };
    Ok(json(StatusCode::OK, &shown))
}

/// 204, which names a media type all the same.
fn gone() -> Response<Body> {
    let mut response = no_content();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Deletes an image, unless Glance forbids it.
async fn delete(service: Arc<Service>, caller: Caller, id: String) -> Result<Response<Body>, Fault> {
    let forbidden = || Fault::forbidden("You are not allowed to delete the image.");
    let record = service.visible(&caller, &id).map_err(|_| Fault::no_image())?;
    caller.must_manage(&record, "delete_image").map_err(|_| forbidden())?;
    let store = Arc::clone(&service.store);
    let outcome = on_disk(move || store.delete(&id, |record| if record.protected { Err(()) } else { Ok(()) }));
    match outcome.await.map_err(Fault::of_listing)? {
        Ok(Ok(())) => Ok(gone()),
        Ok(Err(())) => Err(forbidden()),
        Err(Unwritten::Missing) => Err(Fault::no_image()),
        Err(other) => Err(Fault::of_listing(Refusal::from(other))),
    }
}
