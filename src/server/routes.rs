//! From a request to its handler, and what every answer of the Image API carries.

use super::behaviour::Behaviour;
use super::compute;
use super::errors::{ApiError, Refusal};
use super::faults::{self, Fault};
use super::path::Resource;
use super::service::{Caller, Service};
use super::upload_fault::{Early, UploadFault};
use super::{actions, create, delete, download, info, list, members, schemas, show, tags, update, upload, versions};
use super::{import, stage, task};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The id of a request, which its answer and its import carry.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
pub(crate) struct Dropped;

/// Answers one request, with the faults and the latency that are set.
pub(crate) async fn answer(service: Arc<Service>, request: Request<Body>) -> Result<Response<Body>, Dropped> {
    let behaviour = service.behaviour();
    service.counters.requests.fetch_add(1, Ordering::Relaxed);
    if !behaviour.latency.is_zero() {
        tokio::time::sleep(behaviour.latency).await;
    }
    let address = service.compute.then(|| compute::Address::of(request.uri().path())).flatten();
    let resource = match address {
        Some(address) => Resource::Compute(address),
        None => Resource::of(request.uri().path())?,
    };
    let mut response = if is_upload(&request, &resource) {
        upload_answer(service, &behaviour, resource, request).await?
    } else {
        other_answer(service, &behaviour, resource, request).await?
    };
    if !behaviour.keep_alive {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn is_upload(request: &Request<Body>, resource: &Resource) -> bool {
    request.method() == Method::PUT && matches!(resource, Resource::File(_))
}

/// An upload, with the fault that it meets: the next one of the list, or one that the seed draws.
async fn upload_answer(
    service: Arc<Service>,
    behaviour: &Behaviour,
    resource: Resource,
    mut request: Request<Body>,
) -> Result<Response<Body>, Dropped> {
    let counters = &service.counters;
    counters.uploads.fetch_add(1, Ordering::Relaxed);
    let listed = behaviour.uploads.get(counters.upload_number.fetch_add(1, Ordering::Relaxed)).copied();
    let fault = listed.or_else(|| {
        behaviour.faults.and_then(|faults| faults.of_upload(counters.fault_number.fetch_add(1, Ordering::Relaxed)))
    });
    match fault.and_then(UploadFault::early) {
        Some(Early::Closed) => return Err(Dropped),
        Some(Early::Answered(response)) => return Ok(*response),
        None => {}
    }
    if let Some(fault) = fault {
        request.extensions_mut().insert(fault);
    }
    plain_answer(service, resource, request).await
}

async fn other_answer(
    service: Arc<Service>,
    behaviour: &Behaviour,
    resource: Resource,
    request: Request<Body>,
) -> Result<Response<Body>, Dropped> {
    let number = || service.counters.fault_number.fetch_add(1, Ordering::Relaxed);
    match behaviour.faults.and_then(|faults| faults.of(number())) {
        Some(Fault::Closed) => Err(Dropped),
        Some(fault) => match faults::replacement(fault) {
            Some(response) => Ok(response),
            None => Ok(faults::spoil(plain_answer(service, resource, request).await?, fault)),
        },
        None => plain_answer(service, resource, request).await,
    }
}

async fn plain_answer(
    service: Arc<Service>,
    resource: Resource,
    mut request: Request<Body>,
) -> Result<Response<Body>, Dropped> {
    let headers = request.headers().clone();
    match resource {
        _ if request.method() == Method::OPTIONS => Ok(Response::new(Body::empty())),
        Resource::Versions { chosen } => Ok(versions::list(&service, &headers, chosen)),
        Resource::Health => Ok(versions::health()),
        Resource::Compute(address) => Ok(compute::answer(service, address, request).await),
        resource => match service.caller(&headers) {
            // The answer comes from the middleware before the service proper, so it has no request id.
            Err(refusal) => rendered(refusal, &headers),
            Ok(caller) => {
                let request_id = RequestId(format!("req-{}", Uuid::new_v4()));
                request.extensions_mut().insert(request_id.clone());
                let is_head = request.method() == Method::HEAD;
                let mut response = match dispatch(service, caller, resource, request).await {
                    Ok(response) => response,
                    Err(refusal) => rendered(refusal, &headers)?,
                };
                if is_head {
                    *response.body_mut() = Body::empty();
                }
                mark(&mut response, &request_id);
                Ok(response)
            }
        },
    }
}

fn rendered(refusal: Refusal, headers: &HeaderMap) -> Result<Response<Body>, Dropped> {
    match refusal {
        Refusal::Answer(error) => Ok(error.render(headers)),
        Refusal::Drop => Err(Dropped),
    }
}

/// Gives an answer its request id.
fn mark(response: &mut Response<Body>, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

async fn dispatch(
    service: Arc<Service>,
    caller: Caller,
    resource: Resource,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let method = request.method().clone();
    if matches!((&method, &resource), (&Method::GET | &Method::DELETE, Resource::Image(_))) {
        without_body(&request)?;
    }
    match (&method, &resource) {
        (&Method::GET, Resource::Images) => list::list(&service, &caller, request.uri().query().unwrap_or("")),
        (&Method::POST, Resource::Images) => create::create(service, caller, request).await,
        (&Method::GET, Resource::Image(id)) => show::show(&service, &caller, id),
        (&Method::PATCH, Resource::Image(id)) => update::update(service, caller, id.clone(), request).await,
        (&Method::DELETE, Resource::Image(id)) => delete::delete(service, caller, id.clone()).await,
        (&Method::GET, Resource::File(id)) => download::download(service, caller, id, request).await,
        (&Method::PUT, Resource::File(id)) => upload::upload(service, caller, id.clone(), request).await,
        (&Method::GET, Resource::Members(id)) => members::list(&service, &caller, id),
        (&Method::GET, Resource::Member(id, member)) => members::show(&service, &caller, id, member),
        (&Method::POST, Resource::Members(id)) => members::add(service, caller, id.clone(), request).await,
        (&Method::PUT, Resource::Member(id, member)) => {
            members::set_status(service, caller, id.clone(), member.clone(), request).await
        }
        (&Method::DELETE, Resource::Member(id, member)) => {
            members::remove(service, caller, id.clone(), member.clone(), request).await
        }
        (&Method::PUT, Resource::Tag(id, tag)) => tags::add(service, caller, id.clone(), tag.clone(), request).await,
        (&Method::DELETE, Resource::Tag(id, tag)) => {
            tags::remove(service, caller, id.clone(), tag.clone(), request).await
        }
        (&Method::POST, Resource::Action(id, action)) => {
            actions::act(service, caller, id.clone(), *action, request).await
        }
        (&Method::GET, Resource::Schema(name)) => Ok(schemas::schema(name)),
        (&Method::GET, Resource::ImportMethods) => Ok(info::import_methods()),
        (&Method::GET, Resource::Stores) => Ok(info::stores()),
        (&Method::GET, Resource::StoresDetail) => info::stores_detail(&caller),
        (&Method::GET, Resource::Usage) => Ok(info::usage(&service, &caller)),
        (&Method::PUT, Resource::Stage(id)) => stage::stage(service, caller, id.clone(), request).await,
        (&Method::POST, Resource::Import(id)) => import::import(service, caller, id.clone(), request).await,
        (&Method::GET, Resource::TasksOf(id)) => task::of_image(&service, &caller, id),
        (_, Resource::Tasks | Resource::Task(_)) if !caller.admin => Err(ApiError::policy("tasks_api_access").into()),
        (&Method::GET, Resource::Tasks) => task::list(&service, request.uri().query().unwrap_or("")),
        (&Method::GET, Resource::Task(id)) => task::show(&service, id),
        (_, Resource::Root) => Ok(versions::redirect(&service, request.headers())),
        _ => Err(match resource.allow() {
            Some(allow) => ApiError::method(method.as_str(), allow).into(),
            None => ApiError::no_resource().into(),
        }),
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            ApiError::internal().render(&HeaderMap::new())
        }
    }
}

/// 400 for a body where none belongs.
pub(crate) fn without_body(request: &Request<Body>) -> Result<(), Refusal> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    Err(ApiError::bad_request("A body is not expected with this request.").into())
}

/// 204, as Glance answers what has nothing to say.
pub(crate) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
