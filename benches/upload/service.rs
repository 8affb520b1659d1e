//! The Image service that is written to: the embedded one, or a real one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::common::cloud::{log_in, write_secret};
use crate::common::embedded::Embedded;
use crate::common::http::Connection;

/// The cloud of clouds.yaml that is used.
const WHO: &str = "demo";

/// The type of a document.
pub(crate) const JSON: &str = "application/json";

/// A service.
pub(crate) struct Service {
    _embedded: Option<Embedded>,
    /// `host:port`.
    pub(crate) host: String,
    /// What is in front of `/v2` in its paths.
    root: String,
    /// The lines of a request that say who asks.
    pub(crate) header: String,
    /// The same in a file, for `curl`, so that no token is in a command line.
    header_file: PathBuf,
    /// The clouds.yaml of a real one.
    clouds: Option<PathBuf>,
}

impl Service {
    /// Starts the program's own.
    pub(crate) fn embedded(binary: &Path, scratch: &Path) -> Result<Self> {
        let embedded = Embedded::start(binary, &scratch.join("store"), &scratch.join("serve.log"))?;
        let (host, root, header) = (embedded.host.clone(), String::new(), String::new());
        let header_file = scratch.join("header.embedded");
        write_secret(&header_file, "X-Auth-Token: none")?;
        Ok(Self { _embedded: Some(embedded), host, root, header, header_file, clouds: None })
    }

    /// Logs in to the one that the environment names.
    pub(crate) fn real(scratch: &Path) -> Result<Self> {
        let clouds = std::env::var_os("GLANCEFS_TEST_CLOUDS").filter(|file| !file.is_empty());
        let clouds = PathBuf::from(clouds.context("GLANCEFS_TEST_CLOUDS names no clouds.yaml")?);
        let (token, glance) = log_in(&clouds, WHO, scratch)?;
        let place = glance.strip_prefix("http://").context("only a service without TLS can be measured")?;
        let (host, root) = place.split_once('/').unwrap_or((place, ""));
        let root = if root.is_empty() { String::new() } else { format!("/{root}") };
        let header = format!("X-Auth-Token: {token}");
        let header_file = scratch.join("header.real");
        write_secret(&header_file, &header)?;
        let header = format!("{header}\r\n");
        Ok(Self { _embedded: None, host: host.to_owned(), root, header, header_file, clouds: Some(clouds) })
    }

    /// A command that mounts it; what goes behind is the mount point.
    pub(crate) fn mount(&self, binary: &Path, options: &[String], through: Option<&str>) -> Command {
        let mut command = Command::new(binary);
        command.args(["mount", "--foreground"]).args(options);
        match &self.clouds {
            Some(clouds) => command.arg(WHO).env("OS_CLIENT_CONFIG_FILE", clouds),
            None => command.arg(format!("http://{}", through.unwrap_or(&self.host))),
        };
        command
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(&self.host, &self.header)
    }

    pub(crate) fn path(&self, id: &str) -> String {
        format!("{}/v2/images/{id}", self.root)
    }

    /// A new image that takes raw bytes; answers its id.
    pub(crate) fn make(&self, name: &str) -> Result<String> {
        let document = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
        let made = self.connect()?.json("POST", &format!("{}/v2/images", self.root), JSON, Some(&document))?;
        Ok(made.get("id").and_then(Value::as_str).context("an image without an id")?.to_owned())
    }

    pub(crate) fn show(&self, id: &str) -> Result<Value> {
        self.connect()?.json("GET", &self.path(id), JSON, None)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        self.connect()?.json("DELETE", &self.path(id), JSON, None).map(drop)
    }

    /// What a shell has to know: `$SHOW` and `$FILE` are the image's addresses, `$HEADER` what to give to `curl -H`.
    pub(crate) fn tell_shell(&self, command: &mut Command, id: &str) {
        let image = format!("http://{}{}", self.host, self.path(id));
        command.env("FILE", format!("{image}/file")).env("SHOW", image);
        command.env("HEADER", format!("@{}", self.header_file.display()));
    }

    /// Fails unless the image is active and has these bytes by their SHA-512.
    pub(crate) fn check(&self, id: &str, sha512: &str) -> Result<()> {
        let shown = self.show(id)?;
        let word = |key: &str| shown.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        ensure!(word("status") == "active", "image {id} is {}", word("status"));
        ensure!(word("os_hash_value") == sha512, "WRONG BYTES in image {id}");
        Ok(())
    }
}
