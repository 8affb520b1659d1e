//! Every way to log in, and every scope.

use super::super::accounts::Accounts;
use super::*;
use serde_json::json;
use std::time::Duration;

const PEOPLE: &str = "
projects: [{name: lab}, {name: other}]
users:
  - name: ann
    password: hush
    projects: {lab: [member], other: [reader]}
    domain_roles: [admin]
    system_roles: [reader]
    application_credentials:
      - {id: ac1, name: robot, secret: beep, project: lab}
      - {id: ac2, name: viewer, secret: boop, project: lab, roles: [reader]}
  - name: bob
    password: hush
    projects: {lab: [member]}
    totp_secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
    multifactor: true
";

fn identity() -> Identity {
    let accounts = Accounts::from_yaml(PEOPLE).unwrap();
    Identity::new(accounts, String::new(), None, None, Duration::from_mins(1))
}

fn password(user: &str, password: &str) -> Value {
    json!({"methods": ["password"], "password": {
        "user": {"name": user, "domain": {"id": "default"}, "password": password},
    }})
}

fn try_login(identity: &Identity, shown: Value, scope: Value) -> Result<(String, Arc<Token>), NoLogin> {
    let mut auth = serde_json::Map::from_iter([("identity".to_owned(), shown)]);
    if !scope.is_null() {
        auth.insert("scope".to_owned(), scope);
    }
    login(identity, &json!({"auth": auth}))
}

fn lab() -> Value {
    json!({"project": {"name": "lab", "domain": {"name": "Default"}}})
}

#[test]
fn a_password_must_be_right() {
    let identity = identity();
    assert!(try_login(&identity, password("ann", "hush"), lab()).is_ok());
    assert_eq!(try_login(&identity, password("ann", "wrong"), lab()).err(), Some(NoLogin::Denied));
    assert_eq!(try_login(&identity, password("nobody", "hush"), lab()).err(), Some(NoLogin::Denied));
}

#[test]
fn each_scope_gives_the_roles_held_there() {
    let identity = identity();
    let roles = |scope: Value| try_login(&identity, password("ann", "hush"), scope).unwrap().1.roles.clone();
    assert_eq!(roles(lab()), ["member", "reader"]);
    assert_eq!(roles(json!({"project": {"name": "other", "domain": {"id": "default"}}})), ["reader"]);
    assert_eq!(roles(json!({"domain": {"id": "default"}})), ["admin", "manager", "member", "reader"]);
    assert_eq!(roles(json!({"system": {"all": true}})), ["reader"]);
    assert!(roles(Value::Null).is_empty());
}

#[test]
fn an_unscoped_token_opens_no_image_service_but_can_be_scoped() {
    let identity = identity();
    let (unscoped, first) = try_login(&identity, password("ann", "hush"), Value::Null).unwrap();
    assert!(identity.caller(&unscoped).is_none());
    let shown = json!({"methods": ["token"], "token": {"id": unscoped}});
    let (scoped, second) = try_login(&identity, shown, lab()).unwrap();
    assert!(identity.caller(&scoped).is_some_and(|caller| caller.member && !caller.admin));
    assert_eq!(second.methods, ["password", "token"]);
    assert_eq!(second.expires, first.expires, "a token made from a token lives no longer");
}

#[test]
fn an_application_credential_is_bound_to_its_project_and_roles() {
    let identity = identity();
    let by_id = |id: &str, secret: &str| json!({"methods": ["application_credential"], "application_credential": {"id": id, "secret": secret}});
    let (_, token) = try_login(&identity, by_id("ac1", "beep"), Value::Null).unwrap();
    assert!(matches!(token.scope, Scope::Project(_)));
    assert_eq!(token.roles, ["member", "reader"]);
    assert_eq!(try_login(&identity, by_id("ac2", "boop"), Value::Null).unwrap().1.roles, ["reader"]);
    assert_eq!(try_login(&identity, by_id("ac1", "boop"), Value::Null).err(), Some(NoLogin::Denied));
    let by_name = json!({"methods": ["application_credential"], "application_credential": {
        "name": "robot", "secret": "beep", "user": {"name": "ann", "domain": {"id": "default"}},
    }});
    assert!(try_login(&identity, by_name, Value::Null).is_ok());
}

#[test]
fn who_needs_two_factors_gets_nothing_for_one() {
    let identity = identity();
    assert_eq!(try_login(&identity, password("bob", "hush"), lab()).err(), Some(NoLogin::Denied));
    let wrong = json!({"methods": ["password", "totp"], "password": password("bob", "hush")["password"], "totp": {
        "user": {"name": "bob", "domain": {"id": "default"}, "passcode": "no digits"},
    }});
    assert_eq!(try_login(&identity, wrong, lab()).err(), Some(NoLogin::Denied));
}

#[test]
fn a_body_without_its_parts_is_malformed() {
    let identity = identity();
    let words = |body: Value| match login(&identity, &body) {
        Err(NoLogin::Malformed(words)) => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(words(json!({})), "Expecting to find auth in request body.");
    assert_eq!(words(json!({"auth": {}})), "Expecting to find identity in auth.");
    let unknown = json!({"auth": {"identity": {"methods": ["foo"]}}});
    assert_eq!(words(unknown), "Expecting to find foo in identity.");
}
