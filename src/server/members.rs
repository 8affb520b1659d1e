//! `GET /v2/images/{id}/members`: whom an image is shared with.

use super::errors::{ApiError, Refusal};
use super::record::{Record, Share, Visibility, shown_time};
use super::routes::json;
use super::service::{Caller, Service};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json as value};

/// Lists the members: all of them for the owner, themselves for a member.
pub(crate) fn list(service: &Service, caller: &Caller, id: &str) -> Result<Response<Body>, Refusal> {
    let missing = || ApiError::not_found(format!("Image {id} not found."));
    let record = service.visible(caller, id).map_err(|_| missing())?;
    if record.visibility != Visibility::Shared {
        let why = format!("Not allowed to list members for image {id}: Only shared images have members.");
        return Err(ApiError::forbidden(why).into());
    }
    let shown = record.members.iter().filter(|(member, _)| may_see(caller, &record, member));
    let members: Vec<Value> = shown.map(|(member, share)| shown_share(id, member, share)).collect();
    Ok(json(StatusCode::OK, &value!({"members": members, "schema": "/v2/schemas/members"})))
}

/// Shows one member.
pub(crate) fn show(service: &Service, caller: &Caller, id: &str, member: &str) -> Result<Response<Body>, Refusal> {
    let missing = || ApiError::not_found(format!("{member} not found in the member list of the image {id}."));
    let record = service.visible(caller, id).map_err(|_| missing())?;
    let shared = record.visibility == Visibility::Shared && may_see(caller, &record, member);
    match record.members.get(member).filter(|_| shared) {
        Some(share) => Ok(json(StatusCode::OK, &shown_share(id, member, share))),
        None => Err(missing().into()),
    }
}

fn may_see(caller: &Caller, record: &Record, member: &str) -> bool {
    caller.admin || caller.owns(record) || caller.project.as_deref() == Some(member)
}

fn shown_share(id: &str, member: &str, share: &Share) -> Value {
    value!({
        "member_id": member,
        "image_id": id,
        "status": share.status,
        "created_at": shown_time(share.created_at),
        "updated_at": shown_time(share.updated_at),
        "schema": "/v2/schemas/member",
    })
}
