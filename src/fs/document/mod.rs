//! What the small files of an image hold, and what is made of a document that somebody wrote. Pure.

#[cfg(any(test, fuzzing))]
pub(super) mod applied;
pub(super) mod compute;
#[cfg(test)]
mod compute_model;
mod diff;
mod entries;
#[cfg(test)]
mod model;
mod origin;
mod parse;

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub use self::diff::Refused;
pub(super) use self::diff::{changes, takes_back};
#[cfg(test)]
pub(super) use self::entries::colliding;
pub(super) use self::entries::{Meant, may_be_cut, meant};
pub(super) use self::origin::{Base, Readings};
pub use self::parse::Malformed;
pub(super) use self::parse::{Parsed, parse};
use super::node::{Collection, Document};
use super::offered::server_of;
use crate::image::{Image, Member};
use crate::schema::printable;
use crate::service::Api;

/// The text of a small file, in the words of the API that the service has.
pub(super) fn text_of(image: &Image, document: Document, api: Api) -> String {
    match (api, document) {
        (Api::Image, document) => render(image, document),
        (Api::Compute, Document::Metadata) => text(compute::attributes(image)),
        (Api::Compute, Document::Status) => format!("{}\n", compute::status(image)),
        (Api::Compute, Document::Progress) => format!("{}\n", compute::progress(image)),
        (Api::Compute, Document::Server) => server_of(image).map_or_else(String::new, |id| format!("{id}\n")),
        (Api::Compute, Document::Checksums | Document::Import) => String::new(),
    }
}

/// Every line of `metadata.json` with its value.
pub(super) fn lines_of(image: &Image, api: Api) -> Vec<(&str, Value)> {
    match api {
        Api::Image => attributes(image),
        Api::Compute => compute::attributes(image),
    }
}

/// The same as the Image API shows it.
pub(super) fn render(image: &Image, document: Document) -> String {
    match document {
        Document::Metadata => metadata(image),
        Document::Status => format!("{}\n", image.status),
        Document::Checksums => checksums(image),
        // What it holds is not the image's but of its tasks. The others there are not.
        Document::Import | Document::Progress | Document::Server => String::new(),
    }
}

/// Every attribute and property with its value: the core attributes in a fixed order, then the properties by name, then
/// what else the service shows.
pub(super) fn attributes(image: &Image) -> Vec<(&str, Value)> {
    let sums = &image.checksums;
    let mut all = vec![
        ("id", json!(image.id.as_str())),
        ("name", json!(image.name)),
        ("status", json!(image.status.as_str())),
        ("visibility", json!(image.visibility.as_str())),
        ("owner", json!(image.owner)),
        ("protected", json!(image.protected)),
        ("os_hidden", json!(image.hidden)),
        ("disk_format", json!(image.disk_format)),
        ("container_format", json!(image.container_format)),
        ("min_disk", json!(image.min_disk)),
        ("min_ram", json!(image.min_ram)),
        ("size", json!(image.size)),
        ("virtual_size", json!(image.virtual_size)),
        ("checksum", json!(sums.md5)),
        ("os_hash_algo", json!(sums.algorithm)),
        ("os_hash_value", json!(sums.value)),
        ("created_at", json!(image.created_at.to_string())),
        ("updated_at", json!(image.updated_at.to_string())),
        ("tags", json!(image.tags)),
    ];
    if !image.stores.is_empty() {
        all.push(("stores", json!(image.stores.join(","))));
    }
    all.extend(image.properties.iter().map(|(name, value)| (name.as_str(), json!(value))));
    all.extend(image.other.iter().map(|(name, value)| (name.as_str(), value.clone())));
    all
}

/// `metadata.json`.
fn metadata(image: &Image) -> String {
    text(attributes(image))
}

/// The lines of a document as its text.
fn text(lines: Vec<(&str, Value)>) -> String {
    struct Ordered<'a>(Vec<(&'a str, Value)>);
    impl Serialize for Ordered<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    // Keys are strings and values are JSON already: writing them cannot fail.
    let mut text = serde_json::to_string_pretty(&Ordered(lines)).unwrap_or_default();
    text.push('\n');
    text
}

/// `checksums`: BSD-tagged lines as `cksum -c` reads them, the strongest first; empty while the image has no bytes.
fn checksums(image: &Image) -> String {
    let sums = &image.checksums;
    let mut text = String::new();
    if let (Some(algorithm), Some(value)) = (&sums.algorithm, &sums.value) {
        let _ = writeln!(text, "{} (data) = {value}", tag_of(algorithm));
    }
    if let Some(md5) = &sums.md5 {
        let _ = writeln!(text, "MD5 (data) = {md5}");
    }
    text
}

/// A line of `checksums`: the algorithm's name there, and the hash in lower-case hexadecimal digits.
pub(super) type Tagged = (String, String);

/// The lines of a text such as [`checksums`] makes; answers the first line that is none as the error.
pub(super) fn tagged(text: &str) -> Result<Vec<Tagged>, &str> {
    let line = |line| {
        let (algorithm, hash) = str::split_once(line, " (data) = ").ok_or(line)?;
        let is_hash = !hash.is_empty() && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_hash { Ok((algorithm.to_owned(), hash.to_ascii_lowercase())) } else { Err(line) }
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// The beginning of what somebody wrote, in a form that can be shown to people.
pub(super) fn shown(text: &str) -> String {
    printable(text.trim())
}

/// The name that coreutils give an algorithm of Python's hashlib.
fn tag_of(algorithm: &str) -> String {
    match algorithm {
        "blake2b" => "BLAKE2b".to_owned(),
        "blake2s" => "BLAKE2s".to_owned(),
        other => other.to_ascii_uppercase().replace('_', "-"),
    }
}

/// One entry of `members/`, `tags/` or `properties/`: what it stands for, its name there and what its file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The tag, the property's name or the project.
    pub(super) name: String,
    /// The directory entry.
    pub(super) entry: String,
    /// The content of its file.
    pub(super) text: String,
}

/// The entries of a collection, in the order of their names in the service. `members` is looked at for `members/` alone;
/// `begun` are those that the service does not know yet.
pub(super) fn items(image: &Image, collection: Collection, members: &[Member], begun: Vec<String>) -> Vec<Item> {
    let own = |name: &str, text: String| (name.to_owned(), text);
    let mut contents: Vec<_> = match collection {
        Collection::Tags => image.tags.iter().map(|tag| own(tag, String::new())).collect(),
        Collection::Properties => {
            image.properties.iter().map(|(name, value)| own(name, format!("{value}\n"))).collect()
        }
        Collection::Members => {
            members.iter().map(|member| own(&member.project, format!("{}\n", member.status))).collect()
        }
    };
    let news: Vec<_> = begun.into_iter().filter(|name| !contents.iter().any(|(known, _)| known == name)).collect();
    contents.extend(news.into_iter().map(|name| (name, String::new())));
    entries::listed(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image;
    use crate::name::LONGEST;

    #[test]
    fn metadata_has_every_attribute_in_a_fixed_order() {
        let mut image = image(1, "disk");
        image.properties.insert("os_distro".into(), "debian \"12\"".into());
        image.other.insert("direct_url".into(), json!("file:///x"));
        image.stores = vec!["fast".into(), "slow".into()];
        let text = render(&image, Document::Metadata);
        let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
        assert_eq!(
            keys.join(" "),
            "id name status visibility owner protected os_hidden disk_format container_format min_disk min_ram size \
             virtual_size checksum os_hash_algo os_hash_value created_at updated_at tags stores os_distro direct_url"
        );
        assert!(text.ends_with("}\n"));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["os_distro"], "debian \"12\"");
        assert_eq!(parsed["created_at"], "2026-01-02T03:04:05Z");
    }

    #[test]
    fn checksums_are_lines_that_cksum_reads() {
        let mut image = image(1, "disk");
        image.checksums.algorithm = Some("sha512".into());
        image.checksums.value = Some("ab".into());
        image.checksums.md5 = Some("cd".into());
        assert_eq!(render(&image, Document::Checksums), "SHA512 (data) = ab\nMD5 (data) = cd\n");
        image.checksums = crate::image::Checksums::default();
        assert_eq!(render(&image, Document::Checksums), "");
    }

    #[test]
    fn items_have_entries_that_a_folder_can_hold() {
        let mut image = image(1, "disk");
        image.tags = vec!["".into(), ".dot".into(), "a/b".into(), "é".repeat(200).into()];
        let entries: Vec<_> =
            items(&image, Collection::Tags, &[], Vec::new()).into_iter().map(|item| item.entry).collect();
        assert_eq!(entries[..3], ["%", "%2Edot", "a%2Fb"]);
        assert!(entries[3].len() <= LONGEST && entries[3].starts_with("éé"));
    }

    #[test]
    fn a_propertys_file_holds_its_value_and_a_newline() {
        let mut image = image(1, "disk");
        image.properties.insert("a".into(), "1".into());
        let only = Item { name: "a".to_owned(), entry: "a".to_owned(), text: "1\n".to_owned() };
        assert_eq!(items(&image, Collection::Properties, &[], Vec::new()), [only]);
    }
}
