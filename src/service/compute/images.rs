//! The Image service beside a Compute service, where bytes come from and which knows who sees an image.
//!
//! A cloud that has none in its catalogue has none. One that does not answer is a service that is down for a while: it is
//! looked for again whenever it is needed.

use tokio::sync::OnceCell;

use super::super::auth::Login;
use super::super::glance::Glance;
use super::super::remarks::Remarks;
use super::super::retry::Patience;
use super::super::{Kind, Result, ServiceError};
use crate::sync::{Mutex, lock};

/// The Image service of a cloud, as far as it was found.
pub(super) struct Images {
    login: Login,
    remarks: Remarks,
    patience: Patience,
    found: OnceCell<Glance>,
    /// Why the cloud has none, for good.
    absence: Option<ServiceError>,
    failures: Mutex<Failures>,
}

/// The tries to find it that failed.
#[derive(Default)]
struct Failures {
    count: u64,
    last: Option<ServiceError>,
}

impl Images {
    /// Looks for the Image service once.
    pub(super) async fn look(login: Login, remarks: Remarks, patience: Patience) -> Self {
        let (found, failures) = (OnceCell::new(), Mutex::default());
        let images = Self { login, remarks, patience, found, absence: None, failures };
        // Who mounts is not to wait for a service that is down: it is looked for again.
        let once = Patience { tries: 1, ..patience };
        match images.found.get_or_try_init(|| images.connect(once)).await {
            Ok(_) => images,
            Err(error) if is_absence(&error.kind) => {
                tracing::info!(%error, "there is no Image service beside the Compute service");
                Self { absence: Some(error), ..images }
            }
            Err(error) => {
                tracing::warn!(%error, "the Image service beside the Compute service does not answer; it is asked again");
                images
            }
        }
    }

    /// A cloud without one, because of this.
    pub(super) fn none(login: Login, patience: Patience, absence: ServiceError) -> Self {
        let (found, failures) = (OnceCell::new(), Mutex::default());
        Self { login, remarks: Remarks::default(), patience, found, absence: Some(absence), failures }
    }

    /// Why the cloud has none.
    pub(super) fn absence(&self) -> Option<&ServiceError> {
        self.absence.as_ref()
    }

    /// The Image service, looked for now where it did not answer before. Those who wait for one look that fails do not look
    /// again one after the other.
    ///
    /// # Errors
    /// Why there is none, or none that answers.
    pub(super) async fn get(&self) -> Result<&Glance> {
        if let Some(absence) = &self.absence {
            return Err(absence.clone());
        }
        let before = lock(&self.failures).count;
        let look = || async move {
            if let Some(error) = self.failed_since(before) {
                return Err(error);
            }
            let found = self.connect(self.patience).await;
            if let Err(error) = &found {
                let mut failures = lock(&self.failures);
                failures.count += 1;
                failures.last = Some(error.clone());
            }
            found
        };
        self.found.get_or_try_init(look).await
    }

    /// The Image service, where it was found already.
    pub(super) fn found(&self) -> Option<&Glance> {
        self.found.get()
    }

    fn failed_since(&self, before: u64) -> Option<ServiceError> {
        let failures = lock(&self.failures);
        failures.last.clone().filter(|_| failures.count > before)
    }

    async fn connect(&self, at_first: Patience) -> Result<Glance> {
        Glance::of_login(self.login.clone(), self.remarks.clone(), self.patience, at_first).await
    }
}

/// Whether a failure means that there is no such service: the settings and the catalogue name none, or what is at the
/// address that they name is something else.
fn is_absence(kind: &Kind) -> bool {
    matches!(kind, Kind::Configuration | Kind::NotOffered)
}
