//! Each case of `cases.yaml` means what openstacksdk says in `expected.json`, or what the case says instead.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};
use glancefs::config::value::{Map, Value};
use glancefs::config::yaml::from_yaml;
use glancefs::config::{AuthMethod, Cloud, OpenStackOptions, Surroundings, Tls};
use glancefs::service::auth::Login;
use serde_json::{Value as Json, json};
use url::Url;

use crate::keystone::Keystone;

const ROOT: &str = "/case";

#[tokio::test]
async fn every_case_means_what_openstacksdk_makes_of_it() {
    let expected: Json = serde_json::from_str(include_str!("expected.json")).unwrap();
    let cases = from_yaml(include_str!("cases.yaml")).unwrap();
    let keystone = Keystone::start(3600).await;
    let mut wrong = Vec::new();
    for case in cases.as_list().unwrap() {
        let case = case.as_map().unwrap();
        let name = text(case, "name").unwrap();
        let expected = expected["cases"].get(name).unwrap_or_else(|| panic!("run expected.py for {name:?}"));
        let ours = describe(case, &keystone).await;
        wrong.extend(compare(case, expected, &ours).into_iter().map(|line| format!("{name}: {line}")));
    }
    assert!(cases.as_list().unwrap().len() > 100);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn text<'a>(map: &'a Map, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_text)
}

fn surroundings(case: &Map) -> Surroundings {
    let texts = |key: &str| case.get(key).and_then(Value::as_map).cloned().unwrap_or_default();
    let files: BTreeMap<PathBuf, String> = texts("files")
        .iter()
        .map(|(path, value)| (Path::new(ROOT).join(path), value.as_text().unwrap_or_default().to_owned()))
        .collect();
    let mut variables: BTreeMap<String, String> = texts("env")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_text().unwrap_or_default().replace("$ROOT", ROOT)))
        .collect();
    variables.insert("HOME".to_owned(), format!("{ROOT}/home"));
    Surroundings {
        variables,
        current_dir: Path::new(ROOT).join("work"),
        read: Box::new(move |path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())),
    }
}

fn options(case: &Map) -> OpenStackOptions {
    let words = case.get("args").and_then(Value::as_list).unwrap_or_default();
    let words = words.iter().filter_map(Value::as_text);
    let command = OpenStackOptions::augment_args(clap::Command::new("glancefs"));
    OpenStackOptions::from_arg_matches(&command.get_matches_from(["glancefs"].into_iter().chain(words))).unwrap()
}

async fn describe(case: &Map, keystone: &Keystone) -> Json {
    let found = Cloud::resolve(&surroundings(case), &options(case), text(case, "cloud"), text(case, "region"));
    let cloud = match found {
        Ok(cloud) => cloud,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string().replace(ROOT, "$ROOT"));
    let interfaces: Vec<_> = cloud.interfaces.iter().map(ToString::to_string).collect();
    json!({
        "auth_type": cloud.auth.name(),
        "auth_url": cloud.auth_url,
        "region": cloud.region,
        "interface": interfaces,
        "endpoint": cloud.image_endpoint,
        "api_version": cloud.image_api_version,
        "service_type": cloud.image_service_type,
        "service_name": cloud.image_service_name,
        "verify": cloud.tls.verify,
        "cacert": if cloud.tls.verify { file(&cloud.tls.ca) } else { None },
        "cert": file(&cloud.tls.cert),
        "key": file(&cloud.tls.key),
        "body": body(cloud, keystone).await,
    })
}

/// What is sent to Keystone, taken from a login to ours.
async fn body(mut cloud: Cloud, keystone: &Keystone) -> Json {
    if matches!(cloud.auth, AuthMethod::None | AuthMethod::AdminToken(_)) {
        return Json::Null;
    }
    cloud.auth_url = Some(keystone.url.join("v3").unwrap());
    cloud.tls = Tls::default();
    Login::new(cloud).unwrap().token().await.unwrap();
    keystone.logins().last().cloned().unwrap()
}

fn compare(case: &Map, expected: &Json, ours: &Json) -> Vec<String> {
    let differs = case.get("differs").map(json_of).unwrap_or_default();
    assert_eq!(differs.is_object(), text(case, "why").is_some(), "a difference needs a reason, and only that");
    let refusal = differs.get("error").and_then(Json::as_str).or_else(|| text(case, "says"));
    if let Some(said) = refusal {
        assert!(text(case, "says").is_none() || expected.get("error").is_some(), "`says` is for what both refuse");
        return match ours["error"].as_str() {
            Some(error) if error.contains(said) => Vec::new(),
            _ => vec![format!("our error should say {said:?}: {ours}")],
        };
    }
    let both_refuse = expected.get("error").is_some() && !differs.is_object();
    if both_refuse {
        return vec![format!("openstacksdk refuses; what does our error say? {ours}")];
    }
    let mut wanted = expected.as_object().filter(|known| !known.contains_key("error")).cloned().unwrap_or_default();
    wanted.extend(differs.as_object().cloned().unwrap_or_default());
    let unlike = wanted.iter().filter(|(field, value)| !alike(field, value, &ours[field.as_str()]));
    unlike.map(|(field, value)| format!("{field} is {} and should be {value} ({ours})", ours[field.as_str()])).collect()
}

fn alike(field: &str, wanted: &Json, ours: &Json) -> bool {
    let url = |value: &Json| value.as_str().and_then(|text| Url::parse(text).ok());
    match field {
        "auth_url" | "endpoint" => url(wanted) == url(ours),
        "interface" => json_words(wanted) == json_words(ours),
        "body" => without_order(wanted) == without_order(ours),
        _ => wanted == ours,
    }
}

/// The catalog's old names end in URL.
fn json_words(value: &Json) -> Vec<String> {
    let words = value.as_array().into_iter().flatten().filter_map(Json::as_str);
    words.map(|word| word.trim_end_matches("URL").to_owned()).collect()
}

/// A login says the same in whatever order its methods stand.
fn without_order(body: &Json) -> Json {
    let mut body = body.clone();
    if let Some(Json::Array(methods)) = body.pointer_mut("/auth/identity/methods") {
        methods.sort_by_key(ToString::to_string);
    }
    body
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text { boolean: Some(boolean), .. } => Json::Bool(*boolean),
        Value::Text { text, .. } => Json::String(text.clone()),
        Value::List(list) => list.iter().map(json_of).collect(),
        Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), json_of(value))).collect(),
    }
}
