//! Where a mount keeps what is written until the service has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest;

use super::connect::Connection;
use super::output::{Code, Failure};
use crate::config::folders::variable;
use crate::config::mount_settings;
use crate::hash::hexadecimal;
use crate::mount::life::EndSignals;
use crate::mount::{manager, point};
use crate::write::{Settings, Uploads};

/// How writing is done.
#[derive(Debug)]
pub(super) struct Writes {
    /// The folder of all that is kept; `None` where nothing tells one, and then nothing can be written.
    pub(super) folder: Option<PathBuf>,
    /// A close does not wait for the service.
    pub(super) behind: bool,
    /// How long the end of the mount waits for the queue.
    pub(super) drain: Duration,
}

impl Writes {
    /// Takes up what an earlier mount of the same service left, for the mount at `point`.
    pub(super) async fn open(&self, connection: &Connection, point: &Path) -> Result<Option<Arc<Uploads>>, Failure> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let settings = Settings::new(folder_of_all(folder).join(name_of(connection.place())));
        let settings = Settings { point: Some(point.to_owned()), ..settings };
        let settings = if self.behind { settings.behind() } else { settings };
        Uploads::open(settings, connection.service()).await.map(Some).map_err(Failure::with(Code::Usage))
    }

    /// In this folder or the usual one, for a program that writes one image and ends.
    pub(super) fn alone(folder: Option<&Path>) -> Result<Self, Failure> {
        let folder = mount_settings::state_folder(folder, &variable, point::is_root())
            .map_err(Failure::with(Code::Usage))?
            .ok_or_else(|| {
                Failure::new(Code::Usage, "nothing tells where to keep uploads: name it with --state-dir")
            })?;
        Ok(Self { folder: Some(folder), behind: false, drain: mount_settings::DRAIN })
    }

    /// The same without what others left: that is for mounts.
    pub(super) async fn open_alone(&self, connection: &Connection) -> Result<Option<Arc<Uploads>>, Failure> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let settings = Settings::new(folder_of_all(folder).join(name_of(connection.place())));
        let settings = Settings { takes_up: false, ..settings };
        Uploads::open(settings, connection.service()).await.map(Some).map_err(Failure::with(Code::Usage))
    }

    /// Waits for the queue, for so long and until a signal comes, and says what is left: the next mount goes on with it.
    pub(super) async fn finish(&self, uploads: &Uploads, signals: &mut EndSignals) {
        uploads.leave();
        if uploads.list().is_empty() {
            return;
        }
        tracing::info!("finishing uploads; a signal ends that at once");
        manager::status("finishing uploads");
        let left = tokio::select! {
            left = uploads.drain(self.drain) => left,
            () = signals.next() => uploads.drain(Duration::ZERO).await,
        };
        for upload in left {
            tracing::warn!(image = %upload.image, state = upload.state.word(), "an upload is left for the next mount");
        }
    }
}

/// Where the folders of all services are.
pub(super) fn folder_of_all(state: &Path) -> PathBuf {
    state.join("uploads")
}

/// The name of a service's and project's folder.
fn name_of(place: &str) -> String {
    let digest = digest::digest(&digest::SHA256, place.as_bytes());
    hexadecimal(digest.as_ref().get(..8).unwrap_or_default())
}
