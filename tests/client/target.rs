//! The service that a contract is checked against, and what the contract makes there.

use std::fmt::Write;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

use glancefs::config::{AuthMethod, Cloud, OpenStackOptions, Surroundings};
use glancefs::image::ImageId;
use glancefs::server::{Accounts, Behaviour, Server, Settings, WebAccess};
use glancefs::service::auth::Login;
use glancefs::service::compute::Compute;
use glancefs::service::glance::Glance;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::person::Person;
use crate::web::Web;
use crate::wire::Request;

/// Which service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// The embedded one, started for each contract on an empty folder.
    Embedded,
    /// The one that a clouds.yaml describes; it has the clouds `demo`, `reader`, `alt`, `small` and `system`.
    Real(PathBuf),
}

impl Service {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Real(_) => "real",
        }
    }

    /// Whether its catalogue has a Compute API that runs.
    pub(crate) fn has_compute(&self) -> bool {
        matches!(self, Self::Embedded) || std::env::var_os("GLANCEFS_TEST_COMPUTE").is_some()
    }
}

/// A service that runs.
pub(crate) struct Target {
    clouds: String,
    made: Mutex<Vec<(Person, String)>>,
    limits: Mutex<Option<File>>,
    embedded: Option<(Server, tempfile::TempDir)>,
}

impl Target {
    pub(crate) async fn open(service: &Service) -> Self {
        let (clouds, embedded) = match service {
            Service::Real(file) => (std::fs::read_to_string(file).unwrap(), None),
            Service::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let behaviour = Behaviour { web_download: WebAccess::Anywhere, ..Behaviour::default() };
                let accounts = Some(Accounts::example());
                let settings = Settings { accounts, behaviour, ..Settings::new(folder.path()) };
                let server = Server::start(settings).await.unwrap();
                (clouds_of(&server.keystone_url().unwrap()), Some((server, folder)))
            }
        };
        Self { clouds, made: Mutex::default(), limits: Mutex::default(), embedded }
    }

    /// The cloud of that name.
    pub(crate) fn cloud(&self, name: &str) -> Cloud {
        let text = self.clouds.clone();
        let around = Surroundings {
            variables: [("OS_CLIENT_CONFIG_FILE".to_owned(), "/clouds.yaml".to_owned())].into(),
            current_dir: "/nonexistent".into(),
            read: Box::new(move |path| match path.to_str() {
                Some("/clouds.yaml") => Ok(text.clone()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            }),
        };
        Cloud::resolve(&around, &OpenStackOptions::default(), Some(name), None).unwrap()
    }

    /// Our client, logged in to that cloud.
    pub(crate) async fn glance(&self, cloud: &str) -> Glance {
        Glance::connect(self.cloud(cloud)).await.unwrap()
    }

    /// Our client of the Compute service, logged in to that cloud.
    pub(crate) async fn compute(&self, cloud: &str) -> Compute {
        Compute::connect(self.cloud(cloud), false).await.unwrap()
    }

    /// The same, which may make images private.
    pub(crate) async fn compute_allowed(&self, cloud: &str) -> Compute {
        Compute::connect(self.cloud(cloud), true).await.unwrap()
    }

    /// The same where the catalogue has no Image service, as far as the client knows.
    pub(crate) async fn compute_alone(&self, cloud: &str, visibility_may_change: bool) -> Compute {
        let cloud = Cloud { image_service_type: "image_of_others".to_owned(), ..self.cloud(cloud) };
        Compute::connect(cloud, visibility_may_change).await.unwrap()
    }

    /// The person of that cloud, at the API without anything of the crate's client.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let cloud = self.cloud(name);
        // Whose project it is our own login knows; the token is asked for apart.
        let project = Login::new(cloud.clone()).unwrap().token().await.unwrap().project_id().unwrap().to_owned();
        let AuthMethod::Password { password, .. } = &cloud.auth else { panic!("no password") };
        let user = json!({"name": name, "domain": {"id": "default"}, "password": password.expose_secret()});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": {"project": {"id": project}}}});
        let origin = cloud.auth_url.unwrap().origin().ascii_serialization();
        let answer = Request::new(&origin, "POST", "/v3/auth/tokens").json(&body).send().await.is(201);
        Person::new(answer.header("x-subject-token").unwrap(), &answer.json()["token"])
    }

    /// The id of a new image of `person`, which is deleted when the contract ends.
    pub(crate) async fn image(&self, person: &Person, attributes: &Value) -> ImageId {
        let image = person.post("/v2/images", attributes).await.is(201).json();
        let id = image["id"].as_str().unwrap().parse().unwrap();
        self.remember(person, id);
        id
    }

    /// Lets an image of `person` be deleted when the contract ends.
    pub(crate) fn remember(&self, person: &Person, image: ImageId) {
        self.made.lock().unwrap().push((person.clone(), image.to_string()));
    }

    /// Makes sure that no other contract, of the wire neither, has the project `small` meanwhile. It may hold 5 MiB.
    pub(crate) async fn limited(&self) {
        let path = std::env::temp_dir().join("glancefs-contracts-small.lock");
        let file = File::options().create(true).write(true).truncate(false).open(path).unwrap();
        let file = tokio::task::spawn_blocking(|| file.lock().map(|()| file).unwrap()).await.unwrap();
        self.limits.lock().unwrap().replace(file);
    }

    /// A web server that the service may fetch these bytes from. A real one fetches from this machine on one port alone
    /// (`scripts/real-openstack`).
    pub(crate) async fn web(&self, bytes: &'static [u8]) -> Web {
        let port = || std::env::var("GLANCEFS_WEB_PORT").map_or(28080, |port| port.parse().unwrap());
        Web::start(self.embedded.is_none().then(port), bytes).await
    }

    /// Deletes what the contract made.
    pub(crate) async fn clean(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for (person, id) in made {
            person.request("DELETE", &format!("/v2/images/{id}")).send().await;
        }
    }
}

fn clouds_of(keystone: &str) -> String {
    let mut clouds = "clouds:\n".to_owned();
    for (cloud, user, scope) in [
        ("demo", "demo", "project_name: demo, project_domain_id: default"),
        ("reader", "reader", "project_name: demo, project_domain_id: default"),
        ("alt", "alt", "project_name: alt, project_domain_id: default"),
        ("small", "small", "project_name: small, project_domain_id: default"),
        ("system", "admin", "system_scope: all"),
    ] {
        let auth = format!(
            "{{auth_url: \"{keystone}\", username: {user}, password: secret, user_domain_id: default, {scope}}}"
        );
        writeln!(clouds, "  {cloud}: {{region_name: RegionOne, auth: {auth}}}").unwrap();
    }
    clouds
}
