//! A web server on loopback, for imports to fetch from.

use std::fs::File;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The server. Under `/held` it sends half of an image, and the rest when it is released.
pub(crate) struct Web {
    origin: String,
    released: watch::Sender<bool>,
    server: JoinHandle<()>,
    /// The real service fetches from one port only, which one contract has at a time.
    _turn: Option<File>,
}

impl Web {
    pub(crate) fn new(listener: TcpListener, turn: Option<File>) -> Self {
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let released = watch::Sender::new(false);
        let server = tokio::spawn(serve(listener, origin.clone(), released.subscribe()));
        Self { origin, released, server, _turn: turn }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, origin: String, released: watch::Receiver<bool>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Whoever hangs up early has what they wanted.
        tokio::spawn(answer(stream, origin.clone(), released.clone()));
    }
}

async fn answer(mut stream: TcpStream, origin: String, mut released: watch::Receiver<bool>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n");
    let text = match path {
        "/image" => head("200 OK", "Content-Length: 5\r\n") + "hello",
        "/unsized" => head("200 OK", "") + "hello",
        "/short" => head("200 OK", "Content-Length: 50\r\n") + "hello",
        "/empty" => head("200 OK", "Content-Length: 0\r\n"),
        "/moved" => head("302 Found", &format!("Location: {origin}/image\r\nContent-Length: 0\r\n")),
        "/beside" => head("307 Temporary Redirect", "Location: /image\r\nContent-Length: 0\r\n"),
        "/astray" => head("302 Found", "Location: http://127.0.0.1:5/image\r\nContent-Length: 0\r\n"),
        "/circle" => head("302 Found", "Location: /circle\r\nContent-Length: 0\r\n"),
        "/held" => head("200 OK", "Content-Length: 10\r\n") + "hello",
        _ => head("404 Not Found", "Content-Length: 0\r\n"),
    };
    stream.write_all(text.as_bytes()).await?;
    if path == "/held" {
        // The sender goes with the contract.
        if released.wait_for(|released| *released).await.is_ok() {
            stream.write_all(b"world").await?;
        }
    }
    stream.shutdown().await?;
    // Python complains where the connection ends before it has closed its half.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
    Ok(())
}
