//! What is sent to `POST /v3/auth/tokens`.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::config::{AuthMethod, Credential, Domain, Scope, User};

/// The body of a login. It holds the secrets in the clear and is not to be shown.
pub(super) fn body(auth: &AuthMethod, scope: &Scope) -> Value {
    let mut identity = Map::new();
    let mut methods = Vec::new();
    for (name, content) in factors(auth) {
        methods.push(Value::from(name));
        identity.insert(name.to_owned(), content);
    }
    identity.insert("methods".to_owned(), Value::Array(methods));
    let mut auth = Map::from_iter([("identity".to_owned(), Value::Object(identity))]);
    if let Some(scope) = scope_of(scope) {
        auth.insert("scope".to_owned(), scope);
    }
    json!({ "auth": auth })
}

fn factors(auth: &AuthMethod) -> Vec<(&'static str, Value)> {
    match auth {
        AuthMethod::Password { user, password } => vec![("password", with_secret(user, "password", password))],
        AuthMethod::Totp { user, passcode } => vec![("totp", with_secret(user, "passcode", passcode))],
        AuthMethod::Token(token) => vec![("token", json!({ "id": token.expose_secret() }))],
        AuthMethod::ApplicationCredential { credential, secret } => {
            vec![("application_credential", application_credential(credential, secret))]
        }
        AuthMethod::Multifactor(methods) => methods.iter().flat_map(factors).collect(),
        AuthMethod::None | AuthMethod::AdminToken(_) | AuthMethod::Command(_) => Vec::new(),
    }
}

fn with_secret(of: &User, key: &str, secret: &SecretString) -> Value {
    let mut user = user(of);
    user.insert(key.to_owned(), secret.expose_secret().into());
    json!({ "user": user })
}

fn application_credential(credential: &Credential, secret: &SecretString) -> Value {
    let secret = secret.expose_secret();
    match credential {
        Credential::Id(id) => json!({ "id": id, "secret": secret }),
        Credential::Name(name, of) => json!({ "name": name, "user": user(of), "secret": secret }),
    }
}

fn user(user: &User) -> Map<String, Value> {
    match user {
        User::Id(id) => Map::from_iter([("id".to_owned(), id.as_str().into())]),
        User::Name(name, of) => {
            Map::from_iter([("name".to_owned(), name.as_str().into()), ("domain".to_owned(), domain(of))])
        }
    }
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn scope_of(scope: &Scope) -> Option<Value> {
    Some(match scope {
        Scope::ProjectId(id) => json!({ "project": { "id": id } }),
        Scope::ProjectName(name, of) => json!({ "project": { "name": name, "domain": domain(of) } }),
        Scope::Domain(of) => json!({ "domain": domain(of) }),
        Scope::System => json!({ "system": { "all": true } }),
        Scope::Trust(id) => json!({ "OS-TRUST:trust": { "id": id } }),
        Scope::Unscoped => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> User {
        User::Name("me".into(), Domain::Id("default".into()))
    }

    #[test]
    fn a_password_login_names_user_domain_and_project() {
        let auth = AuthMethod::Password { user: me(), password: "pw".into() };
        let scope = Scope::ProjectName("p".into(), Domain::Name("Default".into()));
        let expected = json!({ "auth": {
            "identity": {
                "methods": ["password"],
                "password": { "user": { "name": "me", "domain": { "id": "default" }, "password": "pw" } },
            },
            "scope": { "project": { "name": "p", "domain": { "name": "Default" } } },
        }});
        assert_eq!(body(&auth, &scope), expected);
    }

    #[test]
    fn several_factors_stand_side_by_side() {
        let password = AuthMethod::Password { user: me(), password: "pw".into() };
        let totp = AuthMethod::Totp { user: me(), passcode: "123".into() };
        let body = body(&AuthMethod::Multifactor(vec![password, totp]), &Scope::Unscoped);
        assert_eq!(body["auth"]["identity"]["methods"], json!(["password", "totp"]));
        assert_eq!(body["auth"]["identity"]["totp"]["user"]["passcode"], "123");
        assert!(body["auth"].get("scope").is_none());
    }

    #[test]
    fn an_application_credential_by_name_brings_its_user() {
        let credential = Credential::Name("ac".into(), User::Id("u1".into()));
        let auth = AuthMethod::ApplicationCredential { credential, secret: "s".into() };
        let identity = &body(&auth, &Scope::Unscoped)["auth"]["identity"];
        assert_eq!(identity["application_credential"], json!({ "name": "ac", "user": { "id": "u1" }, "secret": "s" }));
    }
}
