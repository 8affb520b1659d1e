//! From what was asked for to a service that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Runtime;
use url::Url;

use super::output::{Code, Failure};
use crate::allocator;
use crate::config::{Backend, Cloud, OpenStackOptions, Source, Surroundings, Tls};
use crate::server::{Server, WebAccess};
use crate::service::compute::Compute;
use crate::service::glance::Glance;
use crate::service::{ImageService, Kind, ServiceError};

/// Where the images are, as far as it can be known without asking anybody.
#[derive(Debug)]
pub enum Target {
    /// A service somewhere.
    Service(Box<Cloud>),
    /// The embedded Image service on this folder, as this one of its APIs shows it.
    Folder(PathBuf, Backend),
}

impl Target {
    /// Who is asked first, as people know it.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder, _) => format!("the Image service on {}", folder.display()),
            Self::Service(cloud) => match &cloud.auth_url {
                Some(url) => format!("the cloud {} ({url})", cloud.name),
                None => format!("the service {}", cloud.name),
            },
        }
    }
}

/// A service, and the embedded server behind it if there is one.
pub struct Connection {
    service: Arc<dyn ImageService>,
    place: String,
    server: Option<Server>,
}

/// Finds the cloud or the folder that is meant, and the service of it. Reads files, asks no service.
pub fn target(source: Source, options: &OpenStackOptions, backend: Backend) -> Result<Target, Failure> {
    let cloud = |name: Option<&str>, region: Option<&str>| {
        let found = Cloud::resolve(&Surroundings::of_process(), options, name, region);
        found.map(|cloud| Target::Service(Box::new(Cloud { backend, ..cloud }))).map_err(Failure::with(Code::Usage))
    };
    options.check().map_err(Failure::with(Code::Usage))?;
    match source {
        Source::Cloud { name, region } => cloud(Some(&name), region.as_deref()),
        Source::Environment => cloud(None, None),
        Source::Url(url) => {
            let tls = options.tls(&Surroundings::of_process());
            let cloud = match backend {
                Backend::Image => Cloud::of_url(url, tls),
                Backend::Compute => Cloud::of_compute_url(url, tls),
            };
            Ok(Target::Service(Box::new(cloud)))
        }
        // Absolute, because a daemon leaves the folder it was started in.
        Source::Local(folder) => {
            let folder = std::path::absolute(&folder).map_err(Failure::with(Code::System))?;
            Ok(Target::Folder(folder, backend))
        }
    }
}

/// The source as the command line has it; without one, the environment tells.
pub fn source(text: Option<&str>) -> Result<Source, Failure> {
    text.map_or(Ok(Source::Environment), str::parse).map_err(Failure::with(Code::Usage))
}

/// The threads that wait for the network: as many as there are processors.
pub fn runtime() -> Result<Runtime, Failure> {
    // Before there are threads with heaps of their own.
    allocator::give_back_large_buffers();
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("glancefs").build();
    built.map_err(Failure::with(Code::System))
}

/// Logs in and makes sure that the service answers; for a folder, starts its service first. `visibility_may_change` says
/// whether a Compute service may make images private where it changes their properties.
pub async fn open(target: Target, visibility_may_change: bool) -> Result<Connection, Failure> {
    let (cloud, server, place) = match target {
        Target::Service(cloud) => {
            let place = format!("{} {:?}", cloud.name, cloud.scope);
            (*cloud, None, place)
        }
        Target::Folder(folder, backend) => {
            // Its address is another one each time.
            let place = place_of(&folder, backend);
            embedded(folder, backend).await.map(|(cloud, server)| (cloud, Some(server), place))?
        }
    };
    match connect(cloud, visibility_may_change).await {
        Ok((service, address)) => {
            let place = match (&server, service.project()) {
                (Some(_), _) => place,
                // However the cloud is called today.
                (None, Some(project)) => format!("{address} {project}"),
                (None, None) => format!("{address} {place}"),
            };
            Ok(Connection { service, place, server })
        }
        Err(error) => {
            stop(server).await;
            Err(Failure::new(code(&error.kind), error))
        }
    }
}

/// A login that is refused stays so until somebody changes it; whatever else it is may pass.
fn code(kind: &Kind) -> Code {
    match kind {
        Kind::Login | Kind::Unauthorized | Kind::Forbidden => Code::Usage,
        _ => Code::Mount,
    }
}

/// A folder's place. What was written through one of its APIs waits for that one: the other one might not take it.
fn place_of(folder: &Path, backend: Backend) -> String {
    match backend {
        Backend::Image => folder.display().to_string(),
        Backend::Compute => format!("{} (Compute API)", folder.display()),
    }
}

/// The service that is to show the images, and its address.
async fn connect(cloud: Cloud, visibility_may_change: bool) -> Result<(Arc<dyn ImageService>, String), ServiceError> {
    match cloud.backend {
        Backend::Image => {
            let glance = Glance::connect(cloud).await?;
            let address = glance.address().to_owned();
            Ok((Arc::new(glance), address))
        }
        Backend::Compute => {
            let compute = Compute::connect(cloud, visibility_may_change).await?;
            let address = compute.address().to_owned();
            Ok((Arc::new(compute), address))
        }
    }
}

async fn embedded(folder: PathBuf, backend: Backend) -> Result<(Cloud, Server), Failure> {
    // A new folder may be meant; a path that leads nowhere is a typing error.
    if let Some(parent) = folder.parent().filter(|parent| !parent.is_dir()) {
        let sentence =
            format!("the image folder {} cannot be made: there is no {}", folder.display(), parent.display());
        return Err(Failure::new(Code::Mount, sentence));
    }
    let mut settings = crate::server::Settings::new(folder);
    // It serves nobody but who mounts it, and reaches nothing that they do not reach themselves.
    settings.behaviour.web_download = WebAccess::Anywhere;
    let started = Server::start(settings).await;
    // Its causes belong to the sentence.
    let server = started.map_err(|error| Failure::new(Code::Mount, format!("{:#}", anyhow::Error::new(error))))?;
    let address = |text: String| text.parse().map_err(Failure::with(Code::System));
    let images = Cloud::of_url(address(server.url())?, Tls::default());
    let cloud = match (backend, server.compute_url()) {
        (Backend::Compute, Some(url)) => {
            let image_endpoint = images.image_endpoint;
            Cloud { image_endpoint, ..Cloud::of_compute_url(address(url)?, Tls::default()) }
        }
        _ => images,
    };
    Ok((cloud, server))
}

async fn stop(server: Option<Server>) {
    if let Some(server) = server {
        server.stop().await;
    }
}

impl Connection {
    /// The service.
    pub fn service(&self) -> Arc<dyn ImageService> {
        Arc::clone(&self.service)
    }

    /// What tells the service and the project from others, from one mount to the next.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The address of the embedded service, if there is one.
    pub fn address(&self) -> Option<Url> {
        self.server.as_ref().and_then(|server| server.url().parse().ok())
    }

    /// Ends the embedded service, if there is one.
    pub async fn close(self) {
        stop(self.server).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_absolute_before_the_working_folder_changes() {
        let source = source(Some("local:images")).unwrap();
        let target = target(source, &OpenStackOptions::default(), Backend::Image).unwrap();
        let Target::Folder(folder, Backend::Image) = target else { panic!("{target:?}") };
        assert_eq!(folder, std::env::current_dir().unwrap().join("images"));
    }

    #[test]
    fn what_waits_for_one_service_of_a_folder_does_not_wait_for_the_other() {
        let folder = Path::new("/images");
        assert_eq!(place_of(folder, Backend::Image), "/images");
        assert_ne!(place_of(folder, Backend::Compute), "/images");
    }

    #[test]
    fn an_address_is_that_of_the_service_that_is_asked_for() {
        let compute = |backend| {
            let source = source(Some("http://h/v2.1")).unwrap();
            let Target::Service(cloud) = target(source, &OpenStackOptions::default(), backend).unwrap() else {
                panic!()
            };
            (cloud.image_endpoint.is_some(), cloud.compute.endpoint.is_some())
        };
        assert_eq!(compute(Backend::Image), (true, false));
        assert_eq!(compute(Backend::Compute), (false, true));
    }

    #[test]
    fn what_is_no_source_is_wrong_usage() {
        assert_eq!(source(Some("local:")).unwrap_err().code, 1);
        assert!(source(None).is_ok());
    }
}
