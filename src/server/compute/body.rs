//! What the body of a metadata request may hold, and the sentences about what it may not.

use super::error::Fault;
use crate::server::validate::{python, python_string};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// More than any body that the limits on items and their lengths let through.
const LONGEST_BODY: usize = 16 << 20;
/// The most letters of a key and of a value.
const LONGEST: usize = 255;
const KEYS: &str = "^[a-zA-Z0-9-_:. ]{1,255}$";
/// Media types that Nova reads as JSON; the first two are what it takes for none.
const JSON: [&str; 4] = ["", "text/plain", "application/json", "application/vnd.openstack.compute+json"];

/// The items of a metadata object, as a body gives them.
pub(super) type Items = BTreeMap<String, String>;

/// 415 for a body of another media type. A request without a body has none.
pub(super) fn acceptable(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if JSON.contains(&given) {
        return Ok(());
    }
    Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type"))
}

/// The items under `name`, the one key that the body has; one item only where there may be no more.
pub(super) async fn items(body: Body, name: &str, one: bool) -> Result<Items, Fault> {
    let bytes = axum::body::to_bytes(body, LONGEST_BODY).await;
    let bytes = bytes.map_err(|_| Fault::bad_request("Malformed request body"))?;
    let document = if bytes.is_empty() { Value::Null } else { parse(&bytes)? };
    let Value::Object(mut document) = document else {
        return Err(Fault::bad_request(format!("{} is not of type 'object'", python(&document))));
    };
    // What is wrong inside comes before what is wrong beside it.
    let items = document.remove(name).map(|given| check(name, given, one)).transpose()?;
    let items = items.ok_or_else(|| Fault::bad_request(format!("'{name}' is a required property")))?;
    if document.is_empty() { Ok(items) } else { Err(Fault::bad_request(unexpected(&document))) }
}

fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    if std::str::from_utf8(bytes).is_err() {
        let why = "The server has either erred or is incapable of performing the requested operation.";
        return Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, why));
    }
    serde_json::from_slice(bytes).map_err(|_| Fault::bad_request("Malformed request body"))
}

fn unexpected(others: &Map<String, Value>) -> String {
    let names: Vec<String> = others.keys().map(|key| format!("'{key}'")).collect();
    let verb = if names.len() == 1 { "was" } else { "were" };
    format!("Additional properties are not allowed ({} {verb} unexpected)", names.join(", "))
}

/// The sentence about a value: the field, the value as it is, the value as Python writes it, and what is wrong.
fn invalid(field: &str, given: &Value, complaint: &str) -> Fault {
    let written = python(given);
    Fault::bad_request(format!(
        "Invalid input for field/attribute {field}. Value: {}. {written} {complaint}",
        plain(given)
    ))
}

fn plain(given: &Value) -> String {
    given.as_str().map_or_else(|| python(given), str::to_owned)
}

fn check(name: &str, given: Value, one: bool) -> Result<Items, Fault> {
    let Value::Object(given) = given else {
        return Err(invalid(name, &given, "is not of type 'object'"));
    };
    let known = given.iter().filter(|(key, _)| is_key(key)).map(|(key, given)| Ok((key.clone(), text(key, given)?)));
    let items = known.collect::<Result<Items, Fault>>()?;
    let strange: Vec<String> = given.keys().filter(|key| !is_key(key)).map(|key| python_string(key)).collect();
    let whole = Value::Object(given);
    if !strange.is_empty() {
        let verb = if strange.len() == 1 { "does" } else { "do" };
        let (shown, strange) = (python(&whole), strange.join(", "));
        let why = format!("{strange} {verb} not match any of the regexes: '{KEYS}'");
        return Err(Fault::bad_request(format!("Invalid input for field/attribute {name}. Value: {shown}. {why}")));
    }
    match items.len() {
        0 if one => Err(invalid(name, &whole, "should be non-empty")),
        2.. if one => Err(invalid(name, &whole, "has too many properties")),
        _ => Ok(items),
    }
}

fn text(key: &str, given: &Value) -> Result<String, Fault> {
    let text = given.as_str().ok_or_else(|| invalid(key, given, "is not of type 'string'"))?;
    if text.chars().count() > LONGEST {
        return Err(invalid(key, given, "is too long"));
    }
    Ok(text.to_owned())
}

fn is_key(key: &str) -> bool {
    (1..=LONGEST).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:. ".contains(&byte))
}
