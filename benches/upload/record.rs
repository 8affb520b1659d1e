//! The requests that one `mkdir` and one `cp` make, written down on their way to the service.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use crate::mounts::Mount;
use crate::process::timed;
use crate::table::{Row, Wanted};
use crate::{Bench, LIMIT};

/// The requests so far, as method and path.
type Heard = Arc<Mutex<Vec<String>>>;

/// `POST`, `PATCH`, `PUT`, `GET`: none of them can be done without.
const FEWEST: f64 = 4.0;

pub(crate) fn requests(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let heard = Heard::default();
    let address = listen(&bench.service.host, &heard)?;
    let mount = Mount::of(bench, Some(&address))?;
    let source = bench.scratch.join("small");
    fs::write(&source, vec![7; 64 << 10])?;
    // The first one pays for what is asked once in the life of a mount.
    let mut rows = Vec::new();
    for (work, name) in [("the first mkdir and cp of a mount", "first"), ("one mkdir and cp", "second")] {
        heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let folder = mount.images().join(name);
        timed(Command::new("mkdir").arg(&folder), LIMIT)?;
        timed(Command::new("cp").arg(&source).arg(folder.join("data")), LIMIT)?;
        let made = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        timed(Command::new("rmdir").arg(&folder), LIMIT)?;
        rows.push(row(work, &made, if name == "second" { Wanted::AtMost(FEWEST) } else { Wanted::Shown }));
    }
    Ok(rows)
}

fn row(work: &str, made: &[String], wanted: Wanted) -> Row {
    Row {
        work: format!("requests of {work}"),
        against: "POST, PATCH, PUT, GET".to_owned(),
        ours: made.join(", "),
        theirs: format!("{FEWEST}"),
        figure: Some(made.len() as f64),
        unit: "",
        wanted,
        peak: None,
        cpu: None,
        moved: None,
        spread: (0.0, 0.0),
    }
}

/// Listens in front of the service for as long as the program runs; answers where.
fn listen(service: &str, heard: &Heard) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let (service, heard) = (service.to_owned(), Arc::clone(heard));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (service, heard) = (service.clone(), Arc::clone(&heard));
            // A connection that breaks is told by those at its ends.
            thread::spawn(move || pass(&client, &service, &heard).map(drop));
        }
    });
    Ok(address)
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
        record.lock().unwrap_or_else(PoisonError::into_inner).push(without_id(request));
        to.write_all(head.as_bytes())?;
        io::copy(&mut from.by_ref().take(length), &mut to)?;
    }
}

/// The request with `ID` in place of an image's id.
fn without_id(request: &str) -> String {
    let is_id = |part: &&str| part.len() == 36 && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    request.split('/').map(|part| if is_id(&part) { "ID" } else { part }).collect::<Vec<_>>().join("/")
}
