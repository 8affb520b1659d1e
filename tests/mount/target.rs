//! The service that a promise is checked on, the people who use it, and the images that the test makes there.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use glancefs::config::shape::from_value;
use glancefs::config::yaml::from_yaml;
use glancefs::server::{Accounts, Behaviour, Ranges, Server, Settings, WebAccess};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use crate::Services;
use crate::mounted::Mount;
use crate::person::Person;
use crate::web::Web;
use crate::wire::Request;

/// Which service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// One in this process, whose store does this with ranges.
    Embedded(Ranges),
    /// The one that a clouds.yaml describes; it has a cloud for each of the people.
    Real(PathBuf),
}

impl Service {
    pub(crate) const EMBEDDED: [Self; 4] = [
        Self::Embedded(Ranges::Honoured),
        Self::Embedded(Ranges::Refused),
        Self::Embedded(Ranges::Ignored),
        Self::Embedded(Ranges::Whole206),
    ];

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Embedded(Ranges::Honoured) => "embedded",
            Self::Embedded(Ranges::Refused) => "embedded_refusing_ranges",
            Self::Embedded(Ranges::Ignored) => "embedded_ignoring_ranges",
            Self::Embedded(Ranges::Whole206) => "embedded_giving_all_for_a_range",
            Self::Real(_) => "real",
        }
    }

    /// Whether its catalogue has a Compute API that runs.
    pub(crate) fn has_compute(&self) -> bool {
        matches!(self, Self::Embedded(_)) || std::env::var_os("GLANCEFS_TEST_COMPUTE").is_some()
    }

    pub(crate) fn is_among(&self, services: Services) -> bool {
        match self {
            Self::Embedded(Ranges::Honoured) => true,
            Self::Embedded(_) => services == Services::EveryStore,
            Self::Real(_) => services != Services::Embedded,
        }
    }
}

/// A service that runs.
pub(crate) struct Target {
    runtime: Runtime,
    folder: TempDir,
    server: Mutex<Option<Server>>,
    /// The clouds.yaml that describes it.
    pub(crate) clouds: PathBuf,
    people: Value,
    made: Mutex<Vec<(Person, String)>>,
    /// What makes the names of this run its own in a service that others use too.
    mark: String,
}

impl Target {
    pub(crate) fn open(service: &Service) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (server, clouds) = match service {
            Service::Embedded(ranges) => embedded(&runtime, folder.path(), *ranges),
            Service::Real(file) => (None, file.clone()),
        };
        let text = std::fs::read_to_string(&clouds).unwrap_or_else(|why| panic!("{}: {why}", clouds.display()));
        let described: Value = from_value(from_yaml(&text).unwrap()).unwrap();
        Self {
            runtime,
            folder,
            server: Mutex::new(server),
            clouds,
            people: described["clouds"].clone(),
            made: Mutex::default(),
            mark: format!("{:08x}", fastrand::u32(..)),
        }
    }

    /// A file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this content.
    pub(crate) fn file_with(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.file(name), content).unwrap();
        self.file(name)
    }

    /// `word` as a name that no other run uses.
    pub(crate) fn name(&self, word: &str) -> String {
        format!("{word}-{}", self.mark)
    }

    /// Where the service runs, for others that listen.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits for what has to do with the network.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Does something with the embedded service.
    pub(crate) fn server<T>(&self, action: impl FnOnce(&Server) -> T) -> T {
        action(self.server.lock().unwrap().as_ref().unwrap())
    }

    /// The same, where it is embedded.
    pub(crate) fn if_embedded(&self, action: impl FnOnce(&Server)) {
        if let Some(server) = self.server.lock().unwrap().as_ref() {
            action(server);
        }
    }

    /// Changes how the embedded service behaves.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.server(|server| {
            let mut behaviour = server.behaviour();
            change(&mut behaviour);
            server.set_behaviour(behaviour);
        });
    }

    /// Stops the embedded service, and answers what it takes to start it again.
    pub(crate) fn stop(&self) -> Settings {
        let server = self.server.lock().unwrap().take().unwrap();
        let address = |url: &str| url.trim_start_matches("http://").trim_end_matches("/v3").parse().unwrap();
        let settings = Settings {
            folder: self.file("images"),
            listen: address(&server.url()),
            keystone_listen: address(&server.keystone_url().unwrap()),
            accounts: Some(Accounts::example()),
            compute: true,
            image_listed: true,
            behaviour: server.behaviour(),
        };
        self.wait(server.stop());
        self.made.lock().unwrap().clear();
        settings
    }

    /// Starts the embedded service again, where it was.
    pub(crate) fn start(&self, settings: Settings) {
        let server = self.wait(Server::start(settings)).unwrap();
        self.server.lock().unwrap().replace(server);
    }

    /// Gives the embedded service so many images more, that are years old and of `demo`. They are written into its folder,
    /// because requests would take minutes.
    pub(crate) fn fill(&self, count: usize) {
        let person = self.person("demo");
        let id = self.image(&person, &json!({"name": "many"}));
        let settings = self.stop();
        let images = settings.folder.join("images");
        let record = std::fs::read(images.join(&id).join("image.json")).unwrap();
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        for number in 0..count {
            let id = format!("{number:08x}-0000-4000-8000-000000000000");
            let time = format!("2019-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
            for (key, value) in [("id", &id), ("created_at", &time), ("updated_at", &time)] {
                assert!(record[key].is_string(), "the service's record has no {key}");
                record[key] = json!(value);
            }
            record["name"] = json!(format!("many-{number}"));
            std::fs::create_dir(images.join(&id)).unwrap();
            std::fs::write(images.join(&id).join("image.json"), record.to_string()).unwrap();
        }
        std::fs::remove_dir_all(images.join(id)).unwrap();
        self.start(settings);
    }

    /// A web server that the service may fetch these bytes from. A real one fetches from this machine on one port alone,
    /// which its settings name.
    pub(crate) fn web(&self, bytes: &'static [u8]) -> Web {
        let port = || std::env::var("GLANCEFS_WEB_PORT").map_or(28080, |port| port.parse().unwrap());
        let is_embedded = self.server.lock().unwrap().is_some();
        if is_embedded {
            self.behave(|behaviour| behaviour.web_download = WebAccess::Anywhere);
        }
        self.wait(Web::start((!is_embedded).then(port), bytes))
    }

    /// The `auth_url` of the clouds.
    pub(crate) fn auth_url(&self) -> String {
        self.people["demo"]["auth"]["auth_url"].as_str().unwrap().to_owned()
    }

    /// Somebody, logged in: `demo`, `reader` (one project); `alt` (another one); `admin` (a third one, administrator).
    pub(crate) fn person(&self, name: &str) -> Person {
        let auth = &self.people[name]["auth"];
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": auth["username"], "domain": domain, "password": auth["password"]}}},
            "scope": {"project": {"name": auth["project_name"], "domain": domain}}}});
        let origin = self.auth_url().trim_end_matches('/').trim_end_matches("/v3").to_owned();
        let request = Request::new(&origin, "POST", "/v3/auth/tokens").json(&body);
        let answer = self.wait(request.send()).is(201);
        Person::new(answer.header("x-subject-token").unwrap(), &answer.json()["token"])
    }

    /// A new image of `person`, without bytes, which is deleted when the test ends.
    pub(crate) fn image(&self, person: &Person, attributes: &Value) -> String {
        let mut document = json!({"disk_format": "raw", "container_format": "bare"});
        document.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
        let image = self.wait(person.post("/v2/images", &document)).is(201).json();
        let id = image["id"].as_str().unwrap().to_owned();
        self.tidy(person, &id);
        id
    }

    /// Has an image of `person` deleted when the test ends.
    pub(crate) fn tidy(&self, person: &Person, id: &str) {
        self.made.lock().unwrap().push((person.clone(), id.to_owned()));
    }

    /// Deletes now what the end of the test would.
    pub(crate) fn tidy_up(&self) {
        for (person, id) in std::mem::take(&mut *self.made.lock().unwrap()).into_iter().rev() {
            self.runtime.block_on(person.request("DELETE", &format!("/v2/images/{id}")).try_send());
        }
    }

    /// The id of a new image of `person` that holds `data`.
    pub(crate) fn filled(&self, person: &Person, attributes: &Value, data: &[u8]) -> String {
        let id = self.image(person, attributes);
        self.wait(person.upload(&id, data)).is(204);
        id
    }

    /// The id of a new image of `person` that holds what a file holds, however large it is.
    pub(crate) fn filled_from(&self, person: &Person, attributes: &Value, file: &Path) -> String {
        let id = self.image(person, attributes);
        let length = file.metadata().unwrap().len();
        let request = person.put_file(&id).header("Content-Length", &length.to_string());
        self.wait(async {
            let mut stream = request.begin().await;
            let mut file = File::open(file).unwrap();
            let mut piece = vec![0; 1 << 20];
            while let count @ 1.. = file.read(&mut piece).unwrap() {
                stream.write_all(&piece[..count]).await.unwrap();
            }
            request.end(stream).await.unwrap()
        })
        .is(204);
        id
    }

    /// Deletes an image now.
    pub(crate) fn delete(&self, person: &Person, id: &str) {
        self.wait(person.delete(id)).is(204);
        self.made.lock().unwrap().retain(|(_, made)| made != id);
    }

    /// A clouds.yaml in which `who` is described a little differently.
    pub(crate) fn clouds_with(&self, who: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut people = self.people.clone();
        change(&mut people[who]);
        self.file_with("changed.yaml", json!({"clouds": people}).to_string())
    }

    /// A mount of the cloud `who`.
    pub(crate) fn mount(&self, who: &str) -> Mount {
        self.mount_with(who, &[])
    }

    /// A mount of the cloud `who` with more options.
    pub(crate) fn mount_with(&self, who: &str, options: &[&str]) -> Mount {
        Mount::of(&self.clouds, who, options)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if std::thread::panicking() && self.server.lock().is_ok_and(|server| server.is_some()) {
            // The folder goes with the service; tidying up could only hide the failure behind another one.
            return;
        }
        self.tidy_up();
    }
}

/// A service in `folder` with logins, and the clouds.yaml that describes it.
fn embedded(runtime: &Runtime, folder: &Path, ranges: Ranges) -> (Option<Server>, PathBuf) {
    let mut settings = Settings::new(folder.join("images"));
    settings.accounts = Some(Accounts::example());
    settings.behaviour.ranges = ranges;
    let server = runtime.block_on(Server::start(settings)).unwrap();
    let keystone = server.keystone_url().unwrap();
    let clouds: serde_json::Map<_, _> = [("demo", "demo"), ("reader", "demo"), ("alt", "alt"), ("admin", "admin")]
        .map(|(person, project)| (person.to_owned(), cloud(&keystone, person, project)))
        .into_iter()
        .collect();
    let file = folder.join("clouds.yaml");
    // JSON is YAML.
    std::fs::write(&file, json!({"clouds": clouds}).to_string()).unwrap();
    (Some(server), file)
}

fn cloud(keystone: &str, person: &str, project: &str) -> Value {
    json!({"auth": {"auth_url": keystone, "username": person, "password": "secret", "project_name": project,
        "user_domain_id": "default", "project_domain_id": "default"}})
}
