//! A web server, for the service to fetch from.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Serves these bytes until it is dropped: whole under `/whole`, half of them until [`Web::release`] under `/held`, and
/// nothing elsewhere.
pub(crate) struct Web {
    port: u16,
    gate: Arc<Semaphore>,
    task: AbortHandle,
}

impl Web {
    /// Begins on this port, or on a free one. A port that another contract has is waited for.
    pub(crate) async fn start(port: Option<u16>, bytes: &'static [u8]) -> Self {
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port.unwrap_or(0))).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let (port, gate) = (listener.local_addr().unwrap().port(), Arc::new(Semaphore::new(0)));
        let held = Arc::clone(&gate);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, bytes, Arc::clone(&held)));
            }
        });
        Self { port, gate, task: task.abort_handle() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends the rest of what is held.
    pub(crate) fn release(&self) {
        self.gate.add_permits(100);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One answer. Who asks may give up on the way.
async fn serve(mut stream: TcpStream, bytes: &'static [u8], gate: Arc<Semaphore>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, bytes): (_, &[u8]) =
        if matches!(path, "/whole" | "/held") { ("200 OK", bytes) } else { ("404 No", b"") };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    if stream.write_all(&[head.as_bytes(), first].concat()).await.is_ok() {
        if path == "/held" {
            gate.acquire().await.unwrap().forget();
        }
        let _ = stream.write_all(rest).await;
        let _ = stream.shutdown().await;
    }
}
