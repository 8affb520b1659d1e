//! The method of logging in, and what the token is for.

use secrecy::SecretString;

use super::super::cloud::{AuthMethod, Credential, Domain, Scope, TokenCommand, User};
use super::super::error::ConfigError;
use super::super::value::Value;
use super::settings::Settings;

/// The domain that every Keystone is set up with, and that `openstack` takes when none is named.
const DEFAULT_DOMAIN: &str = "default";

const KNOWN: &str = "known here are password, token, v3applicationcredential, v3totp, v3multifactor, none and \
                     admin_token; for anything else give a token_command, such as 'openstack token issue -f json'";

/// How to log in.
pub(super) fn method(settings: &Settings) -> Result<AuthMethod, ConfigError> {
    if let Some(command) = token_command(settings)? {
        return Ok(AuthMethod::Command(command));
    }
    let name = match settings.raw("auth_type") {
        Some(Value::Null) => "none",
        _ => settings.value("auth_type").unwrap_or_else(|| implied(settings)),
    };
    named(settings, name)
}

fn named(settings: &Settings, name: &str) -> Result<AuthMethod, ConfigError> {
    match name {
        "password" | "v3password" => Ok(AuthMethod::Password { user: user(settings)?, password: password(settings)? }),
        "token" | "v3token" => Ok(AuthMethod::Token(secret(settings, "token", "OS_TOKEN")?)),
        "v3applicationcredential" => application_credential(settings),
        "v3totp" => {
            Ok(AuthMethod::Totp { user: user(settings)?, passcode: secret(settings, "passcode", "OS_PASSCODE")? })
        }
        "v3multifactor" => multifactor(settings),
        "none" | "None" | "noauth" => Ok(AuthMethod::None),
        "admin_token" | "token_endpoint" => Ok(AuthMethod::AdminToken(secret(settings, "token", "OS_TOKEN")?)),
        other => Err(settings.invalid("auth_type", other, KNOWN)),
    }
}

/// The method where `auth_type` says none: what the credentials are for.
fn implied(settings: &Settings) -> &'static str {
    let has = |key: &str| settings.auth(key).is_some();
    let names_user = has("username") || has("user_name") || has("user_id");
    if has("application_credential_secret") && !has("password") {
        "v3applicationcredential"
    } else if has("token") && !names_user {
        let without_catalog = !has("auth_url") && (has("endpoint") || has("url"));
        if without_catalog { "admin_token" } else { "token" }
    } else {
        "password"
    }
}

fn token_command(settings: &Settings) -> Result<Option<TokenCommand>, ConfigError> {
    match settings.raw("token_command") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::List(list)) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_text).map(str::to_owned).collect();
            Ok(Some(TokenCommand::Program(words)).filter(|command| !command.program().is_empty()))
        }
        Some(Value::Text { text, .. }) if text.trim().is_empty() => Ok(None),
        Some(Value::Text { text, .. }) => Ok(Some(TokenCommand::Shell(text.clone()))),
        Some(other) => Err(ConfigError::Shape {
            place: format!("token_command of cloud {}", settings.cloud),
            expected: "a command line, or a list of a program and its arguments",
            found: other.kind(),
        }),
    }
}

fn multifactor(settings: &Settings) -> Result<AuthMethod, ConfigError> {
    let names = settings.values("auth_methods");
    if names.is_empty() {
        return Err(settings.missing("auth_methods", "list the methods, such as [v3password, v3totp]"));
    }
    let one = |name: &&str| match *name {
        "v3password" | "password" | "v3token" | "token" | "v3totp" | "v3applicationcredential" => named(settings, name),
        other => Err(settings.invalid(
            "auth_methods",
            other,
            "each can be v3password, v3totp, v3token or v3applicationcredential",
        )),
    };
    names.iter().map(one).collect::<Result<_, _>>().map(AuthMethod::Multifactor)
}

fn application_credential(settings: &Settings) -> Result<AuthMethod, ConfigError> {
    let id = settings.auth("application_credential_id").map(|id| Credential::Id(id.to_owned()));
    let credential = match (id, settings.auth("application_credential_name")) {
        (Some(id), _) => id,
        (None, Some(name)) => Credential::Name(name.to_owned(), user(settings)?),
        (None, None) => {
            let advice = "write it under auth, or set OS_APPLICATION_CREDENTIAL_ID (or its name and its user)";
            return Err(settings.missing("application_credential_id", advice));
        }
    };
    let secret = secret(settings, "application_credential_secret", "OS_APPLICATION_CREDENTIAL_SECRET")?;
    Ok(AuthMethod::ApplicationCredential { credential, secret })
}

fn user(settings: &Settings) -> Result<User, ConfigError> {
    if let Some(id) = settings.auth("user_id") {
        return Ok(User::Id(id.to_owned()));
    }
    let name = settings.auth("username").or_else(|| settings.auth("user_name"));
    let name = name.ok_or_else(|| settings.missing("username", "write it under auth, or set OS_USERNAME"))?;
    Ok(User::Name(name.to_owned(), domain(settings, "user_domain_id", "user_domain_name")))
}

fn domain(settings: &Settings, id: &str, name: &str) -> Domain {
    let given = |id: &str, name: &str| {
        let by_id = settings.auth(id).map(|id| Domain::Id(id.to_owned()));
        by_id.or_else(|| settings.auth(name).map(|name| Domain::Name(name.to_owned())))
    };
    let fallback = || {
        let named = settings.value("default_domain").or(settings.default_domain.as_deref());
        Domain::Id(named.unwrap_or(DEFAULT_DOMAIN).to_owned())
    };
    given(id, name).or_else(|| given("default_domain_id", "default_domain_name")).unwrap_or_else(fallback)
}

fn password(settings: &Settings) -> Result<SecretString, ConfigError> {
    secret(settings, "password", "OS_PASSWORD")
}

fn secret(settings: &Settings, key: &'static str, variable: &str) -> Result<SecretString, ConfigError> {
    let missing = || settings.missing(key, &format!("write it into secure.yaml or clouds.yaml, or set {variable}"));
    settings.auth(key).map(SecretString::from).ok_or_else(missing)
}

/// What the token is for. An application credential brings its project along and may not ask for one.
pub(super) fn scope(settings: &Settings, auth: &AuthMethod) -> Result<Scope, ConfigError> {
    if matches!(auth, AuthMethod::ApplicationCredential { .. } | AuthMethod::None | AuthMethod::AdminToken(_)) {
        return Ok(Scope::Unscoped);
    }
    let asked = [
        ("a project", project(settings)),
        ("a domain", domain_scope(settings)),
        ("the system", system(settings)?),
        ("a trust", settings.auth("trust_id").map(|id| Scope::Trust(id.to_owned()))),
    ];
    let mut given: Vec<_> = asked.into_iter().filter_map(|(word, scope)| Some((word, scope?))).collect();
    if given.len() > 1 {
        let scopes = given.into_iter().map(|(word, _)| word).collect();
        return Err(ConfigError::SeveralScopes { cloud: settings.cloud.clone(), scopes });
    }
    Ok(given.pop().map_or(Scope::Unscoped, |(_, scope)| scope))
}

fn project(settings: &Settings) -> Option<Scope> {
    let by_id = settings.auth("project_id").map(|id| Scope::ProjectId(id.to_owned()));
    by_id.or_else(|| {
        let domain = domain(settings, "project_domain_id", "project_domain_name");
        settings.auth("project_name").map(|name| Scope::ProjectName(name.to_owned(), domain))
    })
}

fn domain_scope(settings: &Settings) -> Option<Scope> {
    let by_id = settings.auth("domain_id").map(|id| Domain::Id(id.to_owned()));
    let domain = by_id.or_else(|| settings.auth("domain_name").map(|name| Domain::Name(name.to_owned())));
    domain.map(Scope::Domain)
}

fn system(settings: &Settings) -> Result<Option<Scope>, ConfigError> {
    match settings.auth("system_scope") {
        None => Ok(None),
        Some("all") => Ok(Some(Scope::System)),
        Some(other) => Err(settings.invalid("system_scope", other, "it can only be all")),
    }
}
