//! A proxy between a mount and its service that writes down the requests which pass.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

/// The requests so far, as method and path.
type Heard = Arc<Mutex<Vec<String>>>;

/// A proxy that listens for as long as the program runs.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// `host:port`.
    pub(crate) address: String,
    heard: Heard,
}

impl Proxy {
    /// Listens in front of the service at `host:port`.
    pub(crate) fn start(service: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, heard) = (listener.local_addr()?.to_string(), Heard::default());
        let (service, record) = (service.to_owned(), Arc::clone(&heard));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (service, heard) = (service.clone(), Arc::clone(&record));
                // A connection that breaks is told by those at its ends.
                thread::spawn(move || pass(&client, &service, &heard).map(drop));
            }
        });
        Ok(Self { address, heard })
    }

    /// The requests since the last call, as method and path.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.heard))
    }

    /// How many requests there were since they were taken the last time.
    pub(crate) fn count(&self) -> usize {
        lock(&self.heard).len()
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, Vec<String>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what goes both ways on a connection.
fn pass(client: &TcpStream, service: &str, heard: &Heard) -> io::Result<()> {
    let server = TcpStream::connect(service)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let passed = forward(&mut BufReader::new(client.try_clone()?), &server, heard);
    server.shutdown(Shutdown::Write)?;
    passed
}

/// Passes requests on, and writes each of them down.
fn forward(from: &mut impl BufRead, mut to: &TcpStream, record: &Heard) -> io::Result<()> {
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begun = head.len();
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let line = head.get(begun..).unwrap_or_default().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
            }
        }
        let request = head.split(" HTTP/").next().unwrap_or_default();
        lock(record).push(request.to_owned());
        to.write_all(head.as_bytes())?;
        io::copy(&mut from.by_ref().take(length), &mut to)?;
    }
}
