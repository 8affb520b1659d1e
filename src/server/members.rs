//! `/v2/images/{id}/members`: whom an image is shared with.
//!
//! An image has members only while its visibility is `shared`; what it had before is kept meanwhile.

use super::create::{limit_words, read_json};
use super::errors::{ApiError, Refusal};
use super::record::{Record, Share, Visibility, shown_time};
use super::routes::{json, no_content, without_body};
use super::service::{Caller, Service, on_disk};
use super::store::{Unwritten, now};
use super::validate;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Glance's default.
const MOST_MEMBERS: usize = 128;

/// Lists the members: all of them for the owner, themselves for a member.
pub(crate) fn list(service: &Service, caller: &Caller, id: &str) -> Result<Response<Body>, Refusal> {
    let record = seen(service, caller, id)?;
    if record.visibility != Visibility::Shared {
        let why = format!("Not allowed to list members for image {id}: Only shared images have members.");
        return Err(ApiError::forbidden(why).into());
    }
    let mut shown: Vec<_> = record.members.iter().filter(|(member, _)| may_see(caller, &record, member)).collect();
    // In the order in which they came, as rows of a table lie.
    shown.sort_by_key(|(_, share)| share.created_at);
    let members: Vec<Value> =
        shown.into_iter().map(|(member, share)| shown_share(id, &value!(member), share)).collect();
    Ok(json(StatusCode::OK, &value!({"members": members, "schema": "/v2/schemas/members"})))
}

/// Shows one member.
pub(crate) fn show(service: &Service, caller: &Caller, id: &str, member: &str) -> Result<Response<Body>, Refusal> {
    let record = seen(service, caller, id)?;
    if record.visibility != Visibility::Shared {
        return Err(ApiError::not_found("Only shared images have members.").into());
    }
    let share = find(caller, &record, member)?;
    Ok(json(StatusCode::OK, &shown_share(id, &value!(member), share)))
}

/// Shares the image with a project, whose answer is pending then. Glance takes any word for a project.
pub(crate) async fn add(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let given = given(request.into_body(), "member", "Member to be added not specified", "image_id").await?;
    if is_empty(&given) {
        return Err(ApiError::bad_request("Member can't be empty").into());
    }
    let member = {
        let record = seen(&service, &caller, &id)?;
        must_be_shared(&record, "create")?;
        caller.must_manage(&record, "add_member")?;
        validate::storable("member", &given)?;
        // Glance fails over a list or an object.
        word(&given).ok_or_else(ApiError::internal)?
    };
    let (name, place) = (member.clone(), id.clone());
    let record = change(service, id.clone(), move |record| put_new(record, &place, &name)).await?;
    let share = record.members.get(&member).ok_or_else(ApiError::internal)?;
    Ok(json(StatusCode::OK, &shown_share(&id, &given, share)))
}

/// Writes down what a project answers. Only the project itself and administrators may.
pub(crate) async fn set_status(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    member: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let status = given(request.into_body(), "status", "Status not specified", "status").await?;
    {
        let record = seen(&service, &caller, &id)?;
        must_be_shared(&record, "update")?;
        find(&caller, &record, &member)?;
        if !caller.may_answer_for(&record) {
            return Err(ApiError::policy("modify_member").into());
        }
    }
    let known = status.as_str().filter(|word| matches!(*word, "pending" | "accepted" | "rejected"));
    let Some(status) = known.map(str::to_owned) else {
        let why = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
        return Err(ApiError::bad_request(why).into());
    };
    let (name, place) = (member.clone(), id.clone());
    let record = change(service, id.clone(), move |record| {
        let share = record.members.get_mut(&name).ok_or_else(|| no_member(&place, &name))?;
        (share.status, share.updated_at) = (status, now());
        Ok(())
    })
    .await?;
    let share = record.members.get(&member).ok_or_else(|| no_member(&id, &member))?;
    Ok(json(StatusCode::OK, &shown_share(&id, &value!(member), share)))
}

/// Takes the image back from a project.
pub(crate) async fn remove(
    service: Arc<Service>,
    caller: Caller,
    id: String,
    member: String,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    without_body(&request)?;
    {
        let record = seen(&service, &caller, &id)?;
        must_be_shared(&record, "delete")?;
        find(&caller, &record, &member)?;
        caller.must_manage(&record, "delete_member")?;
    }
    let place = id.clone();
    let taken = move |record: &mut Record| match record.members.remove(&member) {
        Some(_) => Ok(()),
        None => Err(no_member(&place, &member)),
    };
    change(service, id, taken).await.map(|_| no_content())
}

async fn change(
    service: Arc<Service>,
    id: String,
    change: impl FnOnce(&mut Record) -> Result<(), Refusal> + Send + 'static,
) -> Result<Arc<Record>, Refusal> {
    let (store, changed) = (Arc::clone(&service.store), id.clone());
    match on_disk(move || store.change_members(&changed, change)).await? {
        Ok(outcome) => outcome,
        Err(Unwritten::Missing) => Err(no_image(&id)),
        Err(other) => Err(other.into()),
    }
}

fn put_new(record: &mut Record, id: &str, member: &str) -> Result<(), Refusal> {
    if record.members.contains_key(member) {
        return Err(ApiError::conflict(format!("Member {member} is duplicated for image {id}")).into());
    }
    let count = record.members.len() + 1;
    if count > MOST_MEMBERS {
        let why = limit_words("members for this image", count, MOST_MEMBERS);
        return Err(ApiError::too_large(format!("Image member limit exceeded for image {id}: {why}:")).into());
    }
    let now = now();
    let share = Share { status: "pending".to_owned(), created_at: now, updated_at: now };
    record.members.insert(member.to_owned(), share);
    Ok(())
}

/// What a request's body holds under this name.
async fn given(body: Body, name: &str, absent: &str, example: &str) -> Result<Value, Refusal> {
    let Value::Object(mut body) = read_json(body).await? else {
        let why = format!("Expected a {name} in the form: {{\"{name}\": \"{example}\"}}");
        return Err(ApiError::bad_request(why).into());
    };
    body.remove(name).ok_or_else(|| ApiError::bad_request(absent).into())
}

/// What counts as nothing to Python.
fn is_empty(given: &Value) -> bool {
    match given {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// A value as the column of the database under Glance keeps it, which holds words.
fn word(given: &Value) -> Option<String> {
    match given {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn no_image(id: &str) -> Refusal {
    ApiError::not_found(format!("Image {id} not found.")).into()
}

fn no_member(id: &str, member: &str) -> Refusal {
    ApiError::not_found(format!("{member} not found in the member list of the image {id}.")).into()
}

fn seen(service: &Service, caller: &Caller, id: &str) -> Result<Arc<Record>, Refusal> {
    service.visible(caller, id).map_err(|_| no_image(id))
}

fn must_be_shared(record: &Record, what: &str) -> Result<(), Refusal> {
    if record.visibility == Visibility::Shared {
        return Ok(());
    }
    Err(ApiError::forbidden(format!("Not allowed to {what} members for image {}.", record.id)).into())
}

fn find<'a>(caller: &Caller, record: &'a Record, member: &str) -> Result<&'a Share, Refusal> {
    let found = record.members.get(member).filter(|_| may_see(caller, record, member));
    found.ok_or_else(|| no_member(&record.id, member))
}

fn may_see(caller: &Caller, record: &Record, member: &str) -> bool {
    caller.admin || caller.owns(record) || caller.project.as_deref() == Some(member)
}

/// `member` as the request gave it, which Glance hands back whatever it is.
fn shown_share(id: &str, member: &Value, share: &Share) -> Value {
    value!({
        "member_id": member,
        "image_id": id,
        "status": share.status,
        "created_at": shown_time(share.created_at),
        "updated_at": shown_time(share.updated_at),
        "schema": "/v2/schemas/member",
    })
}
