//! Against a real Keystone, where `GLANCEFS_TEST_CLOUDS` names a clouds.yaml with the clouds `demo` and `system`.

use glancefs::config::{Cloud, OpenStackOptions, Surroundings};
use glancefs::service::auth::Login;

/// The cloud of that name, or `None` where no real Keystone is at hand.
fn cloud(name: &str) -> Option<Cloud> {
    let file = std::env::var("GLANCEFS_TEST_CLOUDS").ok()?;
    let around = Surroundings {
        variables: [("OS_CLIENT_CONFIG_FILE".to_owned(), file)].into(),
        current_dir: "/nonexistent".into(),
        read: Box::new(|path| std::fs::read_to_string(path)),
    };
    Some(Cloud::resolve(&around, &OpenStackOptions::default(), Some(name), None).unwrap())
}

#[tokio::test]
async fn a_password_brings_a_token_for_the_project_and_the_image_service() {
    let Some(cloud) = cloud("demo") else { return };
    let login = Login::new(cloud).unwrap();
    let token = login.token().await.unwrap();
    assert_eq!(token.holder().project_name.as_deref(), Some("demo"));
    assert_eq!(token.holder().user_name.as_deref(), Some("demo"));
    assert!(token.expires_at().is_some());
    assert!(login.image_endpoint().await.unwrap().as_str().starts_with("http"));
}

#[tokio::test]
async fn a_token_for_the_system_has_no_project() {
    let Some(cloud) = cloud("system") else { return };
    let token = Login::new(cloud).unwrap().token().await.unwrap();
    assert_eq!(token.project_id(), None);
}
