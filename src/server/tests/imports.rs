//! Imports: what a restart finds, and how far a download may go.

use super::*;
use crate::server::WebAccess;
use tokio::net::TcpListener;

const FORMATS: &[u8] = br#"{"disk_format": "raw", "container_format": "bare"}"#;

async fn empty(server: &Server) -> String {
    let created = call(&server.url(), "POST", "/v2/images", "", FORMATS).await.json();
    format!("/v2/images/{}", created["id"].as_str().unwrap())
}

async fn begin(server: &Server, path: &str, method: &Value) -> Option<u16> {
    let body = json!({"method": method}).to_string();
    call(&server.url(), "POST", &format!("{path}/import"), "", body.as_bytes()).await.status
}

/// Asks until no import works on the image; the test runner's own limit ends a wait in vain.
async fn settled(server: &Server, path: &str) -> Value {
    loop {
        let image = get(server, path).await.json();
        if image.get("os_glance_import_task").is_none() {
            return image;
        }
        tokio::task::yield_now().await;
    }
}

async fn last_task(server: &Server, path: &str) -> Value {
    get(server, &format!("{path}/tasks")).await.json()["tasks"].as_array().unwrap().last().unwrap().clone()
}

/// A web server that answers each connection with these bytes, and then holds it open.
async fn web(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/image", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(answer).await.unwrap();
            held.push(stream);
        }
    });
    url
}

async fn anywhere(folder: &TempDir, behaviour: Behaviour) -> Server {
    let behaviour = Behaviour { web_download: WebAccess::Anywhere, ..behaviour };
    Server::start(Settings { behaviour, ..Settings::new(folder.path()) }).await.unwrap()
}

/// The beginning of an image whose rest never comes.
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

#[tokio::test]
async fn staged_data_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let path = empty(&server).await;
    assert_eq!(call(&server.url(), "PUT", &format!("{path}/stage"), OCTETS, b"hello").await.status, Some(204));
    let before = get(&server, &path).await.json();
    server.stop().await;
    let server = started(&folder).await;
    assert_eq!(get(&server, &path).await.json(), before);
    assert_eq!(begin(&server, &path, &json!({"name": "glance-direct"})).await, Some(202));
    assert_eq!(settled(&server, &path).await["status"], json!("active"));
    assert_eq!(get(&server, &format!("{path}/file")).await.body, b"hello");
    server.stop().await;
    started(&folder).await.stop().await;
}

#[tokio::test]
async fn staging_that_a_kill_interrupted_is_queued_again() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let path = empty(&server).await;
    let image = folder.path().join("images").join(path.rsplit('/').next().unwrap());
    server.stop().await;
    // The record says queued all the while; what a kill leaves is a part, or data that was renamed before its record.
    std::fs::write(image.join("staged.part"), b"hel").unwrap();
    std::fs::write(image.join("staged"), b"hello").unwrap();
    let server = started(&folder).await;
    assert_eq!(get(&server, &path).await.json()["status"], json!("queued"));
    assert_eq!(std::fs::read_dir(&image).unwrap().count(), 1);
    assert_eq!(call(&server.url(), "PUT", &format!("{path}/stage"), OCTETS, b"again").await.status, Some(204));
}

#[tokio::test]
async fn a_download_that_a_stop_interrupts_has_failed() {
    let folder = TempDir::new().unwrap();
    let server = anywhere(&folder, Behaviour::default()).await;
    let path = empty(&server).await;
    let method = json!({"name": "web-download", "uri": web(HALF).await});
    assert_eq!(begin(&server, &path, &method).await, Some(202));
    wait_for_status(&server, path.rsplit('/').next().unwrap(), "importing").await;
    server.stop().await;
    let server = started(&folder).await;
    let image = get(&server, &path).await.json();
    assert_eq!((&image["status"], &image["os_glance_failed_import"]), (&json!("queued"), &json!("fast")));
    assert!(image.get("os_glance_import_task").is_none(), "{image}");
    assert_eq!(last_task(&server, &path).await["status"], json!("failure"));
    let again = call(&server.url(), "PUT", &format!("{path}/file"), OCTETS, b"again").await;
    assert_eq!(again.status, Some(204));
}

#[tokio::test]
async fn an_import_of_staged_data_that_a_kill_interrupted_stays_importing() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let path = empty(&server).await;
    call(&server.url(), "PUT", &format!("{path}/stage"), OCTETS, b"hello").await;
    begin(&server, &path, &json!({"name": "glance-direct"})).await;
    settled(&server, &path).await;
    server.stop().await;
    // Back to where the import had begun.
    let image = folder.path().join("images").join(path.rsplit('/').next().unwrap());
    let mut record: Value = serde_json::from_slice(&std::fs::read(image.join("image.json")).unwrap()).unwrap();
    record["status"] = "importing".into();
    record["data"] = Value::Null;
    record["tasks"][0]["progress"] = "processing".into();
    std::fs::write(image.join("image.json"), record.to_string()).unwrap();
    let server = started(&folder).await;
    let shown = get(&server, &path).await.json();
    assert_eq!((&shown["status"], &shown["os_glance_failed_import"]), (&json!("importing"), &json!("fast")));
    assert_eq!(last_task(&server, &path).await["message"], json!("Task failed due to Internal Error"));
    assert_eq!(call(&server.url(), "DELETE", &path, "", b"").await.status, Some(204));
}

#[tokio::test]
async fn a_download_that_stands_still_fails_after_the_sender_s_time() {
    let folder = TempDir::new().unwrap();
    let behaviour = Behaviour { sender_patience: Duration::from_millis(50), ..Behaviour::default() };
    let server = anywhere(&folder, behaviour).await;
    let path = empty(&server).await;
    begin(&server, &path, &json!({"name": "web-download", "uri": web(HALF).await})).await;
    assert_eq!(settled(&server, &path).await["status"], json!("queued"));
}

#[tokio::test]
async fn a_download_over_the_cap_fails() {
    let folder = TempDir::new().unwrap();
    let server = anywhere(&folder, Behaviour { size_cap: 4, ..Behaviour::default() }).await;
    let path = empty(&server).await;
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    begin(&server, &path, &json!({"name": "web-download", "uri": web(whole).await})).await;
    let image = settled(&server, &path).await;
    assert_eq!((&image["status"], &image["os_glance_failed_import"]), (&json!("queued"), &json!("fast")));
}

#[tokio::test]
async fn a_download_over_the_limits_fails_with_their_sentence() {
    let folder = TempDir::new().unwrap();
    let quota = Some(crate::server::Quota { image_count_uploading: 0, ..crate::server::Quota::default() });
    let server = anywhere(&folder, Behaviour { quota, ..Behaviour::default() }).await;
    let path = empty(&server).await;
    begin(&server, &path, &json!({"name": "web-download", "uri": web(HALF).await})).await;
    let image = settled(&server, &path).await;
    assert_eq!((&image["status"], &image["os_glance_failed_import"]), (&json!("queued"), &json!("")));
    let message = last_task(&server, &path).await["message"].as_str().unwrap().to_owned();
    assert!(message.contains("image_count_uploading is over limit of 0"), "{message}");
}

#[tokio::test]
async fn this_machine_is_not_fetched_from_unless_it_may_be() {
    let folder = TempDir::new().unwrap();
    let server = started(&folder).await;
    let path = empty(&server).await;
    let method = json!({"name": "web-download", "uri": web(HALF).await});
    assert_eq!(begin(&server, &path, &method).await, Some(400));
    server.set_behaviour(Behaviour { web_download: WebAccess::Anywhere, ..Behaviour::default() });
    assert_eq!(begin(&server, &path, &method).await, Some(202));
}
