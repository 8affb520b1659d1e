//! The Compute API: where it is, and where it is not.

use super::*;

#[tokio::test]
async fn the_compute_api_shows_the_same_images_without_accounts() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let id = image(&server, b"hello").await;
    let shown = get(&server, &format!("/compute/v2.1/images/{id}")).await;
    assert_eq!((shown.status, &shown.json()["image"]["status"]), (Some(200), &json!("ACTIVE")));
    assert_eq!(server.compute_url(), Some(format!("{}/compute/v2.1", server.url())));
    // The Image API has this path too, and keeps it.
    assert_eq!(get(&server, &format!("/v2.1/images/{id}")).await.json()["status"], "active");
}

#[tokio::test]
async fn without_the_compute_api_its_path_is_one_of_the_image_api() {
    let folder = TempDir::new().unwrap();
    let accounts = Some(Accounts::example());
    let settings = Settings { accounts, compute: false, ..Settings::new(folder.path()) };
    let server = Server::start(settings).await.unwrap();
    assert_eq!(get(&server, "/compute/v2.1/images").await.status, Some(300));
    assert_eq!(server.compute_url(), None);
    assert_eq!(kinds(&server).await, ["identity", "image"]);
}

#[tokio::test]
async fn the_catalogue_leads_to_the_compute_api() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { accounts: Some(Accounts::example()), ..Settings::new(folder.path()) };
    let server = Server::start(settings).await.unwrap();
    assert_eq!(kinds(&server).await, ["identity", "image", "compute"]);
}

#[tokio::test]
async fn the_image_api_can_be_left_out_of_the_catalogue() {
    let folder = TempDir::new().unwrap();
    let settings =
        Settings { accounts: Some(Accounts::example()), image_listed: false, ..Settings::new(folder.path()) };
    let server = Server::start(settings).await.unwrap();
    assert_eq!(kinds(&server).await, ["identity", "compute"]);
}

#[tokio::test]
async fn metadata_outlives_a_restart() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let path = format!("/compute/v2.1/images/{}/metadata", image(&server, b"hello").await);
    let set = call(&server.url(), "PUT", &path, "", br#"{"metadata": {"k": "w"}}"#).await;
    assert_eq!(set.status, Some(200), "{set:?}");
    server.stop().await;
    let server = started(&folder).await;
    assert_eq!(get(&server, &path).await.json(), json!({"metadata": {"k": "w"}}));
}

/// The types of the services in the catalogue.
async fn kinds(server: &Server) -> Vec<String> {
    let domain = json!({"id": "default"});
    let user = json!({"name": "demo", "domain": domain, "password": "secret"});
    let login = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "demo", "domain": domain}}}});
    let keystone = server.keystone_url().unwrap();
    let token = call(&keystone, "POST", "/v3/auth/tokens", "", login.to_string().as_bytes()).await.json();
    let services = token["token"]["catalog"].as_array().unwrap();
    services.iter().map(|service| service["type"].as_str().unwrap().to_owned()).collect()
}
