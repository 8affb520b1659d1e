//! What every request handler shares, and who calls.

use super::behaviour::Behaviour;
use super::errors::{ApiError, Refusal};
use super::keystone::accounts::Quota;
use super::keystone::tokens::Identity;
use super::record::{Record, Visibility};
use super::store::{Store, Unwritten};
use super::traffic::Counters;
use axum::http::HeaderMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// What every request handler shares.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Arc<Store>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) behaviour: RwLock<Behaviour>,
    pub(crate) counters: Arc<Counters>,
    /// This service's own URL, without `/v2`.
    pub(crate) url: String,
    /// Whether it offers the Compute API too.
    pub(crate) compute: bool,
    /// Tells imports to end.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Service {
    pub(crate) fn behaviour(&self) -> Behaviour {
        self.behaviour.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who sends these headers; 401 for who does not show a valid token.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(identity) = &self.identity else {
            return Ok(Caller::anyone(self.behaviour().quota));
        };
        let token = headers.get("x-auth-token").and_then(|value| value.to_str().ok());
        match token.and_then(|token| identity.caller(token)) {
            Some(caller) => Ok(caller),
            None => Err(ApiError::unauthorized(identity.url()).into()),
        }
    }

    /// The image with this id, if the caller may see it; 404 in Glance's words otherwise.
    pub(crate) fn visible(&self, caller: &Caller, id: &str) -> Result<Arc<Record>, Refusal> {
        let found = self.store.get(id).filter(|record| caller.may_see(record));
        found.ok_or_else(|| ApiError::no_image(id).into())
    }
}

/// Who calls, and with what rights.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The id of the user, where there are logins.
    pub(crate) user: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) admin: bool,
    /// Has the member role; who has not may only look.
    pub(crate) member: bool,
    /// The limits of the caller's project, where limits are kept.
    pub(crate) quota: Option<Quota>,
}

impl Caller {
    /// The one caller of a service without logins.
    fn anyone(quota: Option<Quota>) -> Self {
        Self { user: None, project: None, admin: true, member: true, quota }
    }

    pub(crate) fn owns(&self, record: &Record) -> bool {
        self.project.is_some() && self.project == record.owner
    }

    /// The caller's share in an image that is shared with members.
    pub(crate) fn share_status<'a>(&self, record: &'a Record) -> Option<&'a str> {
        let project = self.project.as_ref().filter(|_| record.visibility == Visibility::Shared)?;
        record.members.get(project).map(|share| share.status.as_str())
    }

    /// Whether the caller may say what a project thinks of an image that is shared with it: an administrator may, and
    /// the project itself.
    pub(crate) fn may_answer_for(&self, record: &Record) -> bool {
        self.admin || (self.member && !self.owns(record) && self.share_status(record).is_some())
    }

    pub(crate) fn may_see(&self, record: &Record) -> bool {
        self.admin
            || matches!(record.visibility, Visibility::Public | Visibility::Community)
            || self.owns(record)
            || self.share_status(record).is_some()
    }

    /// 403 unless the caller may do this to the image; the action is named as in the policy.
    pub(crate) fn must_manage(&self, record: &Record, action: &str) -> Result<(), Refusal> {
        if self.admin || (self.member && self.owns(record)) { Ok(()) } else { Err(ApiError::policy(action).into()) }
    }
}

/// Runs what blocks on the disk off the threads that serve connections.
pub(crate) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal().into())
}

/// A failure of the disk, told to the operator's log, and to the caller as Glance's 500.
pub(crate) fn disk_failed(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "the image folder could not be written");
    ApiError::internal().into()
}

impl From<Unwritten> for Refusal {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Disk(error) => disk_failed(&error),
            Unwritten::Missing => ApiError::no_resource().into(),
            Unwritten::Taken => ApiError::conflict("The image already exists.").into(),
        }
    }
}
