//! Which changes of metadata are not asked for: Nova takes some that it does not make, and fails over others without a
//! word that helps.

use serde_json::Value;

use crate::service::{Change, Kind, Result, ServiceError};

/// The most items that an image has, unless the operator of the cloud says otherwise.
pub(super) const MOST_ITEMS: usize = 128;

/// The most characters of a name and of a value.
const LONGEST: usize = 255;

/// Names of attributes, which are no metadata. Nova answers success and stores nothing under some of them, forbids
/// others, and fails over the rest.
const ATTRIBUTES: [&str; 30] = [
    "id",
    "name",
    "status",
    "visibility",
    "owner",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "protected",
    "min_disk",
    "min_ram",
    "disk_format",
    "container_format",
    "tags",
    "stores",
    "location",
    "locations",
    "direct_url",
    "created_at",
    "updated_at",
    "deleted",
    "deleted_at",
    "self",
    "file",
    "schema",
    "image_id",
    "remove_props",
];

/// Items that Nova reads and writes as JSON, in a form of its own.
const REWRITTEN: [&str; 2] = ["mappings", "block_device_mapping"];

/// Items that are ids of images. Nova does not write a text that names none.
const IDS: [&str; 2] = ["kernel_id", "ramdisk_id"];

/// Refuses changes that the Compute API cannot make.
pub(super) fn check(action: &str, changes: &[Change]) -> Result<()> {
    let refusal = changes.iter().find_map(refusal);
    refusal.map_or(Ok(()), |words| Err(ServiceError::new(Kind::Invalid, action).with_words(words)))
}

/// Why a change cannot be made, and what can be done instead.
fn refusal(change: &Change) -> Option<String> {
    let key = change.key();
    if is_attribute(key) {
        return Some(format!(
            "'{key}' is no property of an image, and the Compute API stores nothing under this name; attributes are \
             changed in a mount with --service image"
        ));
    }
    if REWRITTEN.contains(&key) {
        return Some(format!(
            "the Compute API writes '{key}' in a form of its own; it is changed in a mount with --service image"
        ));
    }
    if is_trimmed(key) {
        return Some(format!("the Compute API drops the blanks at the ends of '{key}'; take a name without them"));
    }
    match change {
        Change::Set { key, value } => of_value(key, value),
        Change::Remove { .. } => None,
    }
}

fn of_value(key: &str, value: &Value) -> Option<String> {
    let Some(text) = value.as_str() else { return Some(format!("the value of '{key}' is no text")) };
    let length = text.chars().count();
    if !is_key(key) {
        Some(format!(
            "the Compute API takes names of 1 to {LONGEST} letters, digits, blanks and the signs - _ : . and '{key}' is \
             none; it can be set in a mount with --service image"
        ))
    } else if length > LONGEST {
        Some(format!("the value of '{key}' has {length} characters, and the Compute API takes {LONGEST} at most"))
    } else if let Some(strange) = text.chars().find(|char| u32::from(*char) > 0xffff) {
        Some(format!("the value of '{key}' has the character '{strange}', which the service cannot store"))
    } else if IDS.contains(&key) && matches!(text.trim().to_lowercase().as_str(), "none" | "") {
        Some(format!("'{key}' is the id of an image, and the Compute API writes no other text; remove it instead"))
    } else {
        None
    }
}

fn is_attribute(key: &str) -> bool {
    ATTRIBUTES.contains(&key) || key.starts_with("os_glance_")
}

/// Whether Nova loses a part of this name.
fn is_trimmed(key: &str) -> bool {
    key.trim() != key
}

/// Whether the Compute API takes this name in a document.
pub(super) fn is_key(key: &str) -> bool {
    (1..=LONGEST).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:. ".contains(&byte))
}

/// Whether the address of an item can have this name at its end: no slash is let through, a dot or two are lost on the
/// way, and other letters than those of ASCII are not found.
pub(super) fn is_addressable(key: &str) -> bool {
    !matches!(key, "" | "." | "..")
        && key.is_ascii()
        && !key.contains('/')
        && !key.contains(|char: char| char.is_ascii_control())
}

/// Whether an item that is there stays as it is when it is sent again in a document.
pub(super) fn can_be_sent(key: &str, value: &str) -> bool {
    is_key(key) && !is_trimmed(key) && !REWRITTEN.contains(&key) && value.chars().count() <= LONGEST
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The sentence that a change is refused with; empty where it is not.
    fn words(change: &Change) -> String {
        let Err(error) = check("change", std::slice::from_ref(change)) else { return String::new() };
        assert_eq!(error.kind, Kind::Invalid);
        error.to_string()
    }

    #[test]
    fn attributes_are_refused_whether_they_are_set_or_removed() {
        for key in
            ["status", "size", "name", "visibility", "owner", "min_disk", "os_hash_algo", "os_glance_x", "stores"]
        {
            for change in [Change::set(key, "v"), Change::remove(key)] {
                let words = words(&change);
                assert!(words.contains(key) && words.contains("--service image"), "{words}");
            }
        }
        for key in REWRITTEN {
            assert!(words(&Change::set(key, "[]")).contains("--service image"));
        }
    }

    #[test]
    fn names_that_the_service_does_not_take_are_refused_in_words_that_say_which_it_takes() {
        let longest = "k".repeat(LONGEST);
        for key in ["k", "k s", "k.s", "k:s", "k-s", "K_9", "-", ".", longest.as_str()] {
            assert_eq!(words(&Change::set(key, "v")), "", "{key}");
        }
        let longer = format!("{longest}k");
        for key in ["a/b", "k~s", "k+s", "k@", "\u{e9}", "", longer.as_str()] {
            assert!(words(&Change::set(key, "v")).contains("letters, digits"), "{key}");
            assert_eq!(words(&Change::remove(key)), "", "what is there can go");
        }
        for key in [" k", "k ", " "] {
            assert!(words(&Change::set(key, "v")).contains("blanks at the ends"), "{key}");
            assert!(words(&Change::remove(key)).contains("blanks at the ends"), "{key}");
        }
    }

    #[test]
    fn values_that_the_service_does_not_take_are_refused() {
        let set = |value: Value| words(&Change::set("k", value));
        assert_eq!(set(json!("\u{e9}".repeat(LONGEST))), "");
        assert_eq!(set(json!("")), "");
        assert_eq!(set(json!("\u{0}\u{ffff}")), "");
        assert!(set(json!("v".repeat(LONGEST + 1))).contains("256 characters"));
        assert!(set(json!("a\u{1f600}")).contains('\u{1f600}'));
        for value in [json!(5), json!(null), json!(["a"])] {
            assert!(set(value).contains("no text"));
        }
    }

    #[test]
    fn an_id_that_names_no_image_is_refused() {
        for none in ["none", " None ", ""] {
            assert!(words(&Change::set("kernel_id", none)).contains("remove it instead"));
        }
        assert_eq!(words(&Change::set("kernel_id", "cbedf87a-9d62-4eec-b777-de1bd4867530")), "");
        assert_eq!(words(&Change::set("other", "none")), "");
    }

    #[test]
    fn what_a_path_cannot_name_is_known() {
        for key in ["a", "a b", "a%b", "a~b", "...", "a?b#c"] {
            assert!(is_addressable(key), "{key}");
        }
        for key in ["", ".", "..", "a/b", "\u{e9}", "a\nb"] {
            assert!(!is_addressable(key), "{key}");
        }
    }
}
