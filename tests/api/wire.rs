//! HTTP/1.1 by hand, one connection a request: a contract sees exactly what was sent, also that nothing was.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes on a busy machine; a contract that waits for ever says so instead.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request that is being put together.
pub(crate) struct Request {
    origin: String,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body as far as it came.
    pub(crate) body: Vec<u8>,
    request: String,
}

impl Request {
    /// A request to `origin` (`http://host:port`), with nothing but `Host` and `Connection: close`.
    pub(crate) fn new(origin: &str, method: &'static str, path: &str) -> Self {
        Self { origin: origin.to_owned(), method, path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(present, _)| present != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(present, _)| present != name);
        self
    }

    /// A body of known length.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self = self.header("Content-Length", &body.len().to_string());
        self.body = Some(body);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// The same bytes in chunks, without a length ahead.
    pub(crate) fn chunked(mut self, body: &[u8]) -> Self {
        let mut framed = Vec::new();
        for part in body.chunks(64 * 1024) {
            framed.extend(format!("{:x}\r\n", part.len()).bytes());
            framed.extend(part);
            framed.extend(b"\r\n");
        }
        framed.extend(b"0\r\n\r\n");
        self = self.header("Transfer-Encoding", "chunked");
        self.body = Some(framed);
        self
    }

    fn host(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    fn head(&self) -> String {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.method, self.path, self.host());
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head + "\r\n"
    }

    /// A connection on which the head and whatever body there is have been written.
    pub(crate) async fn begin(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.host()).await.unwrap();
        stream.write_all(self.head().as_bytes()).await.unwrap();
        if let Some(body) = &self.body {
            // A service that refuses early closes before it has read all; its answer is what counts.
            let _ = stream.write_all(body).await;
        }
        stream
    }

    /// The answer, or `None` where the connection was closed without one.
    pub(crate) async fn try_send(self) -> Option<Answer> {
        let stream = self.begin().await;
        self.end(stream).await
    }

    /// The answer to a request that was begun, when the rest of its body has been written.
    pub(crate) async fn end(&self, mut stream: TcpStream) -> Option<Answer> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, read_to_close(&mut stream, &mut bytes)).await;
        assert!(read.is_ok(), "{} {}: no end after {PATIENCE:?}", self.method, self.path);
        parse(&bytes, format!("{} {}", self.method, self.path))
    }

    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|| panic!("{what}: closed without an answer"))
    }
}

/// Reads until the other side closes; a reset ends an answer like a close does.
async fn read_to_close(stream: &mut TcpStream, into: &mut Vec<u8>) {
    let mut piece = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        into.extend(&piece[..count]);
    }
}

fn parse(bytes: &[u8], request: String) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.into()))
        .collect();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec(), request };
    if status == 100 {
        return parse(&answer.body, answer.request);
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(&answer.body);
    }
    Some(answer)
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16).unwrap();
        if length == 0 {
            break;
        }
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
    body
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{}: {why}: {}", self.request, self.text()))
    }

    /// Goes on with the answer if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered: {}", self.request, self.text());
        self
    }

    /// Goes on with the answer if it is a refusal in Nova's form, of this kind and with these words.
    #[track_caller]
    pub(crate) fn faults(self, kind: &str, words: &str) -> Self {
        let body = self.json();
        assert_eq!(body[kind]["code"], self.status, "{} answered: {body}", self.request);
        let message = body[kind]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{} says: {message}", self.request);
        self
    }

    /// Goes on with the answer if its message has these words; entities and line ends in it are read as plain text.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        let message = self.json()["message"].as_str().unwrap_or_default().to_owned();
        let plain = message.replace("<br />", " ").replace("&#x27;", "'").replace("&quot;", "\"");
        let plain = plain.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert!(plain.contains(words), "{} says: {plain}", self.request);
        self
    }
}
