//! The body of a PATCH: Glance's two dialects of JSON Patch, older than the standard and narrower than it.
//!
//! All of it is understood, or refused, before an image is looked at.

use super::errors::{ApiError, Refusal};
use super::validate;
use serde_json::{Map, Value};

/// The operations, in the order in which Glance lists them.
const OPERATIONS: [&str; 3] = ["add", "remove", "replace"];

const READ_ONLY: [&str; 13] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "direct_url",
    "self",
    "file",
    "schema",
    "id",
    "os_hash_algo",
    "os_hash_value",
];
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];

/// The dialects, by their media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"replace": "/name", "value": …}`
    V20,
    /// `{"op": "replace", "path": "/name", "value": …}`
    V21,
}

impl Dialect {
    /// The dialect that a `Content-Type` names, whatever its parameters.
    pub(crate) fn of(media_type: Option<&str>) -> Result<Self, Refusal> {
        match media_type.map(|given| given.split(';').next().unwrap_or("").trim()) {
            Some("application/openstack-images-v2.0-json-patch") => Ok(Self::V20),
            Some("application/openstack-images-v2.1-json-patch") => Ok(Self::V21),
            _ => Err(ApiError::patch_type(media_type).into()),
        }
    }
}

/// One operation on a key of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Writes the key, whether it is there or not; in the older dialect it must not be there.
    Add {
        key: String,
        value: Value,
        must_be_new: bool,
    },
    /// Writes the key, which must be there.
    Replace {
        key: String,
        value: Value,
    },
    Remove {
        key: String,
    },
    /// Something about the locations, which are not offered.
    Locations(&'static str),
}

/// The operations of a body.
pub(crate) fn parse(dialect: Dialect, body: Value) -> Result<Vec<Operation>, Refusal> {
    let Value::Array(changes) = body else {
        return Err(bad("Request body must be a JSON array of operation objects."));
    };
    changes
        .into_iter()
        .map(|change| match change {
            Value::Object(change) => operation(dialect, change),
            _ => Err(bad("Operations must be JSON objects.")),
        })
        .collect()
}

fn bad(why: impl Into<String>) -> Refusal {
    ApiError::bad_request(why).into()
}

fn operation(dialect: Dialect, mut change: Map<String, Value>) -> Result<Operation, Refusal> {
    let (op, pointer) = match dialect {
        Dialect::V20 => named_by_its_member(&mut change)?,
        Dialect::V21 => named_by_op(&mut change)?,
    };
    // Glance fails over a pointer that is no string.
    let Value::String(pointer) = pointer else { return Err(ApiError::internal().into()) };
    let path = decode(&pointer)?;
    let depth = if path.first().is_some_and(|root| root == "locations") && op != "replace" { 2 } else { 1 };
    let key = path.first().cloned().unwrap_or_default();
    if path.len() != depth {
        return Err(bad(format!("Invalid JSON pointer for this resource: '/{}'", path.join("/"))));
    }
    let value = change.remove("value");
    if op != "remove" && value.is_none() {
        return Err(bad(format!("Operation \"{op}\" requires a member named \"value\".")));
    }
    writable(&key)?;
    match (op, value) {
        ("add", _) if key == "locations" => Ok(Operation::Locations("add")),
        ("remove", _) if key == "locations" => Ok(Operation::Locations("remove")),
        ("remove", _) | (_, None) => Ok(Operation::Remove { key }),
        (op, Some(value)) => {
            let one = Map::from_iter([(key.clone(), value.clone())]);
            validate::against_schema(&one)?;
            validate::storable(&key, &value)?;
            match op {
                _ if key == "locations" => Ok(Operation::Locations("update")),
                "add" => Ok(Operation::Add { key, value, must_be_new: dialect == Dialect::V20 }),
                _ => Ok(Operation::Replace { key, value }),
            }
        }
    }
}

fn named_by_op(change: &mut Map<String, Value>) -> Result<(&'static str, Value), Refusal> {
    let known = OPERATIONS.join(", ");
    let given = change.remove("op").unwrap_or(Value::Null);
    let op = OPERATIONS.into_iter().find(|op| given == **op).ok_or_else(|| {
        let shown = given.as_str().map_or_else(|| given.to_string(), ToOwned::to_owned);
        bad(if given.is_null() {
            format!("Unable to find `op` in JSON Schema change. It must be one of the following: {known}.")
        } else {
            format!("Invalid operation: `{shown}`. It must be one of the following: {known}.")
        })
    })?;
    let path = change.remove("path").ok_or_else(|| bad("Unable to find 'path' in JSON Schema change"))?;
    Ok((op, path))
}

fn named_by_its_member(change: &mut Map<String, Value>) -> Result<(&'static str, Value), Refusal> {
    let named = "named \"add\", \"remove\", or \"replace\".";
    let mut found = OPERATIONS.into_iter().filter(|op| change.contains_key(*op));
    let op = found.next().ok_or_else(|| bad(format!("Operation objects must contain exactly one member {named}")))?;
    if found.next().is_some() {
        return Err(bad(format!("Operation objects must contain only one member {named}")));
    }
    Ok((op, change.remove(op).unwrap_or(Value::Null)))
}

/// The words of a pointer. `/` alone is the key that is empty.
fn decode(pointer: &str) -> Result<Vec<String>, Refusal> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(bad(format!("Pointer `{pointer}` does not start with \"/\".")));
    };
    let words: Vec<&str> = rest.split('/').collect();
    // What stands between two slashes may not be blank; the first and the last word have other rules.
    let between = words.get(1..words.len().saturating_sub(1)).unwrap_or_default();
    if between.iter().any(|word| word.trim().is_empty()) {
        return Err(bad(format!("Pointer `{pointer}` contains adjacent \"/\".")));
    }
    if pointer.len() > 1 && pointer.ends_with('/') {
        return Err(bad(format!("Pointer `{pointer}` end with \"/\".")));
    }
    let mut escapes = pointer.split('~').skip(1);
    if escapes.any(|after| !after.starts_with(['0', '1'])) {
        return Err(bad(format!("Pointer `{pointer}` contains \"~\" not part of a recognized escape sequence.")));
    }
    Ok(words.into_iter().map(|word| word.replace("~1", "/").replace("~0", "~").trim().to_owned()).collect())
}

fn writable(key: &str) -> Result<(), Refusal> {
    if READ_ONLY.contains(&key) {
        return Err(ApiError::forbidden(format!("Attribute '{key}' is read-only.")).into());
    }
    if RESERVED.contains(&key) || key.starts_with("os_glance_") {
        return Err(ApiError::forbidden(format!("Attribute '{key}' is reserved.")).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(dialect: Dialect, change: &Value) -> String {
        format!("{:?}", parse(dialect, json!([change])).unwrap_err())
    }

    #[test]
    fn both_dialects_say_the_same() {
        let new = parse(Dialect::V21, json!([{"op": "replace", "path": "/p~1~0q", "value": "v"}])).unwrap();
        let old = parse(Dialect::V20, json!([{"replace": "/p~1~0q", "value": "v"}])).unwrap();
        assert_eq!(new, old);
        assert_eq!(new, [Operation::Replace { key: "p/~q".to_owned(), value: json!("v") }]);
        assert_eq!(parse(Dialect::V21, json!([])).unwrap(), []);
    }

    #[test]
    fn a_pointer_has_one_word_and_its_escapes() {
        for (pointer, complaint) in [
            ("p", "does not start with"),
            ("/a/b", "Invalid JSON pointer for this resource"),
            ("/tags/-", "Invalid JSON pointer for this resource"),
            ("//", "end with"),
            ("/a//b", "adjacent"),
            ("/a~2", "recognized escape sequence"),
            ("/a~", "recognized escape sequence"),
        ] {
            let said = words(Dialect::V21, &json!({"op": "add", "path": pointer, "value": "v"}));
            assert!(said.contains(complaint), "{pointer}: {said}");
        }
        assert_eq!(decode("/").unwrap(), [""]);
        assert_eq!(decode("/~01").unwrap(), ["~1"]);
    }

    #[test]
    fn what_lacks_a_part_is_refused() {
        for (change, complaint) in [
            (json!({"path": "/p", "value": "v"}), "Unable to find `op`"),
            (json!({"op": "move", "path": "/p"}), "Invalid operation: `move`"),
            (json!({"op": "add", "value": "v"}), "Unable to find 'path'"),
            (json!({"op": "add", "path": "/p"}), "requires a member named"),
            (json!(5), "Operations must be JSON objects."),
            (json!({"op": "add", "path": "/p", "value": 5}), "does not match schema 'image'"),
        ] {
            let said = words(Dialect::V21, &change);
            assert!(said.contains(complaint), "{change}: {said}");
        }
        assert!(words(Dialect::V20, &json!({"value": "v"})).contains("exactly one member"));
        assert!(words(Dialect::V20, &json!({"add": "/p", "remove": "/p"})).contains("only one member"));
    }
}
