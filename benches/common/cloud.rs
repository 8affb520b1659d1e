//! Logging in to a real Keystone, without a secret in a command line.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use glancefs::config::shape::from_value;
use glancefs::config::yaml::from_yaml;
use serde_json::{Value, json};

use super::process::said;

/// A token of somebody in a clouds.yaml, and where the Image service is.
pub(crate) fn log_in(clouds: &Path, who: &str, scratch: &Path) -> Result<(String, String)> {
    let text = fs::read_to_string(clouds).with_context(|| format!("{} cannot be read", clouds.display()))?;
    let described: Value = from_value(from_yaml(&text)?)?;
    let auth =
        described.pointer(&format!("/clouds/{who}/auth")).with_context(|| format!("the clouds.yaml has no {who}"))?;
    let of = |name: &str| auth.get(name).cloned().unwrap_or(Value::Null);
    let domain = json!({"id": "default"});
    let user = json!({"name": of("username"), "domain": domain, "password": of("password")});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": of("project_name"), "domain": domain}}}});
    let request = scratch.join("login");
    write_secret(&request, &body.to_string())?;
    let keystone = of("auth_url").as_str().context("no auth_url")?.trim_end_matches('/').to_owned();
    let mut login = Command::new("curl");
    login.args(["--fail", "--silent", "--show-error", "--include", "--header", "Content-Type: application/json"]);
    let answer =
        said(login.arg("--data").arg(format!("@{}", request.display())).arg(format!("{keystone}/auth/tokens")))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let named = |line: &str| {
        Some(line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("x-subject-token"))?.1.to_owned())
    };
    let token = head.lines().find_map(named).context("no token")?;
    let glance = endpoint(&serde_json::from_str(body)?).context("the catalogue has no public Image service")?;
    Ok((token, glance))
}

fn endpoint(body: &Value) -> Option<String> {
    let services = body.pointer("/token/catalog")?.as_array()?;
    let image = services.iter().find(|service| service.get("type").is_some_and(|kind| kind == "image"))?;
    let endpoints = image.get("endpoints")?.as_array()?;
    let public = endpoints.iter().find(|one| one.get("interface").is_some_and(|interface| interface == "public"))?;
    Some(public.get("url")?.as_str()?.trim_end_matches('/').to_owned())
}

/// Writes what nobody else may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
