//! The Identity service, as far as a client of images needs it, and how tokens end.

use serde_json::{Value, json};

use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    the_identity_service_tells_its_version,
    a_login_answers_with_a_token_and_what_it_is_good_for,
    the_catalogue_leads_to_the_image_service,
    a_login_without_a_catalogue_has_none,
    a_wrong_password_and_an_unknown_user_are_the_same,
    a_project_that_is_not_ones_own_is_refused,
    a_login_without_a_scope_names_no_project,
    a_token_buys_another_token,
    a_user_and_a_project_can_be_named_by_id,
    a_system_login_is_the_administrators,
    a_malformed_login_is_refused,
    a_token_can_be_looked_at,
    a_revoked_token_is_unknown,
    a_junk_token_opens_nothing,
    the_projects_of_a_user_are_listed,
];

async fn the_identity_service_tells_its_version(target: &Target) {
    let version = target.identity("GET", "/v3").send().await.is(200).json()["version"].clone();
    assert!(version["id"].as_str().unwrap().starts_with("v3."), "{version}");
    assert_eq!(version["status"], "stable");
    let href = version["links"][0]["href"].as_str().unwrap();
    assert_eq!(href.trim_end_matches('/'), format!("{}/v3", target.keystone));
    let all = target.identity("GET", "/").send().await.is(300).json();
    assert_eq!(all["versions"]["values"][0]["id"], version["id"]);
}

async fn a_login_answers_with_a_token_and_what_it_is_good_for(target: &Target) {
    let answer = target.login(&target.password_login("demo")).await.is(201);
    assert!(!answer.header("x-subject-token").unwrap().is_empty());
    let token = answer.json()["token"].clone();
    assert_eq!((&token["methods"], &token["user"]["name"]), (&json!(["password"]), &json!("demo")));
    assert_eq!((&token["project"]["name"], &token["project"]["domain"]["id"]), (&json!("demo"), &json!("default")));
    assert_eq!(token["is_domain"], false);
    let issued: jiff::Timestamp = token["issued_at"].as_str().unwrap().parse().unwrap();
    let expires: jiff::Timestamp = token["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires > issued);
    let mut roles: Vec<_> =
        token["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["member", "reader"]);
}

async fn the_catalogue_leads_to_the_image_service(target: &Target) {
    let token = target.login(&target.password_login("demo")).await.is(201).json()["token"].clone();
    let catalogue = token["catalog"].as_array().unwrap();
    let image = catalogue.iter().find(|service| service["type"] == "image").unwrap();
    let mut interfaces: Vec<_> =
        image["endpoints"].as_array().unwrap().iter().map(|end| end["interface"].as_str().unwrap()).collect();
    interfaces.sort_unstable();
    assert_eq!(interfaces, ["admin", "internal", "public"]);
    assert!(image["endpoints"].as_array().unwrap().iter().all(|end| end["region_id"] == "RegionOne"));
    assert!(catalogue.iter().any(|service| service["type"] == "identity"));
}

async fn a_login_without_a_catalogue_has_none(target: &Target) {
    let login = target.identity("POST", "/v3/auth/tokens?nocatalog").json(&target.password_login("demo"));
    assert_eq!(login.send().await.is(201).json()["token"].get("catalog"), None);
}

/// The Identity service words its refusals in a document of its own.
fn unauthorized(answer: &Answer, keystone: &str) -> Value {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.header("www-authenticate"), Some(format!("Keystone uri=\"{keystone}/v3\"").as_str()));
    let error = answer.json()["error"].clone();
    assert_eq!((&error["code"], &error["title"]), (&json!(401), &json!("Unauthorized")));
    error["message"].clone()
}

async fn a_wrong_password_and_an_unknown_user_are_the_same(target: &Target) {
    let (mut wrong, mut unknown) = (target.password_login("demo"), target.password_login("demo"));
    wrong["auth"]["identity"]["password"]["user"]["password"] = json!("wrong");
    unknown["auth"]["identity"]["password"]["user"]["name"] = json!("nobody");
    let messages =
        [target.login(&wrong).await, target.login(&unknown).await].map(|it| unauthorized(&it, &target.keystone));
    assert_eq!(messages[0], messages[1]);
    assert_eq!(messages[0], "The request you have made requires authentication.");
}

async fn a_project_that_is_not_ones_own_is_refused(target: &Target) {
    for project in ["alt", "nowhere"] {
        let mut login = target.password_login("demo");
        login["auth"]["scope"]["project"]["name"] = json!(project);
        unauthorized(&target.login(&login).await, &target.keystone);
    }
}

async fn a_login_without_a_scope_names_no_project(target: &Target) {
    let mut login = target.password_login("demo");
    login["auth"]["scope"] = json!("unscoped");
    let token = target.login(&login).await.is(201).json()["token"].clone();
    assert_eq!((token.get("project"), token.get("catalog"), token.get("roles")), (None, None, None));
}

async fn a_token_buys_another_token(target: &Target) {
    let demo = target.person("demo").await;
    let scope = target.password_login("demo")["auth"]["scope"].clone();
    let login = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": demo.token}}, "scope": scope}});
    let token = target.login(&login).await.is(201).json()["token"].clone();
    assert_eq!(token["project"]["id"], demo.project);
    assert!(token["methods"].as_array().unwrap().contains(&json!("token")));
}

async fn a_user_and_a_project_can_be_named_by_id(target: &Target) {
    let token = target.login(&target.password_login("demo")).await.is(201).json()["token"].clone();
    let mut login = target.password_login("demo");
    let password = login["auth"]["identity"]["password"]["user"]["password"].clone();
    login["auth"]["identity"]["password"]["user"] = json!({"id": token["user"]["id"], "password": password});
    login["auth"]["scope"]["project"] = json!({"id": token["project"]["id"]});
    assert_eq!(target.login(&login).await.is(201).json()["token"]["user"]["name"], "demo");
}

async fn a_system_login_is_the_administrators(target: &Target) {
    for (who, status) in [("admin", 201), ("demo", 401)] {
        let mut login = target.password_login(who);
        login["auth"]["scope"] = json!({"system": {"all": true}});
        let answer = target.login(&login).await.is(status);
        if status == 201 {
            assert_eq!(answer.json()["token"]["system"], json!({"all": true}));
        }
    }
}

async fn a_malformed_login_is_refused(target: &Target) {
    for body in [json!({}), json!({"auth": {}}), json!({"auth": {"identity": {}}})] {
        assert_eq!(target.login(&body).await.status, 400, "{body}");
    }
    for methods in [json!([]), json!(["magic"])] {
        let login = json!({"auth": {"identity": {"methods": methods, "magic": {}}}});
        unauthorized(&target.login(&login).await, &target.keystone);
    }
}

async fn a_token_can_be_looked_at(target: &Target) {
    let demo = target.person("demo").await;
    let look = target.identity("GET", "/v3/auth/tokens").header("X-Auth-Token", &demo.token);
    let answer = look.header("X-Subject-Token", &demo.token).send().await.is(200);
    assert_eq!(answer.json()["token"]["project"]["id"], demo.project);
    assert_eq!(answer.header("x-subject-token"), Some(demo.token.as_str()));
}

async fn a_revoked_token_is_unknown(target: &Target) {
    let (demo, other) = (target.person("demo").await, target.person("demo").await);
    let revoke = target.identity("DELETE", "/v3/auth/tokens").header("X-Auth-Token", &demo.token);
    revoke.header("X-Subject-Token", &demo.token).send().await.is(204);
    let look = target.identity("GET", "/v3/auth/tokens").header("X-Auth-Token", &other.token);
    look.header("X-Subject-Token", &demo.token).send().await.is(404);
}

async fn a_junk_token_opens_nothing(target: &Target) {
    for token in ["junk", ""] {
        let answer = target.identity("GET", "/v3/auth/projects").header("X-Auth-Token", token).send().await;
        unauthorized(&answer, &target.keystone);
    }
}

async fn the_projects_of_a_user_are_listed(target: &Target) {
    let demo = target.person("demo").await;
    let list =
        target.identity("GET", "/v3/auth/projects").header("X-Auth-Token", &demo.token).send().await.is(200).json();
    let projects = list["projects"].as_array().unwrap();
    assert_eq!(projects.len(), 1);
    assert_eq!((&projects[0]["id"], &projects[0]["name"]), (&json!(demo.project), &json!("demo")));
}
