//! A proxy between a mount and its Image service that is told of every step of every request, and says what comes next.
//!
//! Each connection carries one request, as behind uWSGI.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// What is passed on at once.
const PIECE: usize = 64 << 10;

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its head is here; the service has seen nothing.
    Begun,
    /// So many bytes of its body were passed on.
    Sent(u64),
    /// The service answers; the client has seen nothing.
    Answered,
    /// The client has the beginning of the answer, which is all of it where it is short.
    Told,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It goes on.
    Pass,
    /// Nothing moves any more until the client gives up.
    Hang,
    /// Both connections are closed.
    Cut,
    /// The client gets this for an answer.
    Answer(String),
}

impl Act {
    /// An answer as proxies give it, with a line of a header where there is one.
    pub(crate) fn status(status: &str, header: &str) -> Self {
        let page = format!("<html><body>{status}</body></html>");
        let length = page.len();
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n{page}"
        ))
    }
}

/// What is asked, as far as its first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Counts the requests from 0 on.
    pub(crate) number: usize,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Request {
    /// Whether the bytes of an image are sent.
    pub(crate) fn is_upload(&self) -> bool {
        self.method == "PUT" && self.path.ends_with("/file")
    }

    /// Whether the bytes of an image are asked for.
    pub(crate) fn is_download(&self) -> bool {
        self.method == "GET" && self.path.ends_with("/file")
    }

    /// Whether one image is looked at.
    pub(crate) fn is_show(&self) -> bool {
        let id = self.path.rsplit("/v2/images/").next().unwrap_or_default();
        self.method == "GET" && self.path.contains("/v2/images/") && !id.contains('/')
    }
}

/// Who is told.
pub(crate) type Judge = Arc<dyn Fn(&Request, Step) -> Act + Send + Sync>;

/// A listening proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    listening: JoinHandle<()>,
    /// Shared with the listener and with each connection of a client.
    open: Arc<()>,
}

impl Proxy {
    /// Leads to `origin` (`http://host:port`, or host and port alone).
    pub(crate) fn start(runtime: &Runtime, origin: &str, judge: Judge) -> Self {
        let target: Arc<str> = origin.trim_start_matches("http://").trim_end_matches('/').into();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (numbers, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let opened = Arc::clone(&open);
        let listening = runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, judge, numbers) = (Arc::clone(&target), Arc::clone(&judge), Arc::clone(&numbers));
                let open = Arc::clone(&opened);
                // A connection that breaks is dropped, and both sides see that.
                tokio::spawn(async move {
                    let _ = lead(client, &target, &judge, &numbers).await;
                    drop(open);
                });
            }
        });
        Self { address, listening, open }
    }

    /// Connections that a client has open.
    pub(crate) fn connections(&self) -> usize {
        // The listener has one as well.
        Arc::strong_count(&self.open).saturating_sub(2)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One request from its beginning to its end. `None` where a connection breaks.
async fn lead(mut client: TcpStream, target: &str, judge: &Judge, numbers: &AtomicUsize) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let (head, body) = head(&mut client).await?;
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let request = Request { number: numbers.fetch_add(1, Ordering::Relaxed), method, path };
    match judge(&request, Step::Begun) {
        Act::Pass => {}
        act => return instead(client, act).await,
    }
    let mut server = TcpStream::connect(target).await.ok()?;
    server.set_nodelay(true).ok()?;
    let (line, rest) = head.split_once("\r\n")?;
    server.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes()).await.ok()?;
    server.write_all(&body).await.ok()?;
    let act = pass_on(&mut client, &mut server, body.len() as u64, |step| judge(&request, step)).await;
    // The service sees a sender that has gone only where this one has.
    instead(client, act?).await?;
    drop(server);
    Some(())
}

/// Passes bytes on in both directions until the answer has ended, or something else is to become of it.
async fn pass_on(
    client: &mut TcpStream,
    server: &mut TcpStream,
    sent: u64,
    judge: impl Fn(Step) -> Act,
) -> Option<Act> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        act = upwards(from_client, to_server, sent, &judge) => act,
        act = downwards(from_server, to_client, &judge) => act,
    }
}

async fn upwards(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    mut sent: u64,
    judge: &impl Fn(Step) -> Act,
) -> Option<Act> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = client.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        if server.write_all(&piece[..count]).await.is_err() {
            // It has answered without reading all, and closed: the answer is read on the other side.
            std::future::pending::<()>().await;
        }
        sent += count as u64;
        match judge(Step::Sent(sent)) {
            Act::Pass => {}
            act => return Some(act),
        }
    }
}

async fn downwards(mut server: ReadHalf<'_>, mut client: WriteHalf<'_>, judge: &impl Fn(Step) -> Act) -> Option<Act> {
    let (mut piece, mut steps) = (vec![0; PIECE], [Step::Answered, Step::Told].map(Some));
    loop {
        let count = server.read(&mut piece).await.ok()?;
        if let Some(step) = steps[0].take() {
            match judge(step) {
                Act::Pass => {}
                act => return Some(act),
            }
        }
        client.write_all(&piece[..count]).await.ok()?;
        if let Some(step) = steps[1].take() {
            match judge(step) {
                Act::Pass => {}
                act => return Some(act),
            }
        }
        if count == 0 {
            client.shutdown().await.ok()?;
            return Some(Act::Pass);
        }
    }
}

/// Ends a request. What the client still sends is read, so that it can read its answer.
async fn instead(mut client: TcpStream, act: Act) -> Option<()> {
    match act {
        Act::Cut => return None,
        Act::Pass | Act::Hang => {}
        Act::Answer(answer) => {
            client.write_all(answer.as_bytes()).await.ok()?;
            client.shutdown().await.ok()?;
        }
    }
    let mut piece = vec![0; PIECE];
    while client.read(&mut piece).await.ok()? > 0 {}
    Some(())
}

/// The head of a request, and what came of its body with it.
async fn head(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let count = client.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return String::from_utf8(bytes).ok().map(|head| (head, body));
        }
    }
}
