//! Logging in to Keystone.

use glancefs::config::{AuthMethod, Cloud, Credential, Scope, TokenCommand, User};
use glancefs::service::Kind;
use glancefs::service::auth::Login;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::target::Target;

crate::contracts!(Both:
    a_password_brings_a_token_for_the_project_and_the_image_service,
    an_address_without_v3_leads_to_it,
    a_token_for_the_system_has_no_project,
    a_wrong_password_is_refused_in_keystones_words,
    a_project_that_the_user_has_no_role_in_is_refused,
    without_a_project_there_is_no_catalog_and_it_is_said,
    a_region_that_does_not_exist_is_told_with_those_that_do,
    a_token_is_exchanged_until_it_is_revoked,
    a_token_that_a_program_prints_brings_the_catalog,
    a_token_that_was_revoked_is_replaced,
);

/// The embedded Keystone has no calls to make application credentials: its accounts file lists them.
pub(crate) mod real_only {
    crate::contracts!(Real: super::an_application_credential_logs_in_until_it_is_deleted);
}

/// A person at Keystone's API, without anything of the crate's login.
struct Person {
    client: reqwest::Client,
    base: String,
    token: String,
    user: String,
}

impl Person {
    async fn of(cloud: &Cloud) -> Self {
        // Also makes the TLS provider known, which the client below needs.
        let login = Login::new(cloud.clone()).unwrap();
        let project = login.token().await.unwrap().project_id().unwrap().to_owned();
        let AuthMethod::Password { user: User::Name(name, _), password } = &cloud.auth else { panic!("no password") };
        let user = json!({ "name": name, "domain": { "id": "default" }, "password": password.expose_secret() });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body = json!({ "auth": { "identity": identity, "scope": { "project": { "id": project } } } });
        let client = reqwest::Client::new();
        let base = cloud.auth_url.clone().unwrap().to_string();
        let request = client.post(format!("{base}/auth/tokens")).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        let token = response.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let document: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let user = document["token"]["user"]["id"].as_str().unwrap().to_owned();
        Self { client, base, token, user }
    }

    async fn create_credential(&self) -> (String, String) {
        let name = format!("glancefs-{}", uuid::Uuid::new_v4());
        let url = format!("{}/users/{}/application_credentials", self.base, self.user);
        let request = self.client.post(url).header("x-auth-token", &self.token);
        let body = json!({ "application_credential": { "name": name } }).to_string();
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let document: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let part = |key: &str| document["application_credential"][key].as_str().unwrap().to_owned();
        (part("id"), part("secret"))
    }

    async fn delete_credential(&self, id: &str) {
        let url = format!("{}/users/{}/application_credentials/{id}", self.base, self.user);
        let answer = self.client.delete(url).header("x-auth-token", &self.token).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn revoke_token(&self) {
        let request = self.client.delete(format!("{}/auth/tokens", self.base)).header("x-auth-token", &self.token);
        assert!(request.header("x-subject-token", &self.token).send().await.unwrap().status().is_success());
    }
}

async fn a_password_brings_a_token_for_the_project_and_the_image_service(target: &Target) {
    let cloud = target.cloud("demo");
    let login = Login::new(cloud).unwrap();
    let token = login.token().await.unwrap();
    assert_eq!(token.holder().project_name.as_deref(), Some("demo"));
    assert_eq!(token.holder().user_name.as_deref(), Some("demo"));
    assert!(token.expires_at().is_some());
    assert!(login.image_endpoint().await.unwrap().as_str().starts_with("http"));
}

async fn an_address_without_v3_leads_to_it(target: &Target) {
    let mut cloud = target.cloud("demo");
    let mut url = cloud.auth_url.clone().unwrap();
    url.set_path(url.path().to_owned().trim_end_matches("/v3"));
    cloud.auth_url = Some(url);
    Login::new(cloud).unwrap().token().await.unwrap();
}

async fn a_token_for_the_system_has_no_project(target: &Target) {
    let cloud = target.cloud("system");
    let token = Login::new(cloud).unwrap().token().await.unwrap();
    assert_eq!(token.project_id(), None);
}

async fn a_wrong_password_is_refused_in_keystones_words(target: &Target) {
    let mut cloud = target.cloud("demo");
    let AuthMethod::Password { password, .. } = &mut cloud.auth else { panic!("no password") };
    *password = "wrong-s3cret".into();
    let error = Login::new(cloud).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, Kind::Login);
    assert!(error.to_string().contains("requires authentication"), "{error}");
    assert!(error.request_id.is_some() && !error.to_string().contains("wrong-s3cret"), "{error}");
}

async fn a_project_that_the_user_has_no_role_in_is_refused(target: &Target) {
    let mut cloud = target.cloud("demo");
    cloud.scope = Scope::ProjectId("0".repeat(32));
    assert_eq!(Login::new(cloud).unwrap().token().await.unwrap_err().kind, Kind::Login);
}

async fn without_a_project_there_is_no_catalog_and_it_is_said(target: &Target) {
    let mut cloud = target.cloud("demo");
    cloud.scope = Scope::Unscoped;
    let error = Login::new(cloud).unwrap().image_endpoint().await.unwrap_err();
    assert_eq!(error.kind, Kind::Configuration);
    assert!(error.to_string().contains("name a project"), "{error}");
}

async fn a_region_that_does_not_exist_is_told_with_those_that_do(target: &Target) {
    let mut cloud = target.cloud("demo");
    cloud.region = Some("Nowhere".to_owned());
    let error = Login::new(cloud).unwrap().image_endpoint().await.unwrap_err();
    assert!(error.to_string().contains("Nowhere") && error.to_string().contains("public in"), "{error}");
}

async fn an_application_credential_logs_in_until_it_is_deleted(target: &Target) {
    let mut cloud = target.cloud("demo");
    let person = Person::of(&cloud).await;
    let (id, secret) = person.create_credential().await;
    cloud.auth =
        AuthMethod::ApplicationCredential { credential: Credential::Id(id.clone()), secret: secret.clone().into() };
    cloud.scope = Scope::Unscoped;
    let login = Login::new(cloud).unwrap();
    let token = login.token().await;
    let endpoint = login.image_endpoint().await;
    person.delete_credential(&id).await;
    let token = token.unwrap();
    assert_eq!(token.holder().project_name.as_deref(), Some("demo"));
    endpoint.unwrap();
    let error = login.renew(&token).await.unwrap_err();
    assert_eq!(error.kind, Kind::Login);
    assert!(error.to_string().contains("application credential") && !error.to_string().contains(&secret), "{error}");
}

async fn a_token_is_exchanged_until_it_is_revoked(target: &Target) {
    let mut cloud = target.cloud("demo");
    let person = Person::of(&cloud).await;
    cloud.auth = AuthMethod::Token(person.token.clone().into());
    let login = Login::new(cloud).unwrap();
    let token = login.token().await.unwrap();
    assert_eq!(token.holder().project_name.as_deref(), Some("demo"));
    person.revoke_token().await;
    let error = login.renew(&token).await.unwrap_err();
    assert_eq!(error.kind, Kind::Login, "{error}");
    assert!(!error.to_string().contains(&person.token), "{error}");
}

async fn a_token_that_a_program_prints_brings_the_catalog(target: &Target) {
    let mut cloud = target.cloud("demo");
    let person = Person::of(&cloud).await;
    cloud.auth = AuthMethod::Command(TokenCommand::Program(vec!["echo".to_owned(), person.token]));
    assert!(Login::new(cloud).unwrap().image_endpoint().await.unwrap().as_str().starts_with("http"));
}

async fn a_token_that_was_revoked_is_replaced(target: &Target) {
    let cloud = target.cloud("demo");
    let login = Login::new(cloud).unwrap();
    let refused = login.token().await.unwrap();
    login.renew(&refused).await.unwrap();
    assert!(login.token().await.unwrap().left(jiff::Timestamp::now()).is_some());
}
