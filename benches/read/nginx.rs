//! The fastest server there is, in front of the embedded service: it sends an image's file itself, and passes on all else.

use std::fs;
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::common::http::Connection;
use crate::common::process::Running;
use crate::common::rounds::Traffic;
use crate::hash::Hash;

/// How the service is shown; each has a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    /// What the image's document names a hash of, beside its MD5. A Glance that was told only where an image lies names neither.
    pub(crate) hash: Option<Hash>,
    /// Whether a part of an image can be asked for. In a store that cannot seek it is refused with 400.
    pub(crate) ranges: bool,
}

impl Front {
    pub(crate) const PLAIN: Self = Self { hash: Some(Hash::Sha512), ranges: true };

    /// Every way in which the image is shown.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let hashes = Hash::ALL.map(Some).into_iter().chain([None]);
        hashes.flat_map(|hash| [true, false].map(|ranges| Self { hash, ranges }))
    }
}

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    running: Running,
    ports: Vec<(Front, SocketAddr)>,
    log: PathBuf,
}

/// What nginx stands before.
#[derive(Debug)]
pub(crate) struct Behind<'a> {
    /// The embedded service.
    pub(crate) service: SocketAddr,
    /// The file that holds the image's bytes.
    pub(crate) data: &'a Path,
    /// The path of the image in URLs: `/v2/images/ID`.
    pub(crate) path: &'a str,
    /// The MD5, the SHA-512 and the SHA-256 of the image's bytes. Its document has the first two.
    pub(crate) md5: &'a str,
    pub(crate) sha512: &'a str,
    pub(crate) sha256: &'a str,
}

impl Nginx {
    /// Starts it with everything that it writes in `folder`.
    pub(crate) fn start(folder: &Path, behind: &Behind<'_>) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let ports = Front::all().map(|front| Ok((front, free_port()?))).collect::<Result<Vec<_>>>()?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, text(folder, &ports, behind))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
        // Debian keeps it where only root's PATH leads.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let running = Running::start(&command, &folder.join("nginx.out"))?;
        let mut nginx = Self { running, ports, log: folder.join("access.log") };
        nginx.await_answer().with_context(|| fs::read_to_string(folder.join("error.log")).unwrap_or_default())?;
        Ok(nginx)
    }

    fn await_answer(&mut self) -> Result<()> {
        let address = self.address(Front::PLAIN)?;
        let until = Instant::now() + Duration::from_secs(10);
        while Connection::to(address).is_err() {
            self.running.alive()?;
            anyhow::ensure!(Instant::now() < until, "nginx does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn address(&self, front: Front) -> Result<SocketAddr> {
        let found = self.ports.iter().find(|(known, _)| *known == front);
        found.map(|(_, address)| *address).context("a front that does not exist")
    }

    /// What was moved for the image's file since the last call. A request is counted when its connection is done with it, which this waits for.
    pub(crate) fn traffic(&self) -> Result<Traffic> {
        self.settle()?;
        let traffic = self.traffic_so_far()?;
        fs::File::options().write(true).open(&self.log)?.set_len(0)?;
        Ok(traffic)
    }

    /// What was moved since then by requests that are over.
    pub(crate) fn traffic_so_far(&self) -> Result<Traffic> {
        let log = fs::read_to_string(&self.log)?;
        let files = log.lines().filter(|line| line.ends_with("/file"));
        Ok(files.fold(Traffic::default(), |sum, line| Traffic {
            requests: sum.requests + 1,
            bytes: sum.bytes + image_bytes(line).unwrap_or(0),
        }))
    }

    fn settle(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(10);
        let mut connection = Connection::to(self.address(Front::PLAIN)?)?;
        loop {
            let (_, body) = connection.get("/connections", None)?;
            let text = String::from_utf8(body)?;
            // Its own connection is one.
            if text.lines().next().is_some_and(|line| line.trim() == "Active connections: 1") {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("a connection to nginx does not end: {text}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The image's bytes in a line of the log; the text of a refusal is none.
fn image_bytes(line: &str) -> Option<u64> {
    let (status, rest) = line.split_once(' ')?;
    let (bytes, _) = rest.split_once(' ')?;
    if status.starts_with('2') { bytes.parse().ok() } else { None }
}

/// A port that was free a moment ago.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn text(folder: &Path, ports: &[(Front, SocketAddr)], behind: &Behind<'_>) -> String {
    let servers: String = ports.iter().map(|(front, address)| server(*front, *address, behind)).collect();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let folder = folder.display();
    // The log is appended to, and so it can be emptied under it.
    format!(
        "{user}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  log_format moved '$status $body_bytes_sent $uri';
  access_log {folder}/access.log moved;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
{servers}}}
"
    )
}

/// One front. The folder of the image in URLs is shown as HTML too, for peers that find files by listing.
fn server(front: Front, address: SocketAddr, behind: &Behind<'_>) -> String {
    let Behind { service, data, path, .. } = behind;
    let refusal = if front.ranges { "" } else { "max_ranges 0; if ($http_range) { return 400 'no ranges'; }" };
    let rewriting = rewriting(front.hash, behind);
    let data = data.display();
    format!(
        "  server {{
    listen {address};
    location = {path}/file {{ alias {data}; {refusal} }}
    location = {path}/ {{ default_type text/html; return 200 '<html><body><a href=\"file\">file</a></body></html>'; }}
    location = /listing {{ default_type text/html; return 200 '<html><body><a href=\"file\">file</a></body></html>'; }}
    location = /listing/file {{ alias {data}; }}
    location = /connections {{ stub_status; access_log off; }}
    location / {{ proxy_pass http://{service}; proxy_http_version 1.1; proxy_set_header Host $http_host; {rewriting} }}
  }}
"
    )
}

/// What a front shows instead of the values that tell the image's hashes.
fn rewriting(hash: Option<Hash>, behind: &Behind<'_>) -> String {
    let Behind { md5, sha512, sha256, .. } = behind;
    let own = Hash::Sha512.name();
    let replaced = match hash {
        Some(Hash::Sha512) => return String::new(),
        Some(Hash::Sha256) => vec![(own, "\"sha256\"".to_owned()), (sha512, format!("\"{sha256}\""))],
        None => [*md5, own, sha512].map(|value| (value, "null".to_owned())).into(),
    };
    let each = replaced.into_iter().map(|(value, other)| format!(" sub_filter '\"{value}\"' '{other}';"));
    iter::once("sub_filter_types application/json; sub_filter_once off;".to_owned()).chain(each).collect()
}
