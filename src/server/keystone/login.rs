//! From the body of a login to a token: who it is, how that is shown, and what access is asked for.

use super::accounts::{Accounts, ApplicationCredential, Project, User, implied};
use super::tokens::{Identity, Scope, Token};
use super::totp;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// Why nobody is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoLogin {
    /// The body lacks something, or has the wrong shape.
    Malformed(String),
    /// Wrong, unknown or not enough; Keystone never says which.
    Denied,
}

/// A person whose identity has been shown.
struct Shown<'a> {
    user: &'a User,
    credential: Option<&'a ApplicationCredential>,
    /// The end of the token that was shown instead of a secret.
    until: Option<Timestamp>,
    methods: Vec<String>,
}

/// Logs in with a body of `POST /v3/auth/tokens`.
pub(crate) fn login(identity: &Identity, body: &Value) -> Result<(String, Arc<Token>), NoLogin> {
    let auth = field(body, "auth", "request body")?;
    let shown = show_identity(identity, field(auth, "identity", "auth")?)?;
    let (scope, roles) = wanted_scope(&identity.accounts, &shown, auth.get("scope"))?;
    Ok(identity.issue(shown.user, shown.methods, scope, roles, shown.until))
}

fn field<'a>(within: &'a Value, name: &str, place: &str) -> Result<&'a Value, NoLogin> {
    within.get(name).ok_or_else(|| NoLogin::Malformed(format!("Expecting to find {name} in {place}.")))
}

fn text<'a>(within: &'a Value, name: &str) -> Option<&'a str> {
    within.get(name).and_then(Value::as_str)
}

fn show_identity<'a>(identity: &'a Identity, asked: &Value) -> Result<Shown<'a>, NoLogin> {
    let methods = field(asked, "methods", "identity")?.as_array();
    let methods: Vec<&str> = methods.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut shown: Option<Shown<'a>> = None;
    for method in &methods {
        let next = show_by(identity, method, field(asked, method, "identity")?)?;
        match &mut shown {
            Some(first) if first.user.id != next.user.id => return Err(NoLogin::Denied),
            Some(first) => first.methods.extend(next.methods),
            None => shown = Some(next),
        }
    }
    let shown = shown.ok_or(NoLogin::Denied)?;
    let has = |name: &str| shown.methods.iter().any(|method| method == name);
    if shown.user.multifactor && has("password") && !has("totp") {
        return Err(NoLogin::Denied);
    }
    Ok(shown)
}

fn show_by<'a>(identity: &'a Identity, method: &str, given: &Value) -> Result<Shown<'a>, NoLogin> {
    let accounts = &identity.accounts;
    let plain = |user| Shown { user, credential: None, until: None, methods: vec![method.to_owned()] };
    match method {
        "password" => {
            let asked = field(given, "user", "password")?;
            let user = find_user(accounts, asked)?;
            if text(asked, "password") == Some(user.password.expose()) { Ok(plain(user)) } else { Err(NoLogin::Denied) }
        }
        "totp" => {
            let asked = field(given, "user", "totp")?;
            let user = find_user(accounts, asked)?;
            let secret = user.totp_secret.as_ref().ok_or(NoLogin::Denied)?;
            let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
            let passcode = text(asked, "passcode").ok_or(NoLogin::Denied)?;
            if totp::accepts(secret.expose(), passcode, now) { Ok(plain(user)) } else { Err(NoLogin::Denied) }
        }
        "token" => {
            let token = text(given, "id").and_then(|word| identity.look_up(word)).ok_or(NoLogin::Denied)?;
            let user = identity.user_of(&token).ok_or(NoLogin::Denied)?;
            let mut methods = token.methods.clone();
            methods.retain(|known| known != "token");
            methods.push("token".to_owned());
            Ok(Shown { user, credential: None, until: Some(token.expires), methods })
        }
        "application_credential" => {
            let (user, credential) = find_credential(accounts, given)?;
            if text(given, "secret") != Some(credential.secret.expose()) {
                return Err(NoLogin::Denied);
            }
            Ok(Shown { credential: Some(credential), ..plain(user) })
        }
        _ => Err(NoLogin::Denied),
    }
}

/// A domain named by id or by name; the name of the default domain is `Default`.
fn is_domain(asked: Option<&Value>, id: &str) -> bool {
    let Some(asked) = asked else { return false };
    text(asked, "id") == Some(id) || text(asked, "name") == Some(domain_name(id))
}

/// The name of a domain: its id, but for the default one.
pub(crate) fn domain_name(id: &str) -> &str {
    if id == "default" { "Default" } else { id }
}

fn find_user<'a>(accounts: &'a Accounts, asked: &Value) -> Result<&'a User, NoLogin> {
    let found = match (text(asked, "id"), text(asked, "name")) {
        (Some(id), _) => accounts.user(id),
        (None, Some(name)) => {
            let domain = field(asked, "domain", "user")?;
            accounts.users.iter().find(|user| user.name == name && is_domain(Some(domain), &user.domain))
        }
        (None, None) => return Err(NoLogin::Malformed("Expecting to find id or name in user.".into())),
    };
    found.ok_or(NoLogin::Denied)
}

fn find_credential<'a>(
    accounts: &'a Accounts,
    given: &Value,
) -> Result<(&'a User, &'a ApplicationCredential), NoLogin> {
    let all = |user: &'a User| user.application_credentials.iter().map(move |credential| (user, credential));
    let found = if let Some(id) = text(given, "id") {
        accounts.users.iter().flat_map(all).find(|(_, credential)| credential.id == id)
    } else {
        let user = find_user(accounts, field(given, "user", "application_credential")?)?;
        all(user).find(|(_, credential)| text(given, "name") == Some(&credential.name))
    };
    found.ok_or(NoLogin::Denied)
}

fn wanted_scope(
    accounts: &Accounts,
    shown: &Shown<'_>,
    scope: Option<&Value>,
) -> Result<(Scope, Vec<String>), NoLogin> {
    let user = shown.user;
    if let Some(credential) = shown.credential {
        let project = accounts.project_of(user, &credential.project).ok_or(NoLogin::Denied)?;
        let own = accounts.roles_in(user, project);
        let roles = if credential.roles.is_empty() { own } else { implied(&credential.roles) };
        return Ok((Scope::Project(project.id.clone()), roles));
    }
    let (scope, roles) = match scope {
        None => return Ok((Scope::Unscoped, Vec::new())),
        Some(Value::String(word)) if word == "unscoped" => return Ok((Scope::Unscoped, Vec::new())),
        Some(scope) => {
            if let Some(asked) = scope.get("project") {
                let project = find_project(accounts, asked).ok_or(NoLogin::Denied)?;
                (Scope::Project(project.id.clone()), accounts.roles_in(user, project))
            } else if let Some(asked) = scope.get("domain") {
                let held = is_domain(Some(asked), &user.domain);
                let roles = if held { implied(&user.domain_roles) } else { Vec::new() };
                (Scope::Domain(user.domain.clone()), roles)
            } else if scope.get("system").is_some() {
                (Scope::System, implied(&user.system_roles))
            } else {
                return Ok((Scope::Unscoped, Vec::new()));
            }
        }
    };
    if roles.is_empty() { Err(NoLogin::Denied) } else { Ok((scope, roles)) }
}

fn find_project<'a>(accounts: &'a Accounts, asked: &Value) -> Option<&'a Project> {
    if let Some(id) = text(asked, "id") {
        return accounts.project(id);
    }
    let name = text(asked, "name")?;
    accounts.projects.iter().find(|project| project.name == name && is_domain(asked.get("domain"), &project.domain))
}

#[cfg(test)]
mod tests;
