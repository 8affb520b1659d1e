//! The service that a contract is checked against, and the people who may log in there.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;

use glancefs::config::shape::from_value;
use glancefs::config::yaml::from_yaml;
use glancefs::server::{Accounts, Behaviour, Server, Settings, WebAccess};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::person::Person;
use crate::web::Web;
use crate::wire::{Answer, Request};

/// Which service.
#[derive(Clone)]
pub(crate) enum Service {
    /// The embedded one, started for each contract on an empty folder.
    Embedded,
    /// The one that a clouds.yaml describes; it has a cloud for each of the people.
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

/// Nobody serves the web there.
const NOWHERE: &str = "127.0.0.1:443";

/// The port from which the real service fetches, as `scripts/real-openstack` configures it.
fn web_port() -> u16 {
    std::env::var("GLANCEFS_WEB_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(28080)
}

/// A turn at what one contract has at a time, in whatever process.
async fn turn(what: &str) -> File {
    let path = std::env::temp_dir().join(format!("glancefs-contracts-{what}.lock"));
    let file = File::options().create(true).write(true).truncate(false).open(path).unwrap();
    tokio::task::spawn_blocking(|| file.lock().map(|()| file).unwrap()).await.unwrap()
}

/// Listens on a port, as soon as no other program's test does.
async fn listener_on(port: u16) -> TcpListener {
    loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A service that runs.
pub(crate) struct Target {
    /// The origin of the Identity service, without `/v3`.
    pub(crate) keystone: String,
    people: Value,
    made: Mutex<Vec<(Person, String)>>,
    limits: Mutex<Option<File>>,
    embedded: Option<Embedded>,
}

/// The embedded service and the folder it works on, which goes with it.
struct Embedded {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Target {
    pub(crate) async fn open(service: &Service) -> Self {
        match service {
            Service::Real(file) => Self::real(file),
            Service::Embedded => Self::embedded().await,
        }
    }

    fn real(file: &PathBuf) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let clouds: Value = from_value(from_yaml(&text).unwrap()).unwrap();
        let people = clouds["clouds"].clone();
        let auth_url = people["demo"]["auth"]["auth_url"].as_str().unwrap().trim_end_matches('/');
        let keystone = auth_url.trim_end_matches("/v3").to_owned();
        Self { keystone, people, made: Mutex::default(), limits: Mutex::default(), embedded: None }
    }

    async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let web_download = WebAccess::OthersAnd(vec![NOWHERE.to_owned()]);
        let behaviour = Behaviour { web_download, ..Behaviour::default() };
        let accounts = Some(Accounts::example());
        let settings = Settings { accounts, behaviour, ..Settings::new(folder.path()) };
        let server = Server::start(settings).await.unwrap();
        let keystone = server.keystone_url().unwrap().trim_end_matches("/v3").to_owned();
        let projects = [("demo2", "demo"), ("reader", "demo")];
        let person = |name: &str| {
            let project = projects.iter().find(|(who, _)| *who == name).map_or(name, |(_, project)| project);
            (name.to_owned(), json!({"auth": {"username": name, "password": "secret", "project_name": project}}))
        };
        let people = ["admin", "demo", "demo2", "reader", "alt", "small"].into_iter().map(person).collect();
        let embedded = Some(Embedded { server, _folder: folder });
        Self { keystone, people, made: Mutex::default(), limits: Mutex::default(), embedded }
    }

    /// Somebody, logged in: `demo`, `demo2`, `reader` (one project); `alt`, `small`, `admin` (one each).
    pub(crate) async fn person(&self, name: &str) -> Person {
        let answer = self.login(&self.password_login(name)).await.is(201);
        Person::new(answer.header("x-subject-token").unwrap(), &answer.json()["token"])
    }

    /// `small`, whose project may hold 5 MiB in 3 images, one upload at a time; no other contract has it meanwhile.
    pub(crate) async fn limited(&self) -> Person {
        let turn = turn("small").await;
        self.limits.lock().unwrap().replace(turn);
        self.person("small").await
    }

    /// A web server that imports may fetch from.
    pub(crate) async fn web(&self) -> Web {
        let Some(embedded) = &self.embedded else {
            let turn = turn("web").await;
            return Web::new(listener_on(web_port()).await, Some(turn));
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let places = vec![NOWHERE.to_owned(), listener.local_addr().unwrap().to_string()];
        let web_download = WebAccess::OthersAnd(places);
        embedded.server.set_behaviour(Behaviour { web_download, ..embedded.server.behaviour() });
        Web::new(listener, None)
    }

    /// An address that imports may fetch from, and where nobody answers.
    pub(crate) fn nowhere() -> String {
        format!("http://{NOWHERE}/image")
    }

    /// What to post to log in as somebody, scoped to their project.
    pub(crate) fn password_login(&self, name: &str) -> Value {
        let auth = &self.people[name]["auth"];
        let domain = json!({"id": "default"});
        json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": auth["username"], "domain": domain, "password": auth["password"]}}},
            "scope": {"project": {"name": auth["project_name"], "domain": domain}}}})
    }

    /// Somebody's entry in a clouds.yaml.
    pub(crate) fn cloud(&self, name: &str) -> Value {
        let mut auth = self.people[name]["auth"].clone();
        auth["auth_url"] = json!(format!("{}/v3", self.keystone));
        auth["user_domain_id"] = json!("default");
        auth["project_domain_id"] = json!("default");
        json!({"auth_type": "password", "auth": auth, "identity_api_version": 3})
    }

    /// Has an image of `person` deleted when the contract ends.
    pub(crate) fn tidy(&self, person: &Person, id: &str) {
        self.made.lock().unwrap().push((person.clone(), id.to_owned()));
    }

    pub(crate) async fn login(&self, body: &Value) -> Answer {
        self.identity("POST", "/v3/auth/tokens").json(body).send().await
    }

    /// A request to the Identity service.
    pub(crate) fn identity(&self, method: &'static str, path: &str) -> Request {
        Request::new(&self.keystone, method, path).header("Accept", "application/json")
    }

    /// A new image of `person`, which is deleted when the contract ends.
    pub(crate) async fn image(&self, person: &Person, attributes: Value) -> Value {
        let image = person.post("/v2/images", &attributes).await.is(201).json();
        self.tidy(person, image["id"].as_str().unwrap());
        image
    }

    /// The id of a new image (raw, bare) of `person` without data.
    pub(crate) async fn empty(&self, person: &Person) -> String {
        let image = self.image(person, json!({"disk_format": "raw", "container_format": "bare"})).await;
        image["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new image (raw, bare) of `person` that holds `data`.
    pub(crate) async fn filled(&self, person: &Person, data: &[u8]) -> String {
        let id = self.empty(person).await;
        person.upload(&id, data).await.is(204);
        id
    }

    /// Deletes what the contract made. It was seen to work before the contract was kept; here it is only tidied up.
    pub(crate) async fn clean(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for (person, id) in made.into_iter().rev() {
            let path = format!("/v2/images/{id}");
            if person.request("DELETE", &path).send().await.status == 403 {
                let unprotect = json!([{"op": "replace", "path": "/protected", "value": false}]);
                let kind = "application/openstack-images-v2.1-json-patch";
                person.request("PATCH", &path).json(&unprotect).header("Content-Type", kind).send().await;
                person.request("DELETE", &path).send().await;
            }
        }
    }
}
