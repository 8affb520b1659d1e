//! What befalls uploads, and what is left behind.

use super::*;
use crate::server::{Quota, UploadFault};

/// A queued image, ready for bytes: the path of it.
async fn empty(server: &Server) -> String {
    let body = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let created = call(&server.url(), "POST", "/v2/images", "", body).await.json();
    format!("/v2/images/{}", created["id"].as_str().unwrap())
}

async fn put(server: &Server, path: &str, data: &[u8]) -> Answer {
    call(&server.url(), "PUT", &format!("{path}/file"), OCTETS, data).await
}

async fn status(server: &Server, path: &str) -> Value {
    get(server, path).await.json()["status"].clone()
}

async fn behaving(behaviour: Behaviour) -> (TempDir, Server) {
    let folder = TempDir::new().unwrap();
    let server = Server::start(Settings { behaviour, ..Settings::new(folder.path()) }).await.unwrap();
    (folder, server)
}

#[tokio::test]
async fn every_fault_of_an_upload_shows_as_what_it_is_and_leaves_what_it_says() {
    for (fault, answer, left) in [
        (UploadFault::Closed, None, "queued"),
        (UploadFault::Unavailable, Some(503), "queued"),
        (UploadFault::Limited, Some(429), "queued"),
        (UploadFault::Page, Some(502), "queued"),
        (UploadFault::Cut, None, "queued"),
        (UploadFault::Broken, Some(500), "queued"),
        (UploadFault::Unanswered, None, "active"),
        (UploadFault::Late, Some(504), "active"),
        (UploadFault::Stuck, None, "saving"),
    ] {
        let (_folder, server) = behaving(Behaviour { uploads: vec![fault], ..Behaviour::default() }).await;
        let path = empty(&server).await;
        assert_eq!(put(&server, &path, b"hello").await.status, answer, "{fault:?}");
        assert_eq!(status(&server, &path).await, json!(left), "{fault:?}");
        let next = if left == "queued" { 204 } else { 409 };
        assert_eq!(put(&server, &path, b"hello").await.status, Some(next), "{fault:?}");
    }
}

#[tokio::test]
async fn listed_faults_befall_uploads_only_and_one_each() {
    let uploads = vec![UploadFault::Unavailable, UploadFault::Limited];
    let (_folder, server) = behaving(Behaviour { uploads: uploads.clone(), ..Behaviour::default() }).await;
    let path = empty(&server).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(put(&server, &path, b"hello").await.status);
    }
    assert_eq!(statuses, [Some(503), Some(429), Some(204)]);
    assert_eq!(get(&server, &format!("{path}/file")).await.body, b"hello");
    server.set_behaviour(Behaviour { uploads, ..Behaviour::default() });
    assert_eq!(put(&server, &path, b"hello").await.status, Some(503), "the list begins anew");
    let traffic = server.traffic();
    assert_eq!((traffic.uploads, traffic.body_bytes_received), (4, 5));
}

#[test]
fn a_seed_draws_faults_that_end_by_themselves() {
    let faults = Faults { seed: 3, one_in: 2 };
    let drawn: Vec<_> = (0..500).filter_map(|number| faults.of_upload(number)).collect();
    assert!(!drawn.iter().any(|fault| matches!(fault, UploadFault::Stalled | UploadFault::Stuck)));
    assert!([UploadFault::Cut, UploadFault::Unanswered, UploadFault::Page].iter().all(|fault| drawn.contains(fault)));
    assert_eq!(drawn, (0..500).filter_map(|number| faults.of_upload(number)).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_image_that_is_stuck_in_saving_can_be_deleted_and_a_restart_frees_it() {
    let (folder, server) = behaving(Behaviour { uploads: vec![UploadFault::Stuck; 2], ..Behaviour::default() }).await;
    let (first, second) = (empty(&server).await, empty(&server).await);
    for path in [&first, &second] {
        put(&server, path, b"hello").await;
        assert_eq!(status(&server, path).await, json!("saving"));
    }
    assert_eq!(call(&server.url(), "DELETE", &first, "", b"").await.status, Some(204));
    server.stop().await;
    let server = started(&folder).await;
    assert_eq!(status(&server, &second).await, json!("queued"));
    assert_eq!(get(&server, &first).await.status, Some(404));
}

#[tokio::test]
async fn a_sender_that_falls_silent_is_answered_500_and_the_image_queued() {
    let patience = Duration::from_millis(20);
    let (_folder, server) = behaving(Behaviour { sender_patience: patience, ..Behaviour::default() }).await;
    let path = empty(&server).await;
    let head = format!(
        "PUT {path}/file HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{OCTETS}Content-Length: 100\r\n\r\nhello"
    );
    assert_eq!(raw(&server.url(), head.as_bytes()).await.status, Some(500));
    assert_eq!(status(&server, &path).await, json!("queued"));
}

#[tokio::test]
async fn an_upload_comes_no_faster_than_its_rate() {
    let (_folder, server) = behaving(Behaviour { upload_rate: Some(50_000), ..Behaviour::default() }).await;
    let path = empty(&server).await;
    let began = std::time::Instant::now();
    assert_eq!(put(&server, &path, &[7; 5000]).await.status, Some(204));
    assert!(began.elapsed() >= Duration::from_millis(90));
}

#[tokio::test]
async fn a_service_without_accounts_may_have_limits() {
    let quota = Some(Quota { image_size_total: 1, image_count_total: 1, ..Quota::default() });
    let (_folder, server) = behaving(Behaviour { quota, ..Behaviour::default() }).await;
    let path = empty(&server).await;
    assert_eq!(call(&server.url(), "POST", "/v2/images", "", b"{}").await.status, Some(413));
    assert_eq!(put(&server, &path, &vec![7; 2 << 20]).await.status, Some(413));
    assert_eq!(put(&server, &path, &vec![7; 1 << 20]).await.status, Some(204));
    let usage = get(&server, "/v2/info/usage").await.json();
    assert_eq!(usage["usage"]["image_size_total"], json!({"usage": 1, "limit": 1}));
}

#[tokio::test]
async fn what_is_changed_during_an_upload_is_lost_at_its_end() {
    let (_folder, server) = behaving(Behaviour::default()).await;
    let path = empty(&server).await;
    let mut stream = TcpStream::connect(address(&server.url())).await.unwrap();
    let head =
        format!("PUT {path}/file HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{OCTETS}Content-Length: 5\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    wait_for_status(&server, path.trim_start_matches("/v2/images/"), "saving").await;
    let change = br#"[{"op": "add", "path": "/p", "value": "v"}]"#;
    let kind = "Content-Type: application/openstack-images-v2.1-json-patch\r\n";
    let changed = call(&server.url(), "PATCH", &path, kind, change).await;
    assert_eq!((changed.status, &changed.json()["p"]), (Some(200), &json!("v")));
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let image = get(&server, &path).await.json();
    assert_eq!((&image["status"], image.get("p")), (&json!("active"), None));
}

#[tokio::test]
async fn a_stalled_upload_stands_still_until_the_service_ends() {
    let (folder, server) = behaving(Behaviour { uploads: vec![UploadFault::Stalled], ..Behaviour::default() }).await;
    let path = empty(&server).await;
    let mut stream = TcpStream::connect(address(&server.url())).await.unwrap();
    stream.write_all(&request("PUT", &format!("{path}/file"), OCTETS, b"hello")).await.unwrap();
    wait_for_status(&server, path.trim_start_matches("/v2/images/"), "saving").await;
    server.stop().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "the connection ends without an answer");
    let server = started(&folder).await;
    assert_eq!(status(&server, &path).await, json!("queued"));
}
