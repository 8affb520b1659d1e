//! What four people may do with an image in each of its states: one of its own project, one who may only read there, one
//! of another project that it is shared with, and an administrator.

mod action;
mod attempt;
pub(crate) mod modes;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::mounted::Mount;
use crate::person::Person;
use crate::target::Target;
use action::{ACTIONS, Action};
use attempt::{Try, outcome_of};

crate::promises![Both:
    who_may_do_what_in_which_status,
    who_may_do_what_while_an_import_that_failed_leaves_it_importing,
];

/// What comes of each action, by the status of the image and by who tries it: `demo` belongs to the image's project,
/// `reader` does too and has the role reader alone, `alt` belongs to another project, which is a member of the image, and
/// `admin` is an administrator in a third one. `shared` is no failure and changes nothing: the image is shared already, and
/// the status of a member is its own to set.
const TABLE: &str = "
                   | queued                      | active                      | deactivated                 |
                   | demo   reader alt    admin  | demo   reader alt    admin  | demo   reader alt    admin  |
read data          | ok     ok     ok     ok     | ok     EACCES ok     ok     | EACCES EACCES EACCES EACCES |
read metadata.json | ok     ok     ok     ok     | ok     ok     ok     ok     | ok     ok     ok     ok     |
read attributes    | ok     ok     ok     ok     | ok     ok     ok     ok     | ok     ok     ok     ok     |
set a property     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
add a property     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
touch a property   | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
remove a property  | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
add a tag          | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
remove a tag       | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
edit min_ram       | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
edit size          | EINVAL EINVAL EPERM  EINVAL | EINVAL EINVAL EPERM  EINVAL | EINVAL EINVAL EPERM  EINVAL |
edit owner         | EPERM  EPERM  EPERM  ok     | EPERM  EPERM  EPERM  ok     | EPERM  EPERM  EPERM  ok     |
make it public     | EPERM  EPERM  EPERM  ok     | EPERM  EPERM  EPERM  ok     | EPERM  EPERM  EPERM  ok     |
deactivate         | EBUSY  EPERM  EPERM  EBUSY  | ok     EPERM  EPERM  ok     | ok     ok     ok     ok     |
reactivate         | EBUSY  EPERM  EPERM  EBUSY  | ok     ok     ok     ok     | ok     EPERM  EPERM  ok     |
add a member       | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
remove a member    | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
accept it          | shared EPERM  ok     ok     | shared EPERM  ok     ok     | shared EPERM  ok     ok     |
write data         | ok     EPERM  EPERM  ok     | EPERM  EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  EPERM  |
import a URL       | ok     EPERM  EPERM  ok     | EBUSY  EBUSY  EBUSY  EBUSY  | EBUSY  EBUSY  EBUSY  EBUSY  |
rmdir, protected   | EPERM  EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  EPERM  |
rmdir              | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     | ok     EPERM  EPERM  ok     |
";

/// The same of an image that somebody gave the service other bytes for than it was to hold: the import of these failed.
const IMPORTING: &str = "
                   | importing                   |
                   | demo   reader alt    admin  |
read data          | ok     ok     ok     ok     |
read metadata.json | ok     ok     ok     ok     |
read attributes    | ok     ok     ok     ok     |
set a property     | ok     EPERM  EPERM  ok     |
add a property     | ok     EPERM  EPERM  ok     |
touch a property   | ok     EPERM  EPERM  ok     |
remove a property  | ok     EPERM  EPERM  ok     |
add a tag          | ok     EPERM  EPERM  ok     |
remove a tag       | ok     EPERM  EPERM  ok     |
edit min_ram       | ok     EPERM  EPERM  ok     |
edit size          | EINVAL EINVAL EPERM  EINVAL |
edit owner         | EPERM  EPERM  EPERM  ok     |
make it public     | EPERM  EPERM  EPERM  ok     |
deactivate         | EBUSY  EPERM  EPERM  EBUSY  |
reactivate         | EBUSY  EPERM  EPERM  EBUSY  |
add a member       | ok     EPERM  EPERM  ok     |
remove a member    | ok     EPERM  EPERM  ok     |
accept it          | shared EPERM  ok     ok     |
write data         | EBUSY  EBUSY  EBUSY  EBUSY  |
import a URL       | EBUSY  EBUSY  EBUSY  EBUSY  |
rmdir, protected   | EPERM  EPERM  EPERM  EPERM  |
rmdir              | ok     EPERM  EPERM  ok     |
";

/// Who, in the order in which they try: what the owner may do comes last, since it may leave nothing to try for others.
const ROLES: [&str; 4] = ["alt", "reader", "admin", "demo"];

/// What leaves an image that nobody else can try it with.
fn happens_once(action: &str, status: &str) -> bool {
    match action {
        "write data" | "import a URL" => status == "queued",
        other => other == "rmdir",
    }
}

/// What the image holds, and what `write data` writes.
const BYTES: &[u8] = b"what is in the image";

/// What is not to be set back by setting it.
const SERVICES_OWN: [&str; 3] = ["status", "updated_at", "stores"];

/// An image as the service shows it to an administrator, whoever owns it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    /// Null where there is none.
    image: Value,
    /// The members and their statuses.
    members: Map<String, Value>,
}

impl Seen {
    fn of(target: &Target, by: &Person, id: &str) -> Self {
        let mut seen = Self { image: Value::Null, members: Map::new() }.then(target, by, id);
        let list = target.wait(by.get(&format!("/v2/images/{id}/members"))).is(200).json();
        let members = list["members"].as_array().unwrap().iter();
        let status = |member: &Value| (member["member_id"].as_str().unwrap().to_owned(), member["status"].clone());
        seen.members = members.map(status).collect();
        seen
    }

    /// The image later, where its members can be no others.
    fn then(&self, target: &Target, by: &Person, id: &str) -> Self {
        let answer = target.wait(by.get(&format!("/v2/images/{id}")));
        let image = if answer.status == 404 { Value::Null } else { answer.is(200).json() };
        Self { image, members: self.members.clone() }
    }
}

/// The outcome that the tables have.
fn expected(action: &str, status: &str, role: &str) -> &'static str {
    let statuses = |table: &'static str| table.lines().nth(1).unwrap().split('|').map(str::trim);
    let has = |table: &&'static str| statuses(table).any(|known| known == status);
    let table = [TABLE, IMPORTING].into_iter().find(has).unwrap();
    let place = statuses(table).position(|known| known == status).unwrap();
    let cells = |line: &'static str| line.split('|').nth(place).unwrap().split_whitespace();
    let mut lines = table.lines().skip(2);
    let column = cells(lines.next().unwrap()).position(|word| word == role).unwrap();
    let line = lines.find(|line| line.split('|').next().unwrap().trim() == action).unwrap();
    cells(line).nth(column).unwrap()
}

/// The images and the people, and what was found that differs from the table.
struct Scene<'a> {
    target: &'a Target,
    mounts: [(&'static str, Mount); 4],
    owner: Person,
    administrator: Person,
    member: Person,
    source: PathBuf,
    /// What `import a URL` writes.
    url: String,
    differences: Vec<String>,
}

impl Scene<'_> {
    /// A new image, which is shared with the other project.
    fn image(&self, status: &str, word: &str) -> String {
        let attributes = json!({"name": self.target.name(word), "visibility": "shared", "set": "old", "tags": ["set"]});
        let id = match status {
            "queued" => self.target.image(&self.owner, &attributes),
            "importing" => self.stranded(&attributes),
            _ => self.target.filled(&self.owner, &attributes, BYTES),
        };
        self.share(&id, &self.member.project);
        if status == "deactivated" {
            self.target.wait(self.owner.act(&id, "deactivate")).is(204);
        }
        id
    }

    /// One that stays `importing`, because what was staged is not in its format.
    fn stranded(&self, attributes: &Value) -> String {
        let mut attributes = attributes.clone();
        attributes["disk_format"] = json!("qcow2");
        let id = self.target.image(&self.owner, &attributes);
        self.target.wait(self.owner.stage(&id, BYTES)).is(204);
        self.target.wait(self.owner.import(&id, &json!({"method": {"name": "glance-direct"}}))).is(202);
        assert_eq!(self.target.wait(self.owner.settled(&id))["status"], "importing");
        id
    }

    fn share(&self, id: &str, project: &str) {
        let members = format!("/v2/images/{id}/members");
        self.target.wait(self.owner.post(&members, &json!({"member": project}))).is(200);
    }

    fn patch(&self, id: &str, operations: Vec<Value>) {
        let request = self.administrator.request("PATCH", &format!("/v2/images/{id}"));
        let request = request.body(Value::from(operations).to_string().as_bytes());
        let request = request.header("Content-Type", "application/openstack-images-v2.1-json-patch");
        self.target.wait(request.send()).is(200);
    }

    /// Everybody tries everything with one image.
    fn play(&mut self, status: &str) {
        let id = self.image(status, status);
        let mut before = Seen::of(self.target, &self.administrator, &id);
        for action in &ACTIONS {
            let is_protected = action.name == "rmdir, protected";
            if is_protected {
                self.patch(&id, vec![json!({"op": "replace", "path": "/protected", "value": true})]);
                before = Seen::of(self.target, &self.administrator, &id);
            }
            for role in ROLES {
                let may_leave_nothing =
                    happens_once(action.name, status) && expected(action.name, status, role) == "ok";
                if may_leave_nothing {
                    let other = self.image(status, action.file);
                    let seen = Seen::of(self.target, &self.administrator, &other);
                    self.attempt(action, status, role, &other, &seen);
                } else {
                    let after = self.attempt(action, status, role, &id, &before);
                    let is_as_it_was = after == before || after.image.is_null();
                    before = if is_as_it_was { after } else { self.restore(&id, &before, &after) };
                }
            }
            if is_protected {
                self.patch(&id, vec![json!({"op": "replace", "path": "/protected", "value": false})]);
                before = Seen::of(self.target, &self.administrator, &id);
            }
        }
    }

    /// One cell of the table. Answers the image as it is afterwards.
    fn attempt(&mut self, action: &Action, status: &str, role: &str, id: &str, before: &Seen) -> Seen {
        let mount = &self.mounts.iter().find(|(name, _)| *name == role).unwrap().1;
        let folder = mount.path("by-id").join(id);
        let file = folder.join(action.file.replace("$ALT", &self.member.project));
        let file = if action.file.is_empty() { folder.clone() } else { file };
        let it = Try { mount, id, folder, file, source: &self.source, url: &self.url, image: &before.image };
        let (mut outcome, wanted) = (outcome_of(&(action.does)(&it)), expected(action.name, status, role));
        let sentence = if outcome == "ok" { String::new() } else { it.sentence() };
        let is_shared = action.file.starts_with("members/");
        let look = || {
            if is_shared {
                Seen::of(self.target, &self.administrator, id)
            } else {
                before.then(self.target, &self.administrator, id)
            }
        };
        let after = look();
        if is_shared && outcome == "ok" && after == *before {
            outcome = "shared".into();
        }
        let mut wrong = Vec::new();
        if outcome != wanted {
            wrong.push(format!("is {outcome} and not {wanted}"));
        }
        if outcome == "ok" {
            if !(action.shows)(&after) {
                wrong.push(format!("is not to be seen in {}", after.image));
            }
        } else if outcome != "shared" {
            let tried = action.name.rsplit(' ').next().unwrap();
            if !(sentence.contains(id) || sentence.contains(tried)) {
                wrong.push(format!("has the sentence '{sentence}'"));
            }
            if after != *before {
                wrong
                    .push(format!("made {} {:?} of {} {:?}", after.image, after.members, before.image, before.members));
            }
        }
        let cell = format!("{}, {status}, {role}", action.name);
        self.differences.extend(wrong.into_iter().map(|wrong| format!("{cell}: {wrong} [{sentence}]")));
        after
    }

    /// Makes the image again what it was.
    fn restore(&self, id: &str, before: &Seen, after: &Seen) -> Seen {
        match (before.image["status"].as_str(), after.image["status"].as_str()) {
            (Some("active"), Some("deactivated")) => drop(self.target.wait(self.owner.act(id, "reactivate")).is(204)),
            (Some("deactivated"), Some("active")) => drop(self.target.wait(self.owner.act(id, "deactivate")).is(204)),
            _ => {}
        }
        let (old, new) = (before.image.as_object().unwrap(), after.image.as_object().unwrap());
        let set = |key: &str, value: &Value| json!({"op": "add", "path": format!("/{key}"), "value": value});
        let changed =
            old.iter().filter(|(key, value)| new.get(*key) != Some(value) && !SERVICES_OWN.contains(&key.as_str()));
        let mut operations: Vec<_> = changed.map(|(key, value)| set(key, value)).collect();
        let gone = new.keys().filter(|key| !old.contains_key(*key) && !SERVICES_OWN.contains(&key.as_str()));
        operations.extend(gone.map(|key| json!({"op": "remove", "path": format!("/{key}")})));
        if !operations.is_empty() {
            self.patch(id, operations);
        }
        for project in after.members.keys().chain(before.members.keys()) {
            if after.members.get(project) == before.members.get(project) {
                continue;
            }
            if after.members.contains_key(project) {
                let path = format!("/v2/images/{id}/members/{project}");
                self.target.wait(self.owner.request("DELETE", &path).send()).is(204);
            }
            if before.members.contains_key(project) {
                self.share(id, project);
                break;
            }
        }
        let now = Seen::of(self.target, &self.administrator, id);
        assert_eq!(now.members, before.members);
        now
    }
}

impl<'a> Scene<'a> {
    fn new(target: &'a Target, url: &str) -> Self {
        Self {
            target,
            mounts: ["demo", "reader", "alt", "admin"].map(|role| (role, target.mount(role))),
            owner: target.person("demo"),
            administrator: target.person("admin"),
            member: target.person("alt"),
            source: target.file_with("source", BYTES),
            url: url.to_owned(),
            differences: Vec::new(),
        }
    }

    fn end(self) {
        assert!(self.differences.is_empty(), "{}", self.differences.join("\n"));
        for (_, mount) in self.mounts {
            mount.end();
        }
    }
}

fn who_may_do_what_in_which_status(target: &Target) {
    let web = target.web(BYTES);
    let mut scene = Scene::new(target, &web.url("/whole"));
    scene.play("queued");
    // The service fetches nothing for any other status, and other tests wait for the port.
    drop(web);
    scene.play("active");
    scene.play("deactivated");
    scene.end();
}

fn who_may_do_what_while_an_import_that_failed_leaves_it_importing(target: &Target) {
    let mut scene = Scene::new(target, "http://127.0.0.1:443/disk.raw");
    scene.play("importing");
    scene.end();
}
