//! What the body of a creation may hold: the schema's rules, then Glance's own.

use super::errors::{ApiError, Refusal};
use super::schemas;
use serde_json::{Map, Value};

const READ_ONLY: [&str; 10] =
    ["status", "checksum", "size", "virtual_size", "created_at", "updated_at", "direct_url", "self", "file", "schema"];
const RESERVED: [&str; 4] = ["locations", "deleted", "deleted_at", "location"];

/// Checks a body against the schema of an image.
pub(crate) fn against_schema(body: &Map<String, Value>) -> Result<(), Refusal> {
    let schema = schemas::image();
    let properties = schema.get("properties");
    for (name, given) in body {
        let (rule, place) = match properties.and_then(|all| all.get(name)) {
            Some(rule) => (rule.clone(), format!("['properties']['{name}']")),
            None => (serde_json::json!({"type": "string"}), "['additionalProperties']".to_owned()),
        };
        check(&rule, given, &place, &format!("['{name}']"))?;
        if let (Some(items), Value::Array(elements)) = (rule.get("items"), given) {
            for (index, element) in elements.iter().enumerate() {
                check(items, element, &format!("{place}['items']"), &format!("['{name}'][{index}]"))?;
            }
        }
    }
    Ok(())
}

fn check(rule: &Value, given: &Value, place: &str, instance: &str) -> Result<(), Refusal> {
    let (keyword, complaint) = if !types(rule).iter().any(|kind| is_of(given, kind)) {
        let kinds: Vec<String> = types(rule).iter().map(|kind| format!("'{kind}'")).collect();
        ("type", format!("is not of type {}", kinds.join(", ")))
    } else if let Some(words) = rule.get("enum").and_then(Value::as_array)
        && !words.contains(given)
    {
        ("enum", format!("is not one of {}", python(&Value::Array(words.clone()))))
    } else if let (Some(longest), Value::String(text)) = (rule.get("maxLength").and_then(Value::as_u64), given)
        && text.chars().count() as u64 > longest
    {
        ("maxLength", "is too long".to_owned())
    } else if let (Some(pattern), Value::String(text)) = (rule.get("pattern").and_then(Value::as_str), given)
        && !is_uuid(text)
    {
        ("pattern", format!("does not match '{pattern}'"))
    } else {
        return Ok(());
    };
    let (shown, rule) = (python(given), python(rule));
    Err(ApiError::bad_request(format!(
        "Provided object does not match schema 'image': {shown} {complaint}\n\nFailed validating '{keyword}' in \
         schema{place}:\n    {rule}\n\nOn instance{instance}:\n    {shown}"
    ))
    .into())
}

fn types(rule: &Value) -> Vec<&str> {
    match rule.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind],
        _ => Vec::new(),
    }
}

fn is_of(given: &Value, kind: &str) -> bool {
    match kind {
        "null" => given.is_null(),
        "string" => given.is_string(),
        "boolean" => given.is_boolean(),
        "array" => given.is_array(),
        "object" => given.is_object(),
        // 1.0 is an integer to JSON Schema.
        "integer" => given.is_i64() || given.is_u64() || given.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

/// The pattern of ids, which knows no version and no variant.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit())
}

/// A value as Glance and Nova, Python programs, show it in their sentences.
pub(crate) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_string(text),
        Value::Array(elements) => format!("[{}]", elements.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let shown: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", python_string(key), python(value))).collect();
            format!("{{{}}}", shown.join(", "))
        }
    }
}

pub(crate) fn python_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other if other == quote => out.extend(['\\', other]),
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

/// Refuses what a caller may not set, and what the database under Glance cannot hold.
pub(crate) fn against_rules(body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, given) in body {
        if READ_ONLY.contains(&name.as_str()) || name == "stores" {
            return Err(ApiError::forbidden(format!("Attribute '{name}' is read-only.")).into());
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(ApiError::forbidden(format!("Attribute '{name}' is reserved.")).into());
        }
        if name.starts_with("os_glance_") {
            return Err(ApiError::access_denied(format!("Attribute '{name}' is reserved.")).into());
        }
        storable(name, given)?;
        if name.chars().count() > 255 {
            return Err(ApiError::bad_request("Custom property should not be greater than 255 characters.").into());
        }
    }
    Ok(())
}

/// Refuses a value that the database under Glance cannot hold.
pub(crate) fn storable(name: &str, given: &Value) -> Result<(), Refusal> {
    number_in_range(name, given)?;
    within_bmp(name, given)
}

fn number_in_range(name: &str, given: &Value) -> Result<(), Refusal> {
    if !matches!(name, "min_disk" | "min_ram") {
        return Ok(());
    }
    let number = given.as_f64().unwrap_or(0.0);
    if number < 0.0 {
        let why = format!("Invalid value '{given}' for parameter '{name}': Cannot be a negative value");
        return Err(ApiError::bad_request(why).into());
    }
    if number > f64::from(i32::MAX) {
        let why = format!("'{name}' value out of range, must not exceed {}.", i32::MAX);
        return Err(ApiError::bad_request(why).into());
    }
    Ok(())
}

fn within_bmp(name: &str, given: &Value) -> Result<(), Refusal> {
    let beyond = |text: &str| text.chars().any(|letter| u32::from(letter) > 0xFFFF);
    let why = match given {
        _ if beyond(name) => "Property names can't contain 4 byte unicode.".to_owned(),
        Value::String(text) if beyond(text) => {
            format!("{} can't contain 4 byte unicode characters.", capitalised(name))
        }
        Value::Array(tags) if tags.iter().filter_map(Value::as_str).any(beyond) => {
            "Param values can't contain 4 byte unicode.".to_owned()
        }
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(why).into())
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: Value) -> Option<String> {
        let Value::Object(map) = body else { panic!("the test gives an object") };
        match against_schema(&map).and_then(|()| against_rules(&map)) {
            Ok(()) => None,
            Err(refusal) => Some(format!("{refusal:?}")),
        }
    }

    #[test]
    fn types_are_not_coerced() {
        for body in [
            serde_json::json!({"name": 5}),
            serde_json::json!({"protected": "true"}),
            serde_json::json!({"min_disk": 1.5}),
            serde_json::json!({"min_disk": true}),
            serde_json::json!({"property": null}),
            serde_json::json!({"tags": [5]}),
        ] {
            assert!(words(body.clone()).unwrap().contains("does not match schema 'image'"), "{body}");
        }
        assert_eq!(words(serde_json::json!({"min_disk": 1.0})), None);
    }

    #[test]
    fn read_only_and_reserved_attributes_are_refused() {
        assert!(words(serde_json::json!({"status": "active"})).unwrap().contains("Attribute 'status' is read-only."));
        assert!(words(serde_json::json!({"locations": []})).unwrap().contains("Attribute 'locations' is reserved."));
        assert!(words(serde_json::json!({"os_glance_x": "a"})).unwrap().contains("is reserved."));
    }

    #[test]
    fn an_id_is_a_uuid_in_either_case() {
        assert!(is_uuid("8D0BF1B8-bc2a-482b-b0b8-afc6642f5a64"));
        assert!(!is_uuid("8d0bf1b8bc2a482bb0b8afc6642f5a64"));
        assert!(!is_uuid("8d0bf1b8-bc2a-482b-b0b8-afc6642f5a6g"));
    }

    #[test]
    fn names_beyond_the_basic_plane_are_refused() {
        assert!(words(serde_json::json!({"name": "\u{1F600}"})).unwrap().contains("Name can't contain 4 byte"));
        assert_eq!(words(serde_json::json!({"name": "\u{FFFD}\u{0}a/b"})), None);
    }
}
