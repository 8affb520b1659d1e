//! The projects that an image is shared with.

use serde_json::json;

use super::address::carries;
use super::{Glance, wire};
use crate::image::{Image, ImageId, Member, MemberStatus, Visibility};
use crate::service::http::{Answered, Call};
use crate::service::{ImageService, Kind, Result, ServiceError};

/// Lists the members that this project may see: all of them to the owner, itself to a member.
pub(super) async fn list(glance: &Glance, image: ImageId) -> Result<Vec<Member>> {
    let url = glance.url(&["images", image.as_str(), "members"])?;
    glance.get::<wire::Members>(format!("list the members of image {image}"), url).await.map(Vec::from)
}

/// Adds a member. A conflict says that the project is one already, perhaps by a try whose answer was lost.
pub(super) async fn add(glance: &Glance, image: ImageId, project: &str) -> Result<Member> {
    let action = format!("share image {image} with project {project}");
    let item = item(glance, image, project, &action)?;
    let url = glance.url(&["images", image.as_str(), "members"])?;
    let call = Call::post(&action, url, &json!({"member": project}));
    match glance.http.document(&call).await {
        Ok(body) => super::understood::<wire::MemberFields>(&action, &body).map(Member::from),
        Err(error) if error.kind == Kind::Conflict => {
            glance.get::<wire::MemberFields>(action, item).await.map(Member::from).map_err(|_| error)
        }
        Err(error) => Err(explained(glance, image, error).await),
    }
}

/// Removes a member. One that is gone after a try that may have succeeded was removed by that.
pub(super) async fn remove(glance: &Glance, image: ImageId, project: &str) -> Result<()> {
    let action = format!("take image {image} away from project {project}");
    let call = Call::delete(&action, item(glance, image, project, &action)?);
    let Answered { outcome, unsure } = glance.http.change(&call).await;
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if error.kind == Kind::NotFound && unsure => Ok(()),
        Err(error) => Err(explained(glance, image, error).await),
    }
}

/// Sets a member's status.
pub(super) async fn set(glance: &Glance, image: ImageId, project: &str, status: &MemberStatus) -> Result<Member> {
    let action = format!("set the status of member {project} of image {image} to '{status}'");
    let document = json!({"status": status.as_str()});
    let call = Call::put(&action, item(glance, image, project, &action)?, Some(&document));
    match glance.http.document(&call).await {
        Ok(body) => super::understood::<wire::MemberFields>(&action, &body).map(Member::from),
        Err(error) => {
            let own = glance.project.as_deref() == Some(project);
            let error = explained(glance, image, error).await;
            let reserved = error.kind == Kind::Forbidden && !own;
            Err(if reserved { with(error, "only the member project itself sets its status") } else { error })
        }
    }
}

/// The address of one member. The service takes any text for a project, and no path can name some of them.
fn item(glance: &Glance, image: ImageId, project: &str, action: &str) -> Result<reqwest::Url> {
    if !carries(project) {
        let words = format!("'{project}' is not the id of a project");
        return Err(ServiceError::new(Kind::Invalid, action).with_words(words));
    }
    glance.url(&["images", image.as_str(), "members", project])
}

/// The service refuses members of an image that is not shared as if a policy did (403), and one that it has as if there
/// were none (404). It stays forbidden, since no waiting helps, and the words say what does.
async fn explained(glance: &Glance, image: ImageId, error: ServiceError) -> ServiceError {
    if !matches!(error.kind, Kind::Forbidden | Kind::NotFound) {
        return error;
    }
    match glance.show(image).await {
        Ok(image) if is_ours(glance, &image) && image.visibility != Visibility::Shared => {
            let error = ServiceError { kind: Kind::Forbidden, ..error };
            error.with_words(format!(
                "its visibility is '{}', and only an image whose visibility is 'shared' has members; change that first",
                image.visibility.as_str()
            ))
        }
        _ => error,
    }
}

fn is_ours(glance: &Glance, image: &Image) -> bool {
    glance.project.is_none() || image.owner.as_deref() == glance.project.as_deref()
}

fn with(error: ServiceError, hint: &str) -> ServiceError {
    let told = error.words.as_deref().map(|words| words.trim_end_matches('.'));
    let words = told.map_or_else(|| hint.to_owned(), |told| format!("{told}; {hint}"));
    error.with_words(words)
}
