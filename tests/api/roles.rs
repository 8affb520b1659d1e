//! The table of who may do what to an image in which status: action x role x status -> the answer's status.

use std::fmt::Write as _;

use serde_json::json;

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    what_may_be_done_to_a_queued_image,
    what_may_be_done_to_a_staged_image,
    what_may_be_done_to_an_image_whose_import_failed,
    what_may_be_done_to_an_active_image,
    what_may_be_done_to_a_deactivated_image,
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Show,
    Download,
    Change,
    Tag,
    Untag,
    ListMembers,
    AddMember,
    Answer,
    RemoveMember,
    Upload,
    Stage,
    ImportStaged,
    ImportFromWeb,
    Copy,
    Deactivate,
    Reactivate,
    Tasks,
    Delete,
}

impl Action {
    /// Whether an image is another one afterwards.
    fn happens_once(self) -> bool {
        matches!(
            self,
            Self::Upload
                | Self::Stage
                | Self::ImportStaged
                | Self::ImportFromWeb
                | Self::Copy
                | Self::Deactivate
                | Self::Reactivate
                | Self::Delete
        )
    }
}

/// In the order of the columns. The stranger and the member are the same person, before and after the image is shared
/// with their project.
const ROLES: [(&str, &str); 6] = [
    ("stranger", "alt"),
    ("reader", "reader"),
    ("member", "alt"),
    ("owner", "demo"),
    ("colleague", "demo2"),
    ("administrator", "admin"),
];

type Rows = &'static [(Action, [u16; 6])];

/// What does not depend on the status.
#[rustfmt::skip]
const ALWAYS: Rows = &[
    //                       stranger reader member owner colleague administrator
    (Action::Show,          [404,     200,   200,   200,  200,      200]),
    (Action::Change,        [404,     403,   403,   200,  200,      200]),
    (Action::Tag,           [404,     403,   403,   204,  204,      204]),
    (Action::Untag,         [404,     403,   403,   204,  204,      204]),
    (Action::ListMembers,   [404,     200,   200,   200,  200,      200]),
    (Action::AddMember,     [404,     403,   403,   200,  200,      200]),
    (Action::Answer,        [404,     403,   200,   403,  403,      200]),
    (Action::RemoveMember,  [404,     403,   403,   204,  204,      204]),
    (Action::Tasks,         [404,     200,   200,   200,  200,      200]),
    (Action::Delete,        [404,     403,   403,   204,  204,      204]),
];

#[rustfmt::skip]
const QUEUED: Rows = &[
    (Action::Download,      [404,     403,   204,   204,  204,      204]),
    (Action::Upload,        [404,     403,   403,   204,  204,      204]),
    (Action::Stage,         [404,     403,   403,   204,  204,      204]),
    (Action::ImportStaged,  [404,     409,   409,   409,  409,      409]),
    (Action::ImportFromWeb, [404,     403,   403,   202,  202,      202]),
    (Action::Copy,          [404,     409,   409,   409,  409,      409]),
    (Action::Deactivate,    [404,     403,   403,   403,  403,      403]),
    (Action::Reactivate,    [404,     403,   403,   403,  403,      403]),
];

#[rustfmt::skip]
const STAGED: Rows = &[
    (Action::Download,      [404,     403,   204,   204,  204,      204]),
    (Action::Upload,        [404,     403,   403,   409,  409,      409]),
    (Action::Stage,         [404,     403,   403,   409,  409,      409]),
    (Action::ImportStaged,  [404,     403,   403,   202,  202,      202]),
    (Action::ImportFromWeb, [404,     409,   409,   409,  409,      409]),
    (Action::Copy,          [404,     409,   409,   409,  409,      409]),
    (Action::Deactivate,    [404,     403,   403,   403,  403,      403]),
    (Action::Reactivate,    [404,     403,   403,   403,  403,      403]),
];

#[rustfmt::skip]
const IMPORT_FAILED: Rows = &[
    (Action::Download,      [404,     403,   204,   204,  204,      204]),
    (Action::Upload,        [404,     403,   403,   409,  409,      409]),
    (Action::Stage,         [404,     403,   403,   409,  409,      409]),
    (Action::ImportStaged,  [404,     409,   409,   409,  409,      409]),
    (Action::ImportFromWeb, [404,     409,   409,   409,  409,      409]),
    (Action::Copy,          [404,     409,   409,   409,  409,      409]),
    (Action::Deactivate,    [404,     403,   403,   403,  403,      403]),
    (Action::Reactivate,    [404,     403,   403,   403,  403,      403]),
];

#[rustfmt::skip]
const ACTIVE: Rows = &[
    (Action::Download,      [404,     403,   200,   200,  200,      200]),
    (Action::Upload,        [404,     403,   403,   409,  409,      409]),
    (Action::Stage,         [404,     403,   403,   409,  409,      409]),
    (Action::ImportStaged,  [404,     409,   409,   409,  409,      409]),
    (Action::ImportFromWeb, [404,     409,   409,   409,  409,      409]),
    (Action::Copy,          [404,     403,   403,   403,  403,      202]),
    (Action::Deactivate,    [404,     403,   403,   204,  204,      204]),
    (Action::Reactivate,    [404,     403,   403,   204,  204,      204]),
];

#[rustfmt::skip]
const DEACTIVATED: Rows = &[
    (Action::Download,      [404,     403,   403,   403,  403,      200]),
    (Action::Upload,        [404,     403,   403,   409,  409,      409]),
    (Action::Stage,         [404,     403,   403,   409,  409,      409]),
    (Action::ImportStaged,  [404,     409,   409,   409,  409,      409]),
    (Action::ImportFromWeb, [404,     409,   409,   409,  409,      409]),
    (Action::Copy,          [404,     409,   409,   409,  409,      409]),
    (Action::Deactivate,    [404,     403,   403,   204,  204,      204]),
    (Action::Reactivate,    [404,     403,   403,   204,  204,      204]),
];

async fn what_may_be_done_to_a_queued_image(target: &Target) {
    Table::new(target, "queued").await.check(QUEUED).await;
}

async fn what_may_be_done_to_a_staged_image(target: &Target) {
    Table::new(target, "uploading").await.check(STAGED).await;
}

async fn what_may_be_done_to_an_image_whose_import_failed(target: &Target) {
    Table::new(target, "importing").await.check(IMPORT_FAILED).await;
}

async fn what_may_be_done_to_an_active_image(target: &Target) {
    Table::new(target, "active").await.check(ACTIVE).await;
}

async fn what_may_be_done_to_a_deactivated_image(target: &Target) {
    Table::new(target, "deactivated").await.check(DEACTIVATED).await;
}

/// One status of the table.
struct Table<'a> {
    target: &'a Target,
    status: &'static str,
    people: Vec<Person>,
}

impl<'a> Table<'a> {
    async fn new(target: &'a Target, status: &'static str) -> Self {
        let mut people = Vec::new();
        for (_, name) in ROLES {
            people.push(target.person(name).await);
        }
        Self { target, status, people }
    }

    fn owner(&self) -> &Person {
        &self.people[3]
    }

    /// Tries everything, and tells all differences at once. One image serves until something has been done to it that
    /// cannot be done again.
    async fn check(&self, rows: Rows) {
        let mut wrong = String::new();
        let mut id = self.image(false).await;
        for (column, (role, _)) in ROLES.iter().enumerate() {
            if column == 1 {
                self.share(&id).await;
            }
            for (action, expected) in ALWAYS.iter().chain(rows) {
                let answer = self.act(*action, column, &id).await;
                if answer.status != expected[column] {
                    let _ =
                        write!(wrong, "\n{action:?} by the {role}: {} instead of {}", answer.status, expected[column]);
                    let _ = write!(wrong, ": {}", answer.text());
                }
                let forgets =
                    matches!((*action, *role, self.status), (Action::Upload, "reader", "uploading" | "importing"));
                if forgets {
                    // What was staged is gone, although the upload was refused.
                    assert_eq!(self.owner().show(&id).await["status"], "queued");
                    id = self.image(true).await;
                }
                // Whatever else was refused has changed nothing.
                if answer.status >= 400 {
                    continue;
                }
                match action {
                    Action::RemoveMember => self.share(&id).await,
                    action if action.happens_once() => id = self.image(column > 0).await,
                    _ => {}
                }
            }
        }
        assert!(wrong.is_empty(), "{}:{wrong}", self.status);
    }

    /// An image in the status, shared with nobody yet or with the member too.
    async fn image(&self, is_shared: bool) -> String {
        let owner = self.owner();
        let format = if self.status == "importing" { "qcow2" } else { "raw" };
        let tags: Vec<_> = (0..ROLES.len()).map(|column| format!("there{column}")).collect();
        let attributes = json!({"disk_format": format, "container_format": "bare", "tags": tags});
        let image = self.target.image(owner, attributes).await;
        let id = image["id"].as_str().unwrap().to_owned();
        match self.status {
            "active" => drop(owner.upload(&id, b"x").await.is(204)),
            "deactivated" => {
                owner.upload(&id, b"x").await.is(204);
                owner.act(&id, "deactivate").await.is(204);
            }
            "uploading" => drop(owner.stage(&id, b"x").await.is(204)),
            "importing" => {
                owner.stage(&id, b"x").await.is(204);
                owner.import(&id, &json!({"method": {"name": "glance-direct"}})).await.is(202);
                owner.settled(&id).await;
            }
            _ => {}
        }
        assert_eq!(owner.show(&id).await["status"], self.status);
        if is_shared {
            self.share(&id).await;
        }
        id
    }

    async fn share(&self, id: &str) {
        let member = json!({"member": self.people[2].project});
        let status = self.owner().post(&format!("/v2/images/{id}/members"), &member).await.status;
        assert!(matches!(status, 200 | 409), "{status}");
    }

    async fn act(&self, action: Action, column: usize, id: &str) -> Answer {
        let person = &self.people[column];
        let path = |rest: &str| format!("/v2/images/{id}{rest}");
        let member = path(&format!("/members/{}", self.people[2].project));
        let method = |name: &str| json!({"method": {"name": name}});
        match action {
            Action::Show => person.get(&path("")).await,
            Action::Download => person.get_file(id).send().await,
            Action::Change => {
                let change = json!([{"op": "add", "path": "/p", "value": "v"}]);
                let kind = "application/openstack-images-v2.1-json-patch";
                person.request("PATCH", &path("")).json(&change).header("Content-Type", kind).send().await
            }
            Action::Tag => person.request("PUT", &path("/tags/new")).send().await,
            Action::Untag => person.request("DELETE", &path(&format!("/tags/there{column}"))).send().await,
            Action::ListMembers => person.get(&path("/members")).await,
            Action::AddMember => person.post(&path("/members"), &json!({"member": format!("somebody{column}")})).await,
            Action::Answer => person.request("PUT", &member).json(&json!({"status": "accepted"})).send().await,
            Action::RemoveMember => person.request("DELETE", &member).send().await,
            Action::Upload => person.upload(id, b"x").await,
            Action::Stage => person.stage(id, b"x").await,
            Action::ImportStaged => person.import(id, &method("glance-direct")).await,
            Action::ImportFromWeb => {
                let mut body = method("web-download");
                body["method"]["uri"] = json!(Target::nowhere());
                person.import(id, &body).await
            }
            Action::Copy => {
                let mut body = method("copy-image");
                body["stores"] = json!(["slow"]);
                person.import(id, &body).await
            }
            Action::Deactivate => person.act(id, "deactivate").await,
            Action::Reactivate => person.act(id, "reactivate").await,
            Action::Tasks => person.get(&path("/tasks")).await,
            Action::Delete => person.delete(id).await,
        }
    }
}
