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

const fn action(
    name: &'static str,
    file: &'static str,
    does: fn(&Try<'_>) -> io::Result<()>,
    shows: fn(&Seen) -> bool,
) -> Action {
    Action { name, file, does, shows }
}

/// The lines of the table in its order, for all but their outcomes.
#[expect(clippy::redundant_closure_for_method_calls, reason = "a method by its name alone is that of one lifetime")]
pub(super) const ACTIONS: [Action; 22] = [
    action("read data", "data", |it| it.read_data(), |_| true),
    action("read metadata.json", "metadata.json", |it| it.read_document(), |_| true),
    action("read attributes", "data", |it| it.read_attributes(), |_| true),
    action("set a property", "properties/set", |it| it.write("new\n"), |seen| seen.image["set"] == "new"),
    action("add a property", "properties/added", |it| it.write("new\n"), |seen| seen.image["added"] == "new"),
    action("touch a property", "properties/touched", |it| it.touch(), |seen| seen.image["touched"] == ""),
    action("remove a property", "properties/set", |it| it.remove(), |seen| seen.image.get("set").is_none()),
    action(
        "add a tag",
        "tags/added",
        |it| it.touch(),
        |seen| seen.image["tags"].as_array().unwrap().contains(&json!("added")),
    ),
    action("remove a tag", "tags/set", |it| it.remove(), |seen| seen.image["tags"] == json!([])),
    action("edit min_ram", "metadata.json", |it| it.edit("min_ram", json!(64)), |seen| seen.image["min_ram"] == 64),
    action("edit size", "metadata.json", |it| it.edit("size", json!(123_456)), |seen| seen.image["size"] == 123_456),
    action(
        "edit owner",
        "metadata.json",
        |it| it.edit("owner", json!("0123456789abcdef0123456789abcdef")),
        |seen| seen.image["owner"] == "0123456789abcdef0123456789abcdef",
    ),
    action(
        "make it public",
        "metadata.json",
        |it| it.edit("visibility", json!("public")),
        |seen| seen.image["visibility"] == "public",
    ),
    action("deactivate", "status", |it| it.write("deactivated\n"), |seen| seen.image["status"] == "deactivated"),
    action("reactivate", "status", |it| it.write("active\n"), |seen| seen.image["status"] == "active"),
    action("add a member", "members/somebody", |it| it.touch(), |seen| seen.members.contains_key("somebody")),
    action("remove a member", "members/$ALT", |it| it.remove(), |seen| seen.members.is_empty()),
    action(
        "accept it",
        "members/$ALT",
        |it| it.write("accepted\n"),
        |seen| seen.members.values().all(|status| status == "accepted"),
    ),
    action(
        "write data",
        "data",
        |it| it.write_data(),
        |seen| seen.image["size"] == BYTES.len() && seen.image["status"] == "active",
    ),
    action(
        "import a URL",
        "import",
        |it| it.import(),
        |seen| seen.image["status"] != "queued" || seen.image.get("os_glance_import_task").is_some(),
    ),
    action("rmdir, protected", "", |it| it.rmdir(), |seen| seen.image.is_null()),
    action("rmdir", "", |it| it.rmdir(), |seen| seen.image.is_null()),
];
