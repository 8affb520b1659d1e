//! `glancefs put`: makes an image of a file, without a mount.

mod image;
mod source;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::image::Own;
use self::source::{Pieces, Source};
use super::direct::{self, Access, Direct};
use super::output::{self, Code, Failure};
use super::progress::Progress;
use crate::fs::{Asked, Closing, Entry, FsError, HandleId, Ino, Process};
use crate::image::ImageId;
use crate::mount::life::EndSignals;
use crate::name;
use crate::schema::Schema;
use crate::write::{State, Uploads};

/// How often the bar looks how far an upload is.
const LOOK: Duration = Duration::from_millis(200);

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
    /// GiB of disk that a server of it needs at least
    #[arg(long, value_name = "GIB")]
    min_disk: Option<u32>,
    /// MiB of memory that a server of it needs at least
    #[arg(long, value_name = "MIB")]
    min_ram: Option<u32>,
    /// Nobody may delete it until somebody takes that back
    #[arg(long)]
    protected: bool,
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
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err("it is no KEY=VALUE".to_owned());
    };
    let schema = Schema::builtin();
    match () {
        () if schema.is_attribute(key) => Err(format!("'{key}' is an attribute that every image has, and no property")),
        () if schema.is_read_only(key) => Err(format!("'{key}' is for the service alone to write")),
        () => Ok((key.to_owned(), value.to_owned())),
    }
}

/// Makes the image.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let access = Access::Writing { state: arguments.state_dir.clone() };
    let name = arguments.name()?;
    let attributes = arguments.attributes()?;
    let source = Source::open(&arguments.file)?;
    let image = direct::run(&arguments.options, access, async |direct, signals| {
        let how = How { attributes: &attributes, arguments };
        put(direct, &name, &how, source.start()?, signals).await
    })?;
    output::line(image)
}

async fn put(
    direct: &Direct,
    name: &str,
    how: &How<'_>,
    mut pieces: Pieces,
    signals: &mut EndSignals,
) -> Result<ImageId, Failure> {
    let path = Path::new("by-name").join(name::encode(name));
    let uploads = direct.uploads.as_deref().ok_or_else(|| direct::failure(&path, &FsError::NoSpool))?;
    // Who ends it before there is anything to put has made nothing.
    direct::unless_interrupted(signals, pieces.begin()).await??;
    let mut own = Own::new(direct, uploads, &path, name);
    let filled = direct::unless_interrupted(signals, async {
        let image = own.make().await?;
        let put = Put { direct, uploads, own: &own, path: &path };
        put.fill(&image, how, &mut pieces).await.map(|()| image)
    });
    let image = match filled.await.and_then(|filled| filled) {
        Ok(image) => image,
        Err(failure) => {
            let taken_away = direct::unless_interrupted(signals, own.take_away()).await;
            return Err(taken_away.map_or_else(|_| own.stays(), |()| failure));
        }
    };
    if how.arguments.protected {
        // Not before, because it keeps the image from being taken away. From here on that is whole, and stays.
        let put = Put { direct, uploads, own: &own, path: &path };
        direct::unless_interrupted(signals, put.protect(&image)).await??;
    }
    Ok(own.id)
}

/// What the image is to be.
struct How<'a> {
    attributes: &'a Map<String, Value>,
    arguments: &'a Arguments,
}

/// Bytes on their way into an image.
struct Put<'a> {
    direct: &'a Direct,
    uploads: &'a Uploads,
    own: &'a Own<'a>,
    path: &'a Path,
}

impl Put<'_> {
    async fn fill(&self, image: &Entry, how: &How<'_>, pieces: &mut Pieces) -> Result<(), Failure> {
        let document = self.file(image, "metadata.json").await?;
        self.save(document, how.attributes).await?;
        let data = self.file(image, "data").await?;
        let opened = self.open(data).await?;
        let size = self.spool(opened, pieces).await?;
        pieces.is_unchanged(size)?;
        self.send(opened, size, how.arguments.disk_format.as_deref()).await?;
        self.direct.files.release(opened);
        Ok(())
    }

    /// Keeps a whole image from being deleted.
    async fn protect(&self, image: &Entry) -> Result<(), Failure> {
        let document = self.file(image, "metadata.json").await?;
        let protected = self.save(document, &Map::from_iter([("protected".to_owned(), json!(true))])).await;
        protected.map_err(|failure| {
            let id = &self.own.id;
            Failure {
                sentence: format!("image {id} is active, and may not be protected: {}", failure.sentence),
                ..failure
            }
        })
    }

    fn failed(&self, error: &FsError) -> Failure {
        self.own.failed(error)
    }

    async fn file(&self, image: &Entry, name: &str) -> Result<Ino, Failure> {
        let found = self.direct.files.lookup(image.attr.ino, OsStr::new(name)).await;
        found.map(|entry| entry.attr.ino).map_err(|error| self.failed(&error))
    }

    async fn open(&self, file: Ino) -> Result<HandleId, Failure> {
        let asked = Asked { writing: Some(direct::writing()), ..Asked::default() };
        self.direct.files.open(file, asked).await.map(|opened| opened.handle).map_err(|error| self.failed(&error))
    }

    /// Saves a document as an editor does.
    async fn save(&self, document: Ino, attributes: &Map<String, Value>) -> Result<(), Failure> {
        if attributes.is_empty() {
            return Ok(());
        }
        let opened = self.open(document).await?;
        let text = Value::Object(attributes.clone()).to_string() + "\n";
        let written = match self.direct.files.write(opened, 0, Bytes::from(text)).await {
            Ok(()) => close(self.direct, opened).await,
            Err(error) => Err(error),
        };
        self.direct.files.release(opened);
        written.map_err(|error| self.failed(&error))
    }

    /// Writes the bytes to the spool; answers how many there are.
    async fn spool(&self, opened: HandleId, pieces: &mut Pieces) -> Result<u64, Failure> {
        let progress =
            pieces.size().map_or_else(|| Progress::endless("reading"), |size| Progress::new("copying", size));
        let mut at = 0;
        while let Some(piece) = pieces.next().await? {
            let length = u64::try_from(piece.len()).unwrap_or_default();
            self.direct.files.write(opened, at, piece).await.map_err(|error| self.failed(&error))?;
            at += length;
            progress.reached(at);
        }
        Ok(at)
    }

    /// Waits until the service has them, and the image is active.
    async fn send(&self, opened: HandleId, size: u64, format: Option<&str>) -> Result<(), Failure> {
        let progress = Progress::new("sending", size);
        let sending = self.seal(opened, format);
        let mut sending = std::pin::pin!(sending);
        loop {
            tokio::select! {
                sent = &mut sending => return sent,
                () = tokio::time::sleep(LOOK) => {
                    let report = self.uploads.of(self.own.id).map(|upload| upload.report());
                    progress.reached(report.map_or(0, |report| report.sent));
                }
            }
        }
    }

    /// Says that the bytes are all. A close without data leaves it open whether they are: here it is known.
    async fn seal(&self, opened: HandleId, format: Option<&str>) -> Result<(), Failure> {
        close(self.direct, opened).await.map_err(|error| self.failed(&error))?;
        let Some(upload) = self.uploads.of(self.own.id) else { return Ok(()) };
        upload.seal().await.map_err(|error| self.failed(&error.into()))?;
        if upload.state() == State::Writing {
            let format = format.unwrap_or_default();
            let sentence = format!("{}: no bytes are no disk of the format '{format}'", self.path.display());
            return Err(Failure::new(Code::Usage, sentence));
        }
        upload.settled().await.map(drop).map_err(|error| self.failed(&error.into()))
    }
}

async fn close(direct: &Direct, opened: HandleId) -> Result<(), FsError> {
    let process = Process(std::process::id());
    direct.files.flush(opened, || process, std::future::ready(Closing::Last)).await
}

impl Arguments {
    fn name(&self) -> Result<String, Failure> {
        self.name.clone().map_or_else(|| source::name_of(&self.file), Ok)
    }

    /// What a person says of the image, as a document.
    fn attributes(&self) -> Result<Map<String, Value>, Failure> {
        let mut document = Map::new();
        for (key, value) in &self.properties {
            if document.insert(key.clone(), json!(value)).is_some() {
                let sentence = format!("the property '{key}' is given twice, and can have one value");
                return Err(Failure::new(Code::Usage, sentence));
            }
        }
        for (key, value) in [
            ("disk_format", self.disk_format.as_ref().map(|word| json!(word))),
            ("container_format", self.container_format.as_ref().map(|word| json!(word))),
            ("visibility", self.visibility.as_ref().map(|word| json!(word))),
            ("min_disk", self.min_disk.map(|number| json!(number))),
            ("min_ram", self.min_ram.map(|number| json!(number))),
        ] {
            document.extend(value.map(|value| (key.to_owned(), value)));
        }
        if !self.tags.is_empty() {
            document.insert("tags".to_owned(), json!(self.tags));
        }
        Ok(document)
    }
}
