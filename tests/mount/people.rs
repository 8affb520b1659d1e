//! What three people may do with an image in each of its states: one of its own project, one who may only read there, and
//! one of another project that it is shared with.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::mounted::Mount;
use crate::person::Person;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, tool};
use crate::web::Web;

crate::promises![Both:
    who_may_do_what_in_which_status,
];

/// What comes of each action, by the status of the image and by who tries it: `demo` belongs to the image's project,
/// `reader` does too and has the role reader alone, `alt` belongs to another project, which is a member of the image.
const TABLE: &str = "
                   | queued               | active               | deactivated          |
                   | demo   reader alt    | demo   reader alt    | demo   reader alt    |
read data          | ok     ok     ok     | ok     EACCES ok     | EACCES EACCES EACCES |
read metadata.json | ok     ok     ok     | ok     ok     ok     | ok     ok     ok     |
read attributes    | ok     ok     ok     | ok     ok     ok     | ok     ok     ok     |
set a property     | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
add a property     | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
touch a property   | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
remove a property  | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
add a tag          | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
remove a tag       | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
edit min_ram       | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
edit size          | EINVAL EINVAL EPERM  | EINVAL EINVAL EPERM  | EINVAL EINVAL EPERM  |
edit owner         | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  |
make it public     | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  |
deactivate         | EBUSY  EPERM  EPERM  | ok     EPERM  EPERM  | ok     ok     ok     |
reactivate         | EBUSY  EPERM  EPERM  | ok     ok     ok     | ok     EPERM  EPERM  |
add a member       | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
remove a member    | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
accept it          | EPERM  EPERM  ok     | EPERM  EPERM  ok     | EPERM  EPERM  ok     |
write data         | ok     EPERM  EPERM  | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  |
import a URL       | ok     EPERM  EPERM  | EBUSY  EBUSY  EBUSY  | EBUSY  EBUSY  EBUSY  |
rmdir, protected   | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  | EPERM  EPERM  EPERM  |
rmdir              | ok     EPERM  EPERM  | ok     EPERM  EPERM  | ok     EPERM  EPERM  |
";

const STATUSES: [&str; 3] = ["queued", "active", "deactivated"];

/// Who, in the order in which they try: what the owner may do comes last, since it may leave nothing to try for others.
const ROLES: [&str; 3] = ["alt", "reader", "demo"];

/// What the image holds, and what `write data` writes.
const BYTES: &[u8] = b"what is in the image";

/// One line of the table.
struct Action {
    name: &'static str,
    /// The file that it is done to, in the image's folder; `$ALT` is the id of the member project.
    file: &'static str,
    does: fn(&Try<'_>) -> io::Result<()>,
    /// Whether the image shows that it was done.
    shows: fn(&Seen) -> bool,
}

/// What is not to be set back by setting it.
const SERVICES_OWN: [&str; 3] = ["status", "updated_at", "stores"];

/// The lines of the table in its order, for all but their outcomes.
const ACTIONS: [Action; 22] = [
    Action { name: "read data", file: "data", does: |it| it.read_data(), shows: |_| true },
    Action { name: "read metadata.json", file: "metadata.json", does: |it| it.read_document(), shows: |_| true },
    Action { name: "read attributes", file: "data", does: |it| it.read_attributes(), shows: |_| true },
    Action {
        name: "set a property",
        file: "properties/set",
        does: |it| it.write("new\n"),
        shows: |seen| seen.image["set"] == "new",
    },
    Action {
        name: "add a property",
        file: "properties/added",
        does: |it| it.write("new\n"),
        shows: |seen| seen.image["added"] == "new",
    },
    Action {
        name: "touch a property",
        file: "properties/touched",
        does: |it| it.touch(),
        shows: |seen| seen.image["touched"] == "",
    },
    Action {
        name: "remove a property",
        file: "properties/set",
        does: |it| it.remove(),
        shows: |seen| seen.image.get("set").is_none(),
    },
    Action {
        name: "add a tag",
        file: "tags/added",
        does: |it| it.touch(),
        shows: |seen| seen.image["tags"].as_array().unwrap().contains(&json!("added")),
    },
    Action {
        name: "remove a tag",
        file: "tags/set",
        does: |it| it.remove(),
        shows: |seen| seen.image["tags"] == json!([]),
    },
    Action {
        name: "edit min_ram",
        file: "metadata.json",
        does: |it| it.edit("min_ram", json!(64)),
        shows: |seen| seen.image["min_ram"] == 64,
    },
    Action {
        name: "edit size",
        file: "metadata.json",
        does: |it| it.edit("size", json!(123_456)),
        shows: |seen| seen.image["size"] == 123_456,
    },
    Action {
        name: "edit owner",
        file: "metadata.json",
        does: |it| it.edit("owner", json!("0123456789abcdef0123456789abcdef")),
        shows: |seen| seen.image["owner"] == "0123456789abcdef0123456789abcdef",
    },
    Action {
        name: "make it public",
        file: "metadata.json",
        does: |it| it.edit("visibility", json!("public")),
        shows: |seen| seen.image["visibility"] == "public",
    },
    Action {
        name: "deactivate",
        file: "status",
        does: |it| it.write("deactivated\n"),
        shows: |seen| seen.image["status"] == "deactivated",
    },
    Action {
        name: "reactivate",
        file: "status",
        does: |it| it.write("active\n"),
        shows: |seen| seen.image["status"] == "active",
    },
    Action {
        name: "add a member",
        file: "members/somebody",
        does: |it| it.touch(),
        shows: |seen| seen.members.contains_key("somebody"),
    },
    Action {
        name: "remove a member",
        file: "members/$ALT",
        does: |it| it.remove(),
        shows: |seen| seen.members.is_empty(),
    },
    Action {
        name: "accept it",
        file: "members/$ALT",
        does: |it| it.write("accepted\n"),
        shows: |seen| seen.members.values().all(|status| status == "accepted"),
    },
    Action {
        name: "write data",
        file: "data",
        does: |it| it.write_data(),
        shows: |seen| seen.image["size"] == BYTES.len() && seen.image["status"] == "active",
    },
    Action {
        name: "import a URL",
        file: "import",
        does: |it| it.import(),
        shows: |seen| seen.image["status"] != "queued" || seen.image.get("os_glance_import_task").is_some(),
    },
    Action { name: "rmdir, protected", file: "", does: |it| it.rmdir(), shows: |seen| seen.image.is_null() },
    Action { name: "rmdir", file: "", does: |it| it.rmdir(), shows: |seen| seen.image.is_null() },
];

/// An image as the service shows it to its owner.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    /// Null where there is none.
    image: Value,
    /// The members and their statuses.
    members: Map<String, Value>,
}

impl Seen {
    fn of(target: &Target, owner: &Person, id: &str) -> Self {
        let mut seen = Self { image: Value::Null, members: Map::new() }.then(target, owner, id);
        let list = target.wait(owner.get(&format!("/v2/images/{id}/members"))).is(200).json();
        let members = list["members"].as_array().unwrap().iter();
        let status = |member: &Value| (member["member_id"].as_str().unwrap().to_owned(), member["status"].clone());
        seen.members = members.map(status).collect();
        seen
    }

    /// The image later, where its members can be no others.
    fn then(&self, target: &Target, owner: &Person, id: &str) -> Self {
        let answer = target.wait(owner.get(&format!("/v2/images/{id}")));
        let image = if answer.status == 404 { Value::Null } else { answer.is(200).json() };
        Self { image, members: self.members.clone() }
    }
}

/// An action that somebody tries.
struct Try<'a> {
    mount: &'a Mount,
    id: &'a str,
    /// Where, and the file that it is about.
    folder: PathBuf,
    file: PathBuf,
    source: &'a Path,
    web: &'a Web,
    image: &'a Value,
}

impl Try<'_> {
    fn read_data(&self) -> io::Result<()> {
        let wanted: &[u8] = if self.image["status"] == "queued" { b"" } else { BYTES };
        fs::read(&self.file).map(|bytes| assert_eq!(bytes, wanted))
    }

    fn read_document(&self) -> io::Result<()> {
        let document: Value = serde_json::from_slice(&fs::read(&self.file)?)?;
        assert_eq!((&document["id"], &document["status"]), (&self.image["id"], &self.image["status"]));
        Ok(())
    }

    /// Compares the extended attributes with what the service shows to the owner.
    fn read_attributes(&self) -> io::Result<()> {
        let names =
            ["id", "name", "status", "owner", "visibility", "size", "checksum", "os_hash_value", "min_ram", "set"];
        let options = ["--absolute-names", "-d", "-m", "^user.glance"].map(AsRef::as_ref);
        let listed = tool("getfattr", options.into_iter().chain([self.file.as_os_str()]));
        told(&listed)?;
        for name in names {
            let wanted = match &self.image[name] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let line = wanted.map(|wanted| format!("user.glance.{name}=\"{wanted}\""));
            let found = listed.out.lines().find(|line| line.starts_with(&format!("user.glance.{name}=")));
            assert_eq!(found, line.as_deref(), "{}", listed.out);
        }
        Ok(())
    }

    /// As `echo text > file` does.
    fn write(&self, text: &str) -> io::Result<()> {
        File::create(&self.file)?.write_all(text.as_bytes())
    }

    /// With `touch`, which sets the time of what it made.
    fn touch(&self) -> io::Result<()> {
        told(&tool("touch", [&self.file]))
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.file)
    }

    fn edit(&self, key: &str, value: Value) -> io::Result<()> {
        let mut document: Value = serde_json::from_slice(&fs::read(&self.file)?)?;
        document[key] = value;
        self.write(&document.to_string())
    }

    /// With `cp`, which looks at what close says.
    fn write_data(&self) -> io::Result<()> {
        let outcome = told(&tool("cp", [self.source, &self.file]));
        if outcome.is_err() {
            // What was written and not taken is kept for its writer, who has no more use for it.
            let uploads = File::options().write(true).open(self.mount.path(".glancefs/uploads"));
            let _ = uploads.and_then(|mut file| file.write_all(format!("discard {}\n", self.id).as_bytes()));
        }
        outcome
    }

    fn import(&self) -> io::Result<()> {
        self.write(&format!("{}\n", self.web.url("/whole")))
    }

    fn rmdir(&self) -> io::Result<()> {
        fs::remove_dir(&self.folder)
    }

    /// The sentence that tells why it was refused: on the file, or on the folder where one was to be made.
    fn sentence(&self) -> String {
        let place = if self.file.symlink_metadata().is_ok() { &self.file } else { self.file.parent().unwrap() };
        attribute(place, "user.glancefs.error").unwrap_or_default()
    }
}

/// What the C locale says for an errno.
const WORDS: [(i32, &str); 5] = [
    (libc::EPERM, "Operation not permitted"),
    (libc::EACCES, "Permission denied"),
    (libc::EBUSY, "Device or resource busy"),
    (libc::ENOENT, "No such file or directory"),
    (libc::EIO, "Input/output error"),
];

/// What a tool says of how it went.
fn told(ran: &Ran) -> io::Result<()> {
    if ran.code == Some(0) {
        return Ok(());
    }
    let known = WORDS.into_iter().find(|(_, words)| ran.err.trim_end().ends_with(words));
    Err(known.map_or_else(|| io::Error::other(ran.err.clone()), |(errno, _)| io::Error::from_raw_os_error(errno)))
}

/// How it went, as the table has it.
fn outcome_of(result: &io::Result<()>) -> String {
    let errno = match result {
        Ok(()) => return "ok".to_owned(),
        Err(error) => error.raw_os_error(),
    };
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOENT, "ENOENT"),
        (libc::EIO, "EIO"),
    ];
    let name = known.into_iter().find(|(number, _)| Some(*number) == errno);
    name.map_or_else(|| format!("{result:?}"), |(_, name)| name.to_owned())
}

/// The outcome that the table has.
fn expected(action: &str, status: usize, role: &str) -> &'static str {
    let cells = |line: &'static str| line.split('|').nth(status + 1).unwrap().split_whitespace();
    let mut lines = TABLE.lines().skip(1);
    assert_eq!(lines.next().and_then(|line| cells(line).next()), Some(STATUSES[status]));
    let column = cells(lines.next().unwrap()).position(|word| word == role).unwrap();
    let line = lines.find(|line| line.split('|').next().unwrap().trim() == action).unwrap();
    cells(line).nth(column).unwrap()
}

/// The images and the people, and what was found that differs from the table.
struct Scene<'a> {
    target: &'a Target,
    mounts: [(&'static str, Mount); 3],
    owner: Person,
    member: Person,
    source: PathBuf,
    web: Web,
    differences: Vec<String>,
}

impl Scene<'_> {
    /// A new image, which is shared with the other project.
    fn image(&self, status: &str, word: &str) -> String {
        let attributes = json!({"name": self.target.name(word), "visibility": "shared", "set": "old", "tags": ["set"]});
        let id = if status == "queued" {
            self.target.image(&self.owner, &attributes)
        } else {
            self.target.filled(&self.owner, &attributes, BYTES)
        };
        self.share(&id, &self.member.project);
        if status == "deactivated" {
            self.target.wait(self.owner.act(&id, "deactivate")).is(204);
        }
        id
    }

    fn share(&self, id: &str, project: &str) {
        let members = format!("/v2/images/{id}/members");
        self.target.wait(self.owner.post(&members, &json!({"member": project}))).is(200);
    }

    fn patch(&self, id: &str, operations: Vec<Value>) {
        let request = self.owner.request("PATCH", &format!("/v2/images/{id}"));
        let request = request.body(Value::from(operations).to_string().as_bytes());
        let request = request.header("Content-Type", "application/openstack-images-v2.1-json-patch");
        self.target.wait(request.send()).is(200);
    }

    /// Everybody tries everything with one image.
    fn play(&mut self, status: usize) {
        let id = self.image(STATUSES[status], STATUSES[status]);
        let mut before = Seen::of(self.target, &self.owner, &id);
        for action in &ACTIONS {
            let is_protected = action.name == "rmdir, protected";
            if is_protected {
                self.patch(&id, vec![json!({"op": "replace", "path": "/protected", "value": true})]);
                before = Seen::of(self.target, &self.owner, &id);
            }
            for role in ROLES {
                // What gives an image its bytes leaves it another one.
                let is_last = status == 0 && role == "demo" && ["write data", "import a URL"].contains(&action.name);
                if is_last {
                    let other = self.image("queued", action.file);
                    let seen = Seen::of(self.target, &self.owner, &other);
                    self.attempt(action, status, role, &other, &seen);
                } else {
                    let after = self.attempt(action, status, role, &id, &before);
                    let is_as_it_was = after == before || after.image.is_null();
                    before = if is_as_it_was { after } else { self.restore(&id, &before, &after) };
                }
            }
            if is_protected {
                self.patch(&id, vec![json!({"op": "replace", "path": "/protected", "value": false})]);
                before = Seen::of(self.target, &self.owner, &id);
            }
        }
    }

    /// One cell of the table. Answers the image as it is afterwards.
    fn attempt(&mut self, action: &Action, status: usize, role: &str, id: &str, before: &Seen) -> Seen {
        let mount = &self.mounts.iter().find(|(name, _)| *name == role).unwrap().1;
        let folder = mount.path("by-id").join(id);
        let file = folder.join(action.file.replace("$ALT", &self.member.project));
        let file = if action.file.is_empty() { folder.clone() } else { file };
        let it = Try { mount, id, folder, file, source: &self.source, web: &self.web, image: &before.image };
        let (outcome, wanted) = (outcome_of(&(action.does)(&it)), expected(action.name, status, role));
        let sentence = if outcome == "ok" { String::new() } else { it.sentence() };
        let is_shared = action.file.starts_with("members/");
        let look = || {
            if is_shared { Seen::of(self.target, &self.owner, id) } else { before.then(self.target, &self.owner, id) }
        };
        let after = look();
        let mut wrong = Vec::new();
        if outcome != wanted {
            wrong.push(format!("is {outcome} and not {wanted}"));
        }
        if outcome == "ok" {
            if !(action.shows)(&after) {
                wrong.push(format!("is not to be seen in {}", after.image));
            }
        } else {
            let tried = action.name.rsplit(' ').next().unwrap();
            if !(sentence.contains(id) || sentence.contains(tried)) {
                wrong.push(format!("has the sentence '{sentence}'"));
            }
            if after != *before {
                wrong
                    .push(format!("made {} {:?} of {} {:?}", after.image, after.members, before.image, before.members));
            }
        }
        let cell = format!("{}, {}, {role}", action.name, STATUSES[status]);
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
        let now = Seen::of(self.target, &self.owner, id);
        assert_eq!(now.members, before.members);
        now
    }
}

fn who_may_do_what_in_which_status(target: &Target) {
    let mounts = ["demo", "reader", "alt"].map(|role| (role, target.mount(role)));
    let mut scene = Scene {
        target,
        mounts,
        owner: target.person("demo"),
        member: target.person("alt"),
        source: target.file_with("source", BYTES),
        web: target.web(BYTES),
        differences: Vec::new(),
    };
    for status in 0..STATUSES.len() {
        scene.play(status);
    }
    assert!(scene.differences.is_empty(), "{}", scene.differences.join("\n"));
    for (_, mount) in scene.mounts {
        mount.end();
    }
}
