//! What the service promises beyond the wire contract that the API tests hold it to: the folder on disk, restarts,
//! and the switches.

use super::{Accounts, Behaviour, Fault, Faults, Ranges, Server, ServerError, Settings};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

mod compute;
mod imports;
mod uploads;

/// One answer; without a status line nothing but the empty body.
#[derive(Debug)]
struct Answer {
    status: Option<u16>,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self { status, head, body: bytes[end..].to_vec() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn address(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap()
}

/// Sends bytes as they are, and reads until the service closes.
async fn raw(url: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    // A reset is how some of the faults end; what came before it counts.
    let _ = stream.read_to_end(&mut bytes).await;
    Answer::of(&bytes)
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn call(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    raw(url, &request(method, path, headers, body)).await
}

async fn get(server: &Server, path: &str) -> Answer {
    call(&server.url(), "GET", path, "", b"").await
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

async fn image(server: &Server, data: &[u8]) -> String {
    let body = json!({"name": "test", "disk_format": "raw", "container_format": "bare", "tags": ["t"], "p": "v"});
    let created = call(&server.url(), "POST", "/v2/images", "", body.to_string().as_bytes()).await;
    assert_eq!(created.status, Some(201), "{created:?}");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let put = call(&server.url(), "PUT", &format!("/v2/images/{id}/file"), OCTETS, data).await;
    assert_eq!(put.status, Some(204), "{put:?}");
    id
}

async fn started(folder: &TempDir) -> Server {
    Server::start(Settings::new(folder.path())).await.unwrap()
}

async fn with(behaviour: Behaviour) -> (TempDir, Server, String) {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let id = image(&server, b"hello").await;
    server.set_behaviour(behaviour);
    (folder, server, id)
}

async fn range(server: &Server, id: &str, range: &str) -> Answer {
    let headers = format!("Range: {range}\r\n");
    call(&server.url(), "GET", &format!("/v2/images/{id}/file"), &headers, b"").await
}

#[tokio::test]
async fn an_image_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let id = image(&server, b"hello").await;
    let before = get(&server, &format!("/v2/images/{id}")).await.json();
    server.stop().await;
    let server = started(&folder).await;
    assert_eq!(get(&server, &format!("/v2/images/{id}")).await.json(), before);
    assert_eq!(get(&server, &format!("/v2/images/{id}/file")).await.body, b"hello");
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_id_stays_taken_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let id = image(&server, b"").await;
    assert_eq!(call(&server.url(), "DELETE", &format!("/v2/images/{id}"), "", b"").await.status, Some(204));
    server.stop().await;
    let server = started(&folder).await;
    let again = call(&server.url(), "POST", "/v2/images", "", json!({"id": id}).to_string().as_bytes()).await;
    assert_eq!(again.status, Some(409));
    assert_eq!(get(&server, "/v2/images").await.json()["images"], json!([]));
}

#[tokio::test]
async fn two_services_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let first = started(&folder).await;
    let second = Server::start(Settings::new(folder.path())).await;
    assert!(matches!(second, Err(ServerError::InUse(_))));
    first.stop().await;
    started(&folder).await.stop().await;
}

#[tokio::test]
async fn an_upload_that_a_kill_interrupted_is_queued_again_without_data() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let id = image(&server, b"hello").await;
    let images = folder.path().join("images");
    server.stop().await;
    // What a kill leaves: a record that says queued, a part, and perhaps data that was renamed before its record.
    let path = images.join(&id).join("image.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["status"] = "saving".into();
    record["data"] = Value::Null;
    std::fs::write(&path, record.to_string()).unwrap();
    std::fs::write(images.join(&id).join("data.part"), b"hel").unwrap();
    let server = started(&folder).await;
    let shown = get(&server, &format!("/v2/images/{id}")).await.json();
    assert_eq!((&shown["status"], &shown["size"], &shown["checksum"]), (&json!("queued"), &Value::Null, &Value::Null));
    let left: Vec<_> = std::fs::read_dir(images.join(&id)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["image.json"]);
    let put = call(&server.url(), "PUT", &format!("/v2/images/{id}/file"), OCTETS, b"again").await;
    assert_eq!(put.status, Some(204));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_moved_aside_and_told() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let (broken, short, good) = (image(&server, b"a").await, image(&server, b"bc").await, image(&server, b"d").await);
    server.stop().await;
    let images = folder.path().join("images");
    std::fs::write(images.join(&broken).join("image.json"), "{").unwrap();
    std::fs::write(images.join(&short).join("data"), b"b").unwrap();
    let server = started(&folder).await;
    let mut aside: Vec<_> = server.unreadable().iter().map(|(path, _)| path.clone()).collect();
    aside.sort();
    let mut expected = [folder.path().join("unreadable").join(&broken), folder.path().join("unreadable").join(&short)];
    expected.sort();
    assert_eq!(aside, expected);
    assert!(expected[0].join("image.json").exists());
    let listed = get(&server, "/v2/images").await.json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 1);
    assert_eq!(listed["images"][0]["id"], json!(good));
}

#[tokio::test]
async fn a_sender_who_stops_leaves_the_image_queued() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let body = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let created = call(&server.url(), "POST", "/v2/images", "", body).await.json();
    let id = created["id"].as_str().unwrap().to_owned();
    let mut stream = TcpStream::connect(address(&server.url())).await.unwrap();
    let head = format!("PUT /v2/images/{id}/file HTTP/1.1\r\nHost: test\r\n{OCTETS}Content-Length: 100\r\n\r\nhello");
    stream.write_all(head.as_bytes()).await.unwrap();
    wait_for_status(&server, &id, "saving").await;
    drop(stream);
    wait_for_status(&server, &id, "queued").await;
    assert!(!folder.path().join("images").join(&id).join("data.part").exists());
}

/// Asks until the status is there; the test runner's own limit ends a wait in vain.
async fn wait_for_status(server: &Server, id: &str, status: &str) {
    while get(server, &format!("/v2/images/{id}")).await.json()["status"] != json!(status) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_may_refuse_ranges_in_the_words_of_its_library() {
    let (_folder, server, id) = with(Behaviour { ranges: Ranges::Refused, ..Behaviour::default() }).await;
    let refused = range(&server, &id, "bytes=1-2").await;
    assert_eq!(refused.status, Some(400));
    let words = "Getting images randomly from this store is not supported. Offset: 1, length: 2";
    assert!(refused.json()["message"].as_str().unwrap().starts_with(words), "{refused:?}");
    assert_eq!(get(&server, &format!("/v2/images/{id}/file")).await.body, b"hello");
}

#[tokio::test]
async fn a_range_may_be_ignored_or_answered_with_the_whole() {
    let (_folder, server, id) = with(Behaviour { ranges: Ranges::Ignored, ..Behaviour::default() }).await;
    let ignored = range(&server, &id, "bytes=1-2").await;
    assert_eq!((ignored.status, ignored.body.as_slice()), (Some(200), b"hello".as_slice()));
    server.set_behaviour(Behaviour { ranges: Ranges::Whole206, ..Behaviour::default() });
    let whole = range(&server, &id, "bytes=1-2").await;
    assert_eq!((whole.status, whole.body.as_slice()), (Some(206), b"hello".as_slice()));
}

#[tokio::test]
async fn a_corrupt_download_differs_in_one_byte() {
    let (_folder, server, id) = with(Behaviour { corrupt: true, ..Behaviour::default() }).await;
    let body = get(&server, &format!("/v2/images/{id}/file")).await.body;
    assert_eq!(body.iter().zip(b"hello").filter(|(got, true_one)| got != true_one).count(), 1);
}

/// A behaviour whose first request meets this fault.
fn meeting(fault: Fault) -> Behaviour {
    let meets = |seed: &u64| Faults { seed: *seed, one_in: 1 }.of(0) == Some(fault);
    let seed = (0..1000).find(meets).unwrap();
    Behaviour { faults: Some(Faults { seed, one_in: 1 }), ..Behaviour::default() }
}

#[tokio::test]
async fn every_fault_shows_as_what_it_is() {
    let (_folder, server, id) = with(Behaviour::default()).await;
    let path = format!("/v2/images/{id}/file");
    for (fault, status, body) in [
        (Fault::Closed, None, ""),
        (Fault::Cut, Some(200), "he"),
        (Fault::Broken, Some(500), "<html>"),
        (Fault::Unavailable, Some(503), "<html>"),
        (Fault::Limited, Some(429), "<html>"),
        (Fault::Page, Some(502), "<html>"),
    ] {
        server.set_behaviour(meeting(fault));
        let answer = get(&server, &path).await;
        assert_eq!(answer.status, status, "{fault:?}");
        assert!(answer.body.starts_with(body.as_bytes()), "{answer:?}");
        assert_eq!(fault == Fault::Cut, answer.head.contains("content-length: 5\r\n"), "{answer:?}");
        assert_eq!(
            matches!(fault, Fault::Unavailable | Fault::Limited),
            answer.head.contains("retry-after: 1"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_short_body_ends_as_if_it_were_complete() {
    let (_folder, server, id) = with(meeting(Fault::Short)).await;
    let answer = get(&server, &format!("/v2/images/{id}/file")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (Some(200), b"2\r\nhe\r\n0\r\n\r\n".as_slice()), "{answer:?}");
    assert!(answer.head.contains("transfer-encoding: chunked") && !answer.head.contains("content-length"));
}

#[tokio::test]
async fn a_stalled_body_begins_and_does_not_end_its_connection() {
    let (_folder, server, id) = with(meeting(Fault::Stalled)).await;
    let mut stream = TcpStream::connect(address(&server.url())).await.unwrap();
    stream.write_all(&request("GET", &format!("/v2/images/{id}/file"), "", b"")).await.unwrap();
    let mut bytes = Vec::new();
    while Answer::of(&bytes).body != b"he" {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the connection has ended");
    }
    assert!(Answer::of(&bytes).head.contains("content-length: 5"));
}

#[tokio::test]
async fn traffic_is_counted() {
    let (_folder, server, id) = with(Behaviour::default()).await;
    let before = server.traffic();
    range(&server, &id, "bytes=1-2").await;
    get(&server, &format!("/v2/images/{id}/file")).await;
    let after = server.traffic();
    assert_eq!(after.requests - before.requests, 2);
    assert_eq!(after.ranged_downloads - before.ranged_downloads, 1);
    assert_eq!(after.whole_downloads - before.whole_downloads, 1);
    assert_eq!(after.body_bytes_sent - before.body_bytes_sent, 7);
}

#[tokio::test]
async fn without_keep_alive_each_answer_closes_its_connection() {
    let (_folder, server, _id) = with(Behaviour { keep_alive: false, ..Behaviour::default() }).await;
    // The request does not ask for it, and reading to the end returns.
    let answer = raw(&server.url(), b"GET /v2/images HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(answer.head.contains("connection: close"), "{answer:?}");
}

#[tokio::test]
async fn an_image_over_the_cap_is_refused_and_queued_again() {
    let (_folder, server, _id) = with(Behaviour { size_cap: 4, ..Behaviour::default() }).await;
    let body = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let created = call(&server.url(), "POST", "/v2/images", "", body).await.json();
    let path = format!("/v2/images/{}", created["id"].as_str().unwrap());
    let put = call(&server.url(), "PUT", &format!("{path}/file"), OCTETS, b"hello").await;
    assert_eq!(put.status, Some(413));
    assert_eq!(get(&server, &path).await.json()["status"], json!("queued"));
}

async fn login(server: &Server, user: &str, project: &str) -> Answer {
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {
            "user": {"name": user, "domain": {"id": "default"}, "password": "secret"},
        }},
        "scope": {"project": {"name": project, "domain": {"name": "Default"}}},
    }});
    let keystone = server.keystone_url().unwrap();
    call(&keystone, "POST", "/v3/auth/tokens", "Content-Type: application/json\r\n", body.to_string().as_bytes()).await
}

fn token(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.starts_with("x-subject-token: ")).unwrap();
    line.trim_start_matches("x-subject-token: ").to_owned()
}

async fn with_accounts(behaviour: Behaviour) -> (TempDir, Server) {
    let folder = TempDir::new().unwrap();
    let mut settings = Settings::new(folder.path());
    settings.accounts = Some(Accounts::example());
    settings.behaviour = behaviour;
    let server = Server::start(settings).await.unwrap();
    (folder, server)
}

async fn list_status(server: &Server, token: &str) -> Option<u16> {
    call(&server.url(), "GET", "/v2/images", &format!("X-Auth-Token: {token}\r\n"), b"").await.status
}

#[tokio::test]
async fn a_token_opens_the_image_service_until_it_is_revoked() {
    let (_folder, server) = with_accounts(Behaviour::default()).await;
    let answer = login(&server, "demo", "demo").await;
    assert_eq!(answer.status, Some(201));
    let token = token(&answer);
    assert_eq!(list_status(&server, &token).await, Some(200));
    assert_eq!(list_status(&server, "junk").await, Some(401));
    server.revoke_all_tokens();
    assert_eq!(list_status(&server, &token).await, Some(401));
}

#[tokio::test]
async fn a_token_ends_with_its_lifetime() {
    let (_folder, server) = with_accounts(Behaviour { token_lifetime: Duration::ZERO, ..Behaviour::default() }).await;
    let token = token(&login(&server, "demo", "demo").await);
    assert_eq!(list_status(&server, &token).await, Some(401));
}

#[tokio::test]
async fn nobody_logs_in_to_a_project_where_they_have_no_role() {
    let (_folder, server) = with_accounts(Behaviour::default()).await;
    assert_eq!(login(&server, "demo", "alt").await.status, Some(401));
    assert_eq!(login(&server, "nobody", "demo").await.status, Some(401));
}

#[tokio::test]
async fn a_tight_quota_is_kept() {
    let (_folder, server) = with_accounts(Behaviour::default()).await;
    let token = format!("X-Auth-Token: {}\r\n", token(&login(&server, "small", "small").await));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(call(&server.url(), "POST", "/v2/images", &token, b"{}").await.status);
    }
    assert_eq!(statuses, [Some(201), Some(201), Some(201), Some(413)]);
}
