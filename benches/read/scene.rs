//! The scene: one image of random bytes in the embedded service, with nginx in front of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::common::embedded::Embedded;
use crate::common::http::Connection;
use crate::common::process::{said, timed};
use crate::common::random::write_random;
use crate::common::rounds::Traffic;
use crate::hash::Hash;
use crate::nginx::{Behind, Front, Nginx};

/// The image's id: always the same, so that the folder of a run serves the next one.
const IMAGE: &str = "b7c1d2a4-5e0f-4d63-9a18-2f6c3e8b9d01";

/// How long anything may take that is only preparation.
const PREPARATION: Duration = Duration::from_mins(5);

/// Everything that is measured against.
#[derive(Debug)]
pub(crate) struct Scene {
    // nginx ends before the service that it stands before.
    nginx: Nginx,
    _service: Embedded,
    /// The program under test.
    pub(crate) binary: PathBuf,
    /// For outputs, mount points and logs; what is in it is of no use after the run.
    pub(crate) scratch: PathBuf,
    /// The file that holds the image's bytes: what every copy must equal.
    pub(crate) data: PathBuf,
    /// The image's length in bytes.
    pub(crate) size: u64,
}

/// What a scene is made of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) binary: &'a Path,
    /// Where the image is kept between runs.
    pub(crate) cache: &'a Path,
    pub(crate) scratch: &'a Path,
    /// The image's length in MiB.
    pub(crate) mebibytes: u64,
}

impl Scene {
    pub(crate) fn set(plan: &Plan<'_>) -> Result<Self> {
        let store = plan.cache.join(format!("store-{}", plan.mebibytes));
        fs::create_dir_all(&store)?;
        let size = plan.mebibytes << 20;
        let service = Embedded::start(plan.binary, &store, &plan.scratch.join("serve.log"))?;
        let address = service.host.parse()?;
        let document = match document(address)? {
            Some(document) => document,
            None => upload(plan, address)?,
        };
        let data = store.join("images").join(IMAGE).join("data");
        ensure!(
            document.get("size").and_then(Value::as_u64) == Some(size) && fs::metadata(&data)?.len() == size,
            "the image in {} is not what it should be: remove that folder",
            store.display()
        );
        let shown =
            |name: &str| document.get(name).and_then(Value::as_str).context("the embedded service shows no hashes");
        let sha256 = said(Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(&data))?;
        let sha256 = sha256.split_whitespace().next().context("no SHA-256")?;
        let (md5, sha512) = (shown("checksum")?, shown("os_hash_value")?);
        let path = format!("/v2/images/{IMAGE}");
        let behind = Behind { service: address, data: &data, path: &path, md5, sha512, sha256 };
        let nginx = Nginx::start(&plan.scratch.join("nginx"), &behind)?;
        let (binary, scratch) = (plan.binary.to_owned(), plan.scratch.to_owned());
        let scene = Self { nginx, _service: service, binary, scratch, data, size };
        scene.check(sha512, sha256)?;
        Ok(scene)
    }

    /// The fronts show what they should: a scene that does not would measure something else.
    fn check(&self, sha512: &str, sha256: &str) -> Result<()> {
        for front in Front::all() {
            let mut connection = Connection::to(self.address(front)?)?;
            let (status, _) = connection.get(&file_path(), Some((0, 4095)))?;
            ensure!(status == if front.ranges { 206 } else { 400 }, "a range is answered with {status}");
            let (_, body) = connection.get(&format!("/v2/images/{IMAGE}"), None)?;
            let shown: Value = serde_json::from_slice(&body)?;
            let of = |name: &str| shown.get(name).and_then(Value::as_str);
            let value = |hash| if hash == Hash::Sha512 { sha512 } else { sha256 };
            let wanted = front.hash.map(|hash| (hash.name(), value(hash)));
            let told = of("os_hash_algo").zip(of("os_hash_value"));
            ensure!(told == wanted, "the document of {front:?} shows {told:?}");
        }
        Ok(())
    }

    pub(crate) fn address(&self, front: Front) -> Result<SocketAddr> {
        self.nginx.address(front)
    }

    /// What was moved for the image's bytes since the last call.
    pub(crate) fn traffic(&self) -> Result<Traffic> {
        self.nginx.traffic()
    }

    /// What was moved by requests that are over, while others may go on.
    pub(crate) fn traffic_so_far(&self) -> Result<Traffic> {
        self.nginx.traffic_so_far()
    }

    /// Reads the original once, so that the server has it in memory.
    pub(crate) fn warm(&self) -> Result<()> {
        timed(
            Command::new("dd").arg(format!("if={}", self.data.display())).args(["of=/dev/null", "bs=1M"]),
            PREPARATION,
        )?;
        Ok(())
    }
}

/// The service's root at an address.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// The URL of the folder that holds the image's file, for peers that list.
pub(crate) fn folder_url(address: SocketAddr) -> String {
    format!("http://{address}/v2/images/{IMAGE}/")
}

/// The same file in a folder whose URL does without a slash at its end, for peers that take it away.
pub(crate) fn listing_url(address: SocketAddr) -> String {
    format!("http://{address}/listing")
}

/// The URL of the image's bytes.
pub(crate) fn file_url(address: SocketAddr) -> String {
    format!("http://{address}{}", file_path())
}

pub(crate) fn file_path() -> String {
    format!("/v2/images/{IMAGE}/file")
}

/// Where an image's bytes are in a mount; without an id, those of the scene's.
pub(crate) fn path_in(mount: &Path, id: Option<&str>) -> PathBuf {
    mount.join("by-id").join(id.unwrap_or(IMAGE)).join("data")
}

/// The image as the service shows it, if it has it.
fn document(address: SocketAddr) -> Result<Option<Value>> {
    let (status, body) = Connection::to(address)?.get(&format!("/v2/images/{IMAGE}"), None)?;
    ensure!(matches!(status, 200 | 404), "the embedded service answers {status}");
    Ok(if status == 200 { Some(serde_json::from_slice(&body)?) } else { None })
}

fn upload(plan: &Plan<'_>, address: SocketAddr) -> Result<Value> {
    let source = plan.scratch.join("source");
    write_random(&source, plan.mebibytes)?;
    let attributes =
        serde_json::json!({"id": IMAGE, "name": "bench", "disk_format": "raw", "container_format": "bare"});
    let quiet = ["--fail", "--silent", "--show-error"];
    let mut create = Command::new("curl");
    create.args(quiet).args(["--data", &attributes.to_string()]).arg(format!("{}/v2/images", url(address)));
    timed(&mut create, PREPARATION)?;
    let mut send = Command::new("curl");
    send.args(quiet).args(["--header", "Content-Type: application/octet-stream"]).arg("--upload-file").arg(&source);
    timed(send.arg(file_url(address)), PREPARATION)?;
    fs::remove_file(&source)?;
    document(address)?.context("the image is not there after it was sent")
}
