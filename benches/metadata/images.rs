//! Many images in the embedded service's folder.
//!
//! The service makes one; the others are written after its record, because a hundred thousand requests that sync would
//! take half an hour. Their data are holes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::embedded::Embedded;
use crate::common::http::Connection;

/// What is written into a folder last. Another number makes the images anew.
const MADE: &str = "images of scripts/bench metadata, 1\n";

/// The images are of the years from here on, in seconds since 1970, and for so many seconds.
const FROM: u64 = 1_546_300_800;
const YEARS: u64 = 6 * 365 * 86_400;

/// One image in so many has a name that others have too.
const SHARED: usize = 20;

const DISTRIBUTIONS: [(&str, &str); 6] = [
    ("ubuntu", "24.04"),
    ("debian", "12"),
    ("rocky", "9.4"),
    ("fedora", "41"),
    ("opensuse-leap", "15.6"),
    ("windows-server", "2022"),
];

const BUSES: [&str; 2] = ["virtio", "scsi"];
const TAGS: [&str; 4] = ["production", "staging", "golden", "deprecated"];

/// The folder with so many images, for `glancefs serve`. What an earlier run made is taken as it is.
pub(crate) fn folder(binary: &Path, cache: &Path, scratch: &Path, count: usize) -> Result<PathBuf> {
    let folder = cache.join(format!("images-{count}"));
    let made = folder.join("made");
    // The service moves aside what it cannot read: then its format is another one.
    let is_usable = !folder.join("unreadable").exists() && fs::read_to_string(&made).is_ok_and(|text| text == MADE);
    if is_usable {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let example = example(binary, &folder, scratch)?;
    let halves = [0..count / 2, count / 2..count];
    thread::scope(|scope| {
        let writers = halves.map(|half| {
            let (folder, example) = (&folder, &example);
            scope.spawn(move || half.into_iter().try_for_each(|number| write(folder, example, number, count)))
        });
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    })?;
    fs::write(made, MADE)?;
    Ok(folder)
}

/// The record of an image that the service made; the image itself is taken away.
fn example(binary: &Path, folder: &Path, scratch: &Path) -> Result<Value> {
    let service = Embedded::start(binary, folder, &scratch.join("fill.log"))?;
    let mut connection = Connection::open(&service.host, "")?;
    let document = json!({
        "name": "example", "visibility": "public", "disk_format": "raw", "container_format": "bare",
        "tags": ["x"], "os_distro": "x", "os_version": "x", "hw_disk_bus": "x"});
    let made = connection.json("POST", "/v2/images", "application/json", Some(&document))?;
    let id = made.get("id").and_then(Value::as_str).context("an image without an id")?.to_owned();
    connection.ask("PUT", &format!("/v2/images/{id}/file"), "application/octet-stream", b"example")?;
    drop((connection, service));
    let image = folder.join("images").join(id);
    let record = serde_json::from_slice(&fs::read(image.join("image.json"))?)?;
    fs::remove_dir_all(image)?;
    Ok(record)
}

/// Writes the image of this number.
fn write(folder: &Path, example: &Value, number: usize, count: usize) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let id = uuid::Builder::from_random_bytes(random.u128(..).to_le_bytes()).into_uuid().to_string();
    let size = random.u64(300 << 20..4 << 30);
    let record = record(example, number, count, &id, size, &mut random)?;
    let image = folder.join("images").join(id);
    fs::create_dir_all(&image)?;
    fs::write(image.join("image.json"), serde_json::to_vec_pretty(&record)?)?;
    File::create(image.join("data"))?.set_len(size)?;
    Ok(())
}

fn record(
    example: &Value,
    number: usize,
    count: usize,
    id: &str,
    size: u64,
    random: &mut fastrand::Rng,
) -> Result<Value> {
    let (distribution, version) = *random.choice(&DISTRIBUTIONS).context("a distribution")?;
    let name = if number.is_multiple_of(SHARED) {
        // Ten images have the same one.
        format!("{distribution}-{version}-{}", number / (10 * SHARED))
    } else {
        format!("{distribution}-{version}-server-{number:06}-amd64")
    };
    // Far enough from each other that a question for the latest change finds one image.
    let apart = YEARS * 1_000_000 / count as u64;
    let created = FROM * 1_000_000 + number as u64 * apart;
    let updated = created + random.u64(..apart / 2);
    let fields = [
        ("/id", json!(id)),
        ("/name", json!(name)),
        ("/owner", json!("8f3a1c5be2d94706a1b2c3d4e5f60718")),
        ("/disk_format", json!("qcow2")),
        ("/data/size", json!(size)),
        ("/data/virtual_size", json!(40_u64 << 30)),
        ("/data/md5", json!(hexadecimal(random, 32))),
        ("/data/sha512", json!(hexadecimal(random, 128))),
        ("/tags", json!([random.choice(&TAGS)])),
        ("/properties/os_distro", json!(distribution)),
        ("/properties/os_version", json!(version)),
        ("/properties/hw_disk_bus", json!(random.choice(&BUSES))),
        ("/created_at", json!(time(created)?)),
        ("/updated_at", json!(time(updated)?)),
    ];
    let mut record = example.clone();
    for (path, value) in fields {
        *record.pointer_mut(path).with_context(|| format!("the service's record has no {path}"))? = value;
    }
    Ok(record)
}

fn hexadecimal(random: &mut fastrand::Rng, digits: usize) -> String {
    (0..digits).filter_map(|_| char::from_digit(random.u32(..16), 16)).collect()
}

fn time(microseconds: u64) -> Result<String> {
    Ok(Timestamp::from_microsecond(i64::try_from(microseconds)?)?.to_string())
}
