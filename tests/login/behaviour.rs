//! How a login behaves, against a Keystone that answers what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use glancefs::config::{AuthMethod, Backend, Cloud, Domain, Scope, Tls, TokenCommand, User};
use glancefs::service::Kind;
use glancefs::service::auth::Login;
use jiff::Timestamp;
use serde_json::json;
use url::Url;

use crate::keystone::{IMAGE, Keystone, Reply};

fn cloud(keystone: &Keystone) -> Cloud {
    let mut cloud = Cloud::of_url(keystone.url.clone(), Tls::default());
    cloud.name = String::from("test");
    cloud.image_endpoint = None;
    cloud.auth_url = Some(keystone.url.clone());
    let user = User::Name("me".to_owned(), Domain::Id("default".to_owned()));
    cloud.auth = AuthMethod::Password { user, password: "s3cret".into() };
    cloud.scope = Scope::ProjectId("p1".to_owned());
    cloud
}

/// A login with a clock that stands still until the test moves it.
fn with_clock(cloud: Cloud) -> (Login, impl Fn(i64)) {
    let seconds = Arc::new(AtomicI64::new(1_700_000_000));
    let hand = Arc::clone(&seconds);
    let clock = Arc::new(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap());
    (Login::with_clock(cloud, clock).unwrap(), move |by| {
        hand.fetch_add(by, Ordering::SeqCst);
    })
}

/// Waits until Keystone was asked so often. The condition is what is waited for, not a time.
async fn until_logins(keystone: &Keystone, count: usize) {
    while keystone.logins().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_hundred_who_wait_share_one_login() {
    let keystone = Keystone::start_closed(3600).await;
    let login = Login::new(cloud(&keystone)).unwrap();
    let waiting = join_all((0..100).map(|_| login.token()));
    let open = async {
        until_logins(&keystone, 1).await;
        keystone.open(1);
    };
    let (tokens, ()) = tokio::join!(waiting, open);
    assert!(tokens.iter().all(Result::is_ok));
    assert_eq!(keystone.logins().len(), 1);
}

#[tokio::test]
async fn a_hundred_whose_token_was_refused_share_one_renewal() {
    let keystone = Keystone::start(3600).await;
    let login = Login::new(cloud(&keystone)).unwrap();
    let refused = login.token().await.unwrap();
    let renewed = join_all((0..100).map(|_| login.renew(&refused))).await;
    assert!(renewed.iter().all(Result::is_ok));
    assert_eq!(keystone.logins().len(), 2);
    login.renew(&refused).await.unwrap();
    assert_eq!(keystone.logins().len(), 2, "the present token is another one already");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_while_the_old_one_serves() {
    let keystone = Keystone::start_closed(3600).await;
    keystone.open(1);
    let (login, advance) = with_clock(cloud(&keystone));
    let first = login.token().await.unwrap();
    advance(3600 - 361);
    assert_eq!(login.token().await.unwrap().expires_at(), first.expires_at());
    assert_eq!(keystone.logins().len(), 1, "more than a tenth of its life is left");
    advance(2);
    assert_eq!(login.token().await.unwrap().expires_at(), first.expires_at(), "nobody waits for the renewal");
    until_logins(&keystone, 2).await;
    keystone.open(1);
    let renewed = login.token_lasting(Duration::from_mins(50)).await.unwrap();
    assert!(renewed.expires_at() > first.expires_at());
    assert_eq!(keystone.logins().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_over_is_waited_for() {
    let keystone = Keystone::start(3600).await;
    let (login, advance) = with_clock(cloud(&keystone));
    let first = login.token().await.unwrap();
    advance(3600);
    assert!(login.token().await.unwrap().expires_at() > first.expires_at());
}

#[tokio::test]
async fn how_long_a_token_lives_does_not_depend_on_keystones_clock() {
    let keystone = Keystone::start(3600).await;
    let (login, _) = with_clock(cloud(&keystone));
    let token = login.token().await.unwrap();
    assert_eq!(token.expires_at().unwrap().as_second(), 1_700_003_600);
}

#[tokio::test]
async fn a_token_tells_how_far_the_clocks_are_apart() {
    // Keystone believes that 2025 has just begun; our clock stands in November 2023.
    let keystone = Keystone::start(3600).await;
    let (login, _) = with_clock(cloud(&keystone));
    let ahead = login.token().await.unwrap().clock_ahead().unwrap();
    assert_eq!(ahead.as_secs(), 1_700_000_000 - 1_735_689_600);
}

#[tokio::test]
async fn a_token_that_has_to_last_longer_is_renewed_and_else_kept() {
    let keystone = Keystone::start(3600).await;
    let (login, advance) = with_clock(cloud(&keystone));
    login.token().await.unwrap();
    advance(1000);
    login.token_lasting(Duration::from_secs(2000)).await.unwrap();
    assert_eq!(keystone.logins().len(), 1);
    login.token_lasting(Duration::from_mins(50)).await.unwrap();
    assert_eq!(keystone.logins().len(), 2);
    login.token_lasting(Duration::from_mins(150)).await.unwrap();
    assert_eq!(keystone.logins().len(), 3, "longer than any token lives: the longest-lived one there is");
}

#[tokio::test]
async fn a_refusal_wakes_all_and_is_remembered_for_a_moment() {
    let keystone = Keystone::start(3600).await;
    keystone.reply(Reply::refusal(401, "The request you have made requires authentication."));
    let (login, advance) = with_clock(cloud(&keystone));
    let outcomes = join_all((0..20).map(|_| login.token())).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.kind == Kind::Login)));
    assert!(login.token().await.is_err());
    assert_eq!(keystone.logins().len(), 1, "nobody hammers Keystone");
    advance(6);
    assert!(login.token().await.is_ok());
}

#[tokio::test]
async fn a_refusal_says_who_where_what_and_no_secret() {
    let keystone = Keystone::start(3600).await;
    keystone.reply(Reply::refusal(401, "The request you have made requires authentication."));
    let error = Login::new(cloud(&keystone)).unwrap().token().await.unwrap_err();
    let place = keystone.url.origin().ascii_serialization();
    for part in ["cloud test", "user me", "project p1", &place, "requires authentication", "password", "req-1"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_missing_factor_is_named() {
    let keystone = Keystone::start(3600).await;
    keystone.reply(Reply::refusal(401, "More, please.").with_header("openstack-auth-receipt", "r"));
    let error = Login::new(cloud(&keystone)).unwrap().token().await.unwrap_err();
    assert!(error.to_string().contains("v3multifactor"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_keystone_that_is_busy_is_asked_again() {
    let keystone = Keystone::start(3600).await;
    keystone.reply(Reply::refusal(503, "busy").with_header("retry-after", "7"));
    keystone.reply(Reply { status: 502, headers: vec![], body: "<html>bad gateway</html>".to_owned() });
    assert!(Login::new(cloud(&keystone)).unwrap().token().await.is_ok());
    assert_eq!(keystone.logins().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_keystone_that_stays_broken_is_given_up() {
    let keystone = Keystone::start(3600).await;
    (0..6).for_each(|_| keystone.reply(Reply::refusal(500, "An unexpected error prevented the server.")));
    let error = Login::new(cloud(&keystone)).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.to_string().contains("unexpected error"), "{error}");
    assert_eq!(keystone.logins().len(), 6);
}

#[tokio::test]
async fn a_credential_that_was_deleted_is_a_refused_login_and_no_wrong_address() {
    let keystone = Keystone::start(3600).await;
    keystone.reply(Reply::refusal(404, "Could not find Application Credential: x."));
    let error = Login::new(cloud(&keystone)).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, Kind::Login);
    assert!(error.to_string().contains("Could not find Application Credential"), "{error}");
}

#[tokio::test]
async fn an_address_without_a_keystone_is_told() {
    let keystone = Keystone::start(3600).await;
    let mut cloud = cloud(&keystone);
    cloud.auth_url = Some(keystone.url.join("/elsewhere").unwrap());
    let error = Login::new(cloud).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, Kind::Configuration);
    assert!(error.to_string().contains("auth_url"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_host_where_nothing_listens_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let keystone = Keystone::start(3600).await;
    let mut cloud = cloud(&keystone);
    cloud.auth_url = Some(format!("http://{address}/v3").parse().unwrap());
    let error = Login::new(cloud).unwrap().token().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_not_followed() {
    let (keystone, other) = (Keystone::start(3600).await, Keystone::start(3600).await);
    let elsewhere = other.url.join("v3/auth/tokens").unwrap();
    keystone.reply(Reply::refusal(307, "").with_header("location", elsewhere.as_str()));
    assert!(Login::new(cloud(&keystone)).unwrap().token().await.is_err());
    assert!(other.logins().is_empty(), "the password went to another host");
}

#[tokio::test]
async fn a_redirect_inside_of_the_origin_is_followed() {
    let keystone = Keystone::start(3600).await;
    let same = keystone.url.join("v3/auth/tokens").unwrap();
    keystone.reply(Reply::refusal(307, "").with_header("location", same.as_str()));
    assert!(Login::new(cloud(&keystone)).unwrap().token().await.is_ok());
}

#[tokio::test]
async fn the_catalog_leads_to_the_image_service() {
    let keystone = Keystone::start(3600).await;
    let login = Login::new(cloud(&keystone)).unwrap();
    assert_eq!(login.image_endpoint().await.unwrap().as_str(), IMAGE);
    assert_eq!(login.token().await.unwrap().holder().roles, ["member"]);
    assert_eq!(keystone.logins().len(), 1, "the login that brings the catalog brings the token too");
}

#[tokio::test]
async fn a_service_that_wants_no_token_gets_none_and_no_keystone_is_asked() {
    let url: Url = "http://image.example:9292".parse().unwrap();
    let login = Login::new(Cloud::of_url(url.clone(), Tls::default())).unwrap();
    let token = login.token().await.unwrap();
    assert_eq!((login.image_endpoint().await.unwrap(), token.expires_at()), (url, None));
    assert_eq!(login.renew(&token).await.unwrap_err().kind, Kind::Unauthorized);
}

#[tokio::test]
async fn a_program_prints_the_token_and_keystone_gives_the_catalog() {
    let keystone = Keystone::start(3600).await;
    let mut cloud = cloud(&keystone);
    let issued = json!({ "id": "printed", "expires": "2099-01-01T00:00:00+0000", "project_id": "p9" }).to_string();
    cloud.auth = AuthMethod::Command(TokenCommand::Program(vec!["echo".to_owned(), issued]));
    let login = Login::new(cloud).unwrap();
    assert_eq!(login.token().await.unwrap().project_id(), Some("p9"));
    assert_eq!(login.image_endpoint().await.unwrap().as_str(), IMAGE);
    assert!(keystone.logins().is_empty());
}

#[tokio::test]
async fn where_the_compute_service_has_an_address_the_catalog_still_leads_to_the_image_service() {
    let keystone = Keystone::start(3600).await;
    let mut cloud = cloud(&keystone);
    cloud.auth = AuthMethod::Command(TokenCommand::Program(vec!["echo".to_owned(), "printed".to_owned()]));
    let compute: Url = "http://compute.example/v2.1".parse().unwrap();
    cloud.compute.endpoint = Some(compute.clone());
    cloud.backend = Backend::Compute;
    let login = Login::new(cloud.clone()).unwrap();
    assert_eq!(login.compute_endpoint().await.unwrap(), compute);
    assert_eq!(login.image_endpoint().await.unwrap().as_str(), IMAGE);
    // Without a Keystone there is no catalog, and the Compute service does without.
    cloud.auth_url = None;
    let login = Login::new(cloud).unwrap();
    assert!(login.token().await.is_ok());
    assert_eq!(login.image_endpoint().await.unwrap_err().kind, Kind::Configuration);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_end_the_login_of_the_others() {
    let keystone = Keystone::start_closed(3600).await;
    let login = Login::new(cloud(&keystone)).unwrap();
    let first = tokio::spawn({
        let login = login.clone();
        async move { login.token().await }
    });
    until_logins(&keystone, 1).await;
    first.abort();
    keystone.open(1);
    assert!(login.token().await.is_ok());
    assert_eq!(keystone.logins().len(), 1);
}

#[tokio::test]
async fn no_debug_output_shows_a_secret() {
    let keystone = Keystone::start(3600).await;
    let login = Login::new(cloud(&keystone)).unwrap();
    let token = login.token().await.unwrap();
    let shown = format!("{login:?} {token:?} {:?}", login.cloud());
    assert!(!shown.contains("s3cret") && !shown.contains("token-1"), "{shown}");
}
