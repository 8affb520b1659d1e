//! The other side of the wire, played from a script.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    head: String,
    /// The body, but for an image's bytes, which are left unread.
    pub(crate) body: Vec<u8>,
    /// How many connections were made before the one on which it came.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The document in the body.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What is answered; the connection is closed behind it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, further headers, and a body with its length.
    Full(u16, String, Vec<u8>),
    /// The same, and the connection stays open for more requests.
    Kept(u16, String, Vec<u8>),
    /// The same, announcing this many bytes.
    Short(u16, String, Vec<u8>, usize),
    /// The same, and the connection stays open without another byte.
    Silent(u16, String, Vec<u8>, usize),
    /// The connection is closed without a word.
    Nothing,
    /// The same with bytes on it that nobody read, which resets it.
    Reset,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Full(status, "Content-Type: application/json\r\n".to_owned(), body.to_string().into_bytes())
    }

    fn bytes(self) -> Vec<u8> {
        let is_kept = matches!(self, Self::Kept(..));
        let (status, headers, body, length) = match self {
            Self::Full(status, headers, body) | Self::Kept(status, headers, body) => {
                (status, headers, body.clone(), body.len())
            }
            Self::Short(status, headers, body, length) | Self::Silent(status, headers, body, length) => {
                (status, headers, body, length)
            }
            Self::Nothing | Self::Reset => return Vec::new(),
        };
        let close = if is_kept { "" } else { "Connection: close\r\n" };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n{close}\r\n");
        [head.into_bytes(), body].concat()
    }
}

type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// A server on loopback; it ends when it is dropped.
pub(crate) struct Peer {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Peer {
    /// Answers each request by the script, which is told how many requests with the same
    /// method for the same path came before.
    pub(crate) async fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { url, requests, task: task.abort_handle() }
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Arc<Script>, seen: Arc<Mutex<Vec<Request>>>) {
    while answer(&mut stream, connection, &script, &seen).await.is_some() {}
}

/// Answers a request. `None` where no other one is awaited on the connection.
async fn answer(
    stream: &mut TcpStream,
    connection: usize,
    script: &Arc<Script>,
    seen: &Mutex<Vec<Request>>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let mut request = Request { target, head, body: Vec::new(), connection };
    if request.header("content-type") != Some("application/octet-stream") {
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        request.body.resize(length, 0);
        if stream.read_exact(&mut request.body).await.is_err() {
            return None;
        }
    }
    let before = {
        let mut seen = seen.lock().unwrap();
        let before =
            seen.iter().filter(|other| (other.method(), other.path()) == (request.method(), request.path())).count();
        seen.push(request.clone());
        before
    };
    let answer = script(&request, before);
    if matches!(answer, Answer::Reset) {
        return None;
    }
    stream.write_all(&answer.clone().bytes()).await.ok()?;
    if matches!(answer, Answer::Silent(..)) {
        std::future::pending::<()>().await;
    }
    if matches!(answer, Answer::Kept(..)) {
        return Some(());
    }
    let _ = stream.shutdown().await;
    None
}
