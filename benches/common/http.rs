//! The least of an HTTP client: one kept connection, so that one request costs what one request must.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A connection that is kept between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    host: String,
    /// The lines that every request has.
    header: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// To `host:port`, with `header` lines in every request.
    pub(crate) fn open(host: &str, header: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).with_context(|| format!("nothing listens on {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(2)))?;
        let (host, header) = (host.to_owned(), header.to_owned());
        Ok(Self { host, header, stream: BufReader::with_capacity(64 << 10, stream) })
    }

    /// To an address, for who need not say who they are.
    pub(crate) fn to(address: SocketAddr) -> Result<Self> {
        Self::open(&address.to_string(), "")
    }

    /// The status and the body of what is at a path; `range` is the first and the last byte wanted.
    pub(crate) fn get(&mut self, path: &str, range: Option<(u64, u64)>) -> Result<(u16, Vec<u8>)> {
        let range = range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n")).unwrap_or_default();
        self.exchange("GET", path, &range, &[])
    }

    /// Sends a request; answers the body, and fails unless the status is one of success.
    pub(crate) fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
        let about = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        let (status, body) = self.exchange(method, path, &about, body)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// The same with documents of JSON; null where there is no answer.
    pub(crate) fn json(&mut self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Result<Value> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let answer = self.ask(method, path, kind, text.as_bytes())?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }

    fn exchange(&mut self, method: &str, path: &str, about: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{}{about}\r\n", self.host, self.header);
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let status = self.line()?.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status")?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("transfer-encoding", "chunked")) => chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let body = if chunked { self.chunks()? } else { self.bytes(length)? };
        Ok((status, body))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "{} closed the connection", self.host);
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
