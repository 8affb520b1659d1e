//! The embedded Image service: Glance's API v2 on a folder of this machine, with a small Keystone beside it.
//!
//! It behaves as Glance 33 does, down to its words and its oddities, so that what is tested against it holds in a
//! cloud. It shares no code with [`crate::service`]: one misunderstanding must not hide in both.

mod actions;
mod behaviour;
mod compute;
mod create;
mod delete;
mod disk;
mod download;
mod errors;
mod faults;
mod fetch;
mod filter;
mod import;
mod importing;
mod info;
pub mod keystone;
mod list;
mod listener;
mod members;
mod patch;
mod path;
mod quota;
mod range;
mod receive;
mod record;
mod routes;
mod schemas;
mod sender;
mod service;
mod show;
mod sniff;
mod sort;
mod stage;
mod store;
mod tags;
mod task;
#[cfg(test)]
mod tests;
mod time_filter;
mod traffic;
mod update;
mod upload;
mod upload_fault;
mod validate;
mod versions;
mod web_access;

pub use behaviour::{Behaviour, Faults, Ranges};
pub use faults::Fault;
pub use keystone::accounts::{Accounts, AccountsError, Quota};
pub use traffic::Traffic;
pub use upload_fault::UploadFault;
pub use web_access::WebAccess;

use keystone::tokens::Identity;
use service::Service;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// What a service runs on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds the images; made where there is none.
    pub folder: PathBuf,
    /// Where the Image API listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where Keystone listens, if there are accounts; port 0 is any free one.
    pub keystone_listen: SocketAddr,
    /// Who may log in. Without, there is no login, and every caller has every right, as in Glance without Keystone.
    pub accounts: Option<Accounts>,
    /// Whether the Compute API's images are there too, on the same port under `/compute`.
    pub compute: bool,
    /// Whether the catalogue leads to the Image API. Where it does not, that is there all the same, for who knows where.
    pub image_listed: bool,
    /// How it behaves at first.
    pub behaviour: Behaviour,
}

impl Settings {
    /// A service without logins on any free port of the loopback interface.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            folder: folder.into(),
            listen: anywhere,
            keystone_listen: anywhere,
            accounts: None,
            compute: true,
            image_listed: true,
            behaviour: Behaviour::default(),
        }
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another service runs on the folder.
    #[error("another Image service is running on {}", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{} cannot be used as an image folder", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A running service. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    unreadable: Vec<(PathBuf, String)>,
    /// Closes when the folder is free.
    released: oneshot::Receiver<()>,
}

impl Server {
    /// Opens the folder and listens. Fails with [`ServerError::InUse`] where another service has the folder.
    pub async fn start(settings: Settings) -> Result<Self, ServerError> {
        let (holds, released) = oneshot::channel();
        let (store, unreadable) = open(settings.folder, holds).await?;
        for (path, why) in &unreadable {
            tracing::warn!(path = %path.display(), why, "an image record could not be read and was moved aside");
        }
        let (listener, url) = listen(settings.listen).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let identity = match settings.accounts {
            Some(accounts) => {
                let (listener, keystone) = listen(settings.keystone_listen).await?;
                let lifetime = settings.behaviour.token_lifetime;
                let image_url = settings.image_listed.then(|| url.clone());
                let compute_url = settings.compute.then(|| format!("{url}{}/v2.1", compute::PREFIX));
                let identity = Identity::new(accounts, format!("{keystone}/v3"), image_url, compute_url, lifetime);
                let identity = Arc::new(identity);
                let router = keystone::routes::router(Arc::clone(&identity));
                tasks.push(tokio::spawn(listener::serve_keystone(listener, router, stopped.clone())));
                Some(identity)
            }
            None => None,
        };
        let service = Arc::new(Service {
            store: Arc::new(store),
            identity,
            behaviour: RwLock::new(settings.behaviour),
            counters: Arc::default(),
            url,
            compute: settings.compute,
            stop: stopped.clone(),
        });
        tasks.push(tokio::spawn(listener::serve_images(listener, Arc::clone(&service), stopped)));
        Ok(Self { service, stop, tasks, unreadable, released })
    }

    /// The URL of the Image service, without `/v2`.
    pub fn url(&self) -> String {
        self.service.url.clone()
    }

    /// The URL of the Compute API with its version, if it is there.
    pub fn compute_url(&self) -> Option<String> {
        self.service.compute.then(|| format!("{}{}/v2.1", self.service.url, compute::PREFIX))
    }

    /// The URL of Keystone with `/v3`, if there are logins.
    pub fn keystone_url(&self) -> Option<String> {
        self.service.identity.as_ref().map(|identity| identity.url().to_owned())
    }

    /// Records that could not be read at the start: where they were moved to, and why.
    pub fn unreadable(&self) -> &[(PathBuf, String)] {
        &self.unreadable
    }

    /// Changes how the service behaves towards the requests that follow. A sequence of faults begins anew.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        if let Some(identity) = &self.service.identity {
            identity.set_lifetime(behaviour.token_lifetime);
        }
        self.service.counters.fault_number.store(0, Ordering::Relaxed);
        self.service.counters.upload_number.store(0, Ordering::Relaxed);
        *self.service.behaviour.write().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// How the service behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.service.behaviour()
    }

    /// What has passed through since the start.
    pub fn traffic(&self) -> Traffic {
        self.service.counters.read()
    }

    /// Makes every token that was issued so far invalid.
    pub fn revoke_all_tokens(&self) {
        if let Some(identity) = &self.service.identity {
            identity.revoke_all();
        }
    }

    /// Stops listening, cuts what is under way, and returns when the last upload is undone and the folder is free.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a listener ended badly");
            }
        }
        drop(self.service);
        // Nothing is ever sent: the channel closes when the last user of the folder has let go of it.
        let _ = self.released.await;
    }
}

async fn open(folder: PathBuf, holds: oneshot::Sender<()>) -> Result<(Store, Vec<(PathBuf, String)>), ServerError> {
    let path = folder.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, holds)).await;
    match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(opened) => Ok(opened),
        Err(source) if source.kind() == io::ErrorKind::WouldBlock => Err(ServerError::InUse(folder)),
        Err(source) => Err(ServerError::Folder { folder, source }),
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, String), ServerError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok((listener, url))
    };
    bound.await.map_err(|source| ServerError::Listen { address, source })
}
