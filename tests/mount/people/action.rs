//! What people try with an image, and whether it shows that it was done.

use std::io;

use serde_json::json;

use super::attempt::Try;
use super::{BYTES, Seen};

/// One line of the table.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// The file that it is done to, in the image's folder; `$ALT` is the id of the member project.
    pub(super) file: &'static str,
    pub(super) does: fn(&Try<'_>) -> io::Result<()>,
    /// Whether the image shows that it was done.
    pub(super) shows: fn(&Seen) -> bool,
}

/// The lines of the table in its order, for all but their outcomes.
pub(super) const ACTIONS: [Action; 22] = [
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
