//! Filling the embedded service: two requests of HTTP/1.1, spoken by hand because it is our own server on the loopback
//! interface.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::cli::output::{Code, Failure};

/// The made-up image: readable at its beginning, and large enough to be read in several requests.
const MADE_UP_SIZE: usize = 4 << 20;
const GREETING: &[u8] = b"These bytes come out of an Image service, in the parts that you read.\n";

/// Makes an image of `file`, or a made-up one, unless the service has one already.
pub(super) async fn image(service: &Url, name: &str, file: Option<&Path>) -> Result<(), Failure> {
    if file.is_none() && has_images(service).await.map_err(Failure::with(Code::System))? {
        return Ok(());
    }
    let Some(path) = file else {
        let bytes: Vec<u8> = GREETING.iter().copied().cycle().take(MADE_UP_SIZE).collect();
        return create(service, name, MADE_UP_SIZE as u64, bytes.as_slice()).await.map_err(Failure::with(Code::System));
    };
    let named = |error: io::Error| Failure::new(Code::Usage, format!("{}: {error}", path.display()));
    let source = File::open(path).await.map_err(named)?;
    let size = source.metadata().await.map_err(named)?.len();
    create(service, name, size, source).await.map_err(named)
}

async fn has_images(service: &Url) -> io::Result<bool> {
    let listing = request(service, "GET", "/v2/images?limit=1", "application/json", 0, tokio::io::empty()).await?;
    Ok(listing.get("images").and_then(Value::as_array).is_some_and(|images| !images.is_empty()))
}

async fn create(service: &Url, name: &str, size: u64, data: impl AsyncRead + Unpin) -> io::Result<()> {
    let document =
        json!({"name": name, "disk_format": "raw", "container_format": "bare", "tags": ["demo"]}).to_string();
    let length = document.len() as u64;
    let created = request(service, "POST", "/v2/images", "application/json", length, document.as_bytes()).await?;
    let id = created.get("id").and_then(Value::as_str).ok_or_else(|| io::Error::other("the new image has no id"))?;
    let path = format!("/v2/images/{id}/file");
    request(service, "PUT", &path, "application/octet-stream", size, data).await.map(drop)
}

/// One request on a connection of its own; answers the document, `null` where there is none.
async fn request(
    service: &Url,
    method: &str,
    path: &str,
    kind: &str,
    length: u64,
    body: impl AsyncRead + Unpin,
) -> io::Result<Value> {
    let address = service.socket_addrs(|| None)?;
    let mut connection = TcpStream::connect(address.as_slice()).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n",
        service.host_str().unwrap_or_default()
    );
    connection.write_all(head.as_bytes()).await?;
    tokio::io::copy(&mut body.take(length), &mut connection).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    understood(&answer)
}

/// The document of a successful answer whose body is not chunked, as those of our server are not.
fn understood(answer: &str) -> io::Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        return Err(io::Error::other(format!("the embedded service answers {status}: {}", body.trim())));
    }
    if body.is_empty() { Ok(Value::Null) } else { serde_json::from_str(body).map_err(io::Error::other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_the_services_words() {
        let refused = understood("HTTP/1.1 409 Conflict\r\nX: y\r\n\r\nno room").unwrap_err().to_string();
        assert_eq!(refused, "the embedded service answers 409: no room");
        assert_eq!(understood("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Value::Null);
        assert_eq!(understood("HTTP/1.1 200 OK\r\n\r\n{\"id\": 1}").unwrap(), json!({"id": 1}));
        assert!(understood("").is_err());
    }
}
