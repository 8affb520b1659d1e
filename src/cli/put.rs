//! `glancefs put`: makes an image of a file, without a mount.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::direct::{self, Access, Direct};
use super::output::{self, Code, Failure};
use super::progress::Progress;
use crate::fs::{Asked, Closing, Entry, FsError, Process};
use crate::image::ImageId;
use crate::mount::life::EndSignals;
use crate::name;

/// How often the bar looks how far an upload is.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// Upload a file as a new image, without a mount, and print the image's id
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The image's name [default: the file's, without its ending]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The disk format [default: what the bytes are recognised as]
    #[arg(long, value_name = "FORMAT")]
    disk_format: Option<String>,
    /// The container format [default: bare]
    #[arg(long, value_name = "FORMAT")]
    container_format: Option<String>,
    /// Who may see it: private, shared, community or public [default: as the service makes images]
    #[arg(long, value_name = "WORD")]
    visibility: Option<String>,
    /// A property, as KEY=VALUE; may be given several times
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Keep the bytes in this folder until the service has them [default: ~/.local/state/glancefs]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    options: direct::Options,
}

fn property(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    parts.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "it is no KEY=VALUE".to_owned())
}

/// Makes the image.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let access = Access::Writing { state: arguments.state_dir.clone() };
    let name = arguments.name()?;
    let source = Source::open(&arguments.file)?;
    let image = direct::run(&arguments.options, access, async |direct, signals| {
        let path = Path::new("by-name").join(name::encode(&name));
        put(direct, &path, arguments, source, signals).await
    })?;
    output::line(image)
}

/// Where the bytes come from, and how many there are, where that is known.
struct Source {
    bytes: Box<dyn Read>,
    size: Option<u64>,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { bytes: Box::new(std::io::stdin()), size: None });
        }
        let refused = |error: std::io::Error| Failure::new(Code::Usage, format!("{}: {error}", path.display()));
        let file = std::fs::File::open(path).map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        if found.is_dir() {
            return Err(refused(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { bytes: Box::new(file), size: found.is_file().then_some(found.len()) })
    }
}

async fn put(
    direct: &Direct,
    path: &Path,
    how: &Arguments,
    mut source: Source,
    signals: &mut EndSignals,
) -> Result<ImageId, Failure> {
    let failed = |error: FsError| direct::failure(path, &error);
    let folder = direct.walk(Path::new("by-name")).await.map_err(failed)?.attr.ino;
    let name = path.file_name().unwrap_or_default();
    let image = direct.files.mkdir(folder, name).await.map_err(failed)?;
    let filled = direct::unless_interrupted(signals, fill(direct, &image, path, how, &mut source)).await;
    let outcome = filled.and_then(|filled| filled);
    if outcome.is_err() {
        // Nobody asked for an image without its bytes.
        if let Err(error) = direct.files.rmdir(folder, name).await {
            output::problem(format!("{} could not be removed again: {error}", path.display()));
        }
    }
    outcome
}

async fn fill(
    direct: &Direct,
    image: &Entry,
    path: &Path,
    how: &Arguments,
    source: &mut Source,
) -> Result<ImageId, Failure> {
    let failed = |error: FsError| direct::failure(path, &error);
    let folder = image.attr.ino;
    let document = direct.files.lookup(folder, OsStr::new("metadata.json")).await.map_err(failed)?.attr.ino;
    let attributes = how.attributes();
    if !attributes.is_empty() {
        save(direct, document, &attributes).await.map_err(failed)?;
    }
    let data = direct.files.lookup(folder, OsStr::new("data")).await.map_err(failed)?.attr.ino;
    let asked = Asked { writing: Some(direct::writing()), ..Asked::default() };
    let opened = direct.files.open(data, asked).await.map_err(failed)?.handle;
    let size = spool(direct, opened, source, path).await;
    let sent = match size {
        Ok(size) => sent(direct, opened, size, path).await,
        Err(failure) => Err(failure),
    };
    direct.files.release(opened);
    sent?;
    let text = direct.text(document).await.map_err(failed)?;
    let shown = serde_json::from_str::<Value>(&text).unwrap_or_default();
    let id = shown.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Failure::new(Code::System, format!("{}: the service does not tell its id", path.display())))
}

/// Saves a document as an editor does.
async fn save(direct: &Direct, document: crate::fs::Ino, attributes: &Map<String, Value>) -> Result<(), FsError> {
    let asked = Asked { writing: Some(direct::writing()), ..Asked::default() };
    let opened = direct.files.open(document, asked).await?.handle;
    let text = Value::Object(attributes.clone()).to_string() + "\n";
    let written = match direct.files.write(opened, 0, Bytes::from(text)).await {
        Ok(()) => close(direct, opened).await,
        Err(error) => Err(error),
    };
    direct.files.release(opened);
    written
}

async fn close(direct: &Direct, opened: crate::fs::HandleId) -> Result<(), FsError> {
    let process = Process(std::process::id());
    direct.files.flush(opened, || process, std::future::ready(Closing::Last)).await
}

/// Writes the bytes to the spool; answers how many there are.
async fn spool(direct: &Direct, opened: crate::fs::HandleId, source: &mut Source, path: &Path) -> Result<u64, Failure> {
    let progress = source.size.map(|size| Progress::new("copying", size));
    let mut at = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let limit = u64::try_from(PIECE).unwrap_or_default();
        let read = tokio::task::block_in_place(|| source.bytes.by_ref().take(limit).read_to_end(&mut piece));
        let read = read.map_err(|error| Failure::new(Code::System, format!("the file cannot be read: {error}")))?;
        if read == 0 {
            return Ok(at);
        }
        direct.files.write(opened, at, Bytes::from(piece)).await.map_err(|error| direct::failure(path, &error))?;
        at += u64::try_from(read).unwrap_or_default();
        if let Some(progress) = &progress {
            progress.reached(at);
        }
    }
}

/// Waits until the service has them, and the image is active.
async fn sent(direct: &Direct, opened: crate::fs::HandleId, size: u64, path: &Path) -> Result<(), Failure> {
    let progress = Progress::new("sending", size);
    let closing = close(direct, opened);
    let mut closing = std::pin::pin!(closing);
    loop {
        tokio::select! {
            closed = &mut closing => return closed.map_err(|error| direct::failure(path, &error)),
            () = tokio::time::sleep(LOOK) => {
                // There is one upload.
                let report = direct.uploads.as_ref().and_then(|uploads| uploads.list().pop());
                progress.reached(report.map_or(0, |report| report.sent));
            }
        }
    }
}

impl Arguments {
    fn name(&self) -> Result<String, Failure> {
        let of_file = || self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let named = if self.file == Path::new("-") { self.name.clone() } else { self.name.clone().or_else(of_file) };
        named.ok_or_else(|| Failure::new(Code::Usage, "what comes from standard input has no name: give one"))
    }

    /// What a person says of the image, as a document.
    fn attributes(&self) -> Map<String, Value> {
        let mut document = Map::new();
        for (key, value) in &self.properties {
            document.insert(key.clone(), json!(value));
        }
        for (key, value) in [
            ("disk_format", &self.disk_format),
            ("container_format", &self.container_format),
            ("visibility", &self.visibility),
        ] {
            document.extend(value.as_ref().map(|value| (key.to_owned(), json!(value))));
        }
        if !self.tags.is_empty() {
            document.insert("tags".to_owned(), json!(self.tags));
        }
        document
    }
}
