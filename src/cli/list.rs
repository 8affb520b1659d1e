//! `glancefs ls`: a folder of the tree, without a mount.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::direct::{self, Access, Direct};
use super::output::{self, Failure};
use super::words::bytes;
use crate::fs::{Entry, FileKind, FsError, Ino};
use crate::plain::Plain;

/// List images, or another folder of the tree, without a mount
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// An image, by its name or id, or a path as in a mount (query/status=active) [default: by-name]
    #[arg(value_name = "PATH", default_value = "by-name")]
    path: String,
    /// With id, status, size and time of each image; with size and time of other files
    #[arg(short, long)]
    long: bool,
    /// The document of each image, one a line; name, kind, size and mtime of other files
    #[arg(long, conflicts_with = "long")]
    json: bool,
    #[command(flatten)]
    options: direct::Options,
}

/// Lists what is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = direct::path(&arguments.path);
    let lines = direct::run(&arguments.options, Access::Reading, async |direct, signals| {
        let listed = direct::unless_interrupted(signals, async {
            match list(direct, &path, arguments).await {
                Ok(lines) => Ok(lines),
                Err(error) => Err(direct.failed(&path, &error).await),
            }
        });
        listed.await?
    })?;
    lines.into_iter().try_for_each(output::line)
}

async fn list(direct: &Direct, path: &Path, how: &Arguments) -> Result<Vec<String>, FsError> {
    let found = direct.walk(path).await?;
    if found.attr.kind != FileKind::Directory {
        let name = path.display().to_string();
        return Ok(vec![match (how.json, how.long) {
            (true, _) => object(&found, &name),
            (_, true) => row(&found, &name),
            _ => Plain(&name).to_string(),
        }]);
    }
    let mut lines = Vec::new();
    let mut names = names(direct, found.attr.ino).await?;
    // The answer to a question is in the order that was asked for.
    if !path.starts_with("query") {
        names.sort_unstable();
    }
    for name in names {
        if !how.json && !how.long {
            lines.push(Plain(&name).to_string());
            continue;
        }
        // An entry that went since it was listed is none.
        let Some(entry) = at(direct, &path.join(&name)).await? else { continue };
        lines.push(match (document(direct, &path.join(&name), &entry).await?, how.json) {
            (Some(document), true) => document.to_string(),
            (Some(document), false) => image_row(direct, &path.join(&name), &entry, &document, &name).await?,
            (None, true) => object(&entry, &name),
            (None, false) => row(&entry, &name),
        });
    }
    Ok(lines)
}

/// What the folder lists, in its order.
async fn names(direct: &Direct, folder: Ino) -> Result<Vec<String>, FsError> {
    let listing = direct.files.readdir(folder, 0).await?;
    let mut names = Vec::new();
    direct.files.lines(&listing, false, &mut |line| {
        if !matches!(line.name, "." | "..") {
            names.push(line.name.to_owned());
        }
        false
    });
    Ok(names)
}

async fn at(direct: &Direct, path: &Path) -> Result<Option<Entry>, FsError> {
    match direct.walk(path).await {
        Err(FsError::NotFound { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// The document of an image; `None` of what is none.
async fn document(direct: &Direct, path: &Path, entry: &Entry) -> Result<Option<Value>, FsError> {
    if !direct.files.is_image(entry.attr.ino) {
        return Ok(None);
    }
    let Some(file) = at(direct, &path.join("metadata.json")).await? else { return Ok(None) };
    let text = direct.text(file.attr.ino).await?;
    Ok(Some(serde_json::from_str(&text).unwrap_or_default()))
}

async fn image_row(
    direct: &Direct,
    path: &Path,
    entry: &Entry,
    document: &Value,
    name: &str,
) -> Result<String, FsError> {
    let word = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let size = at(direct, &path.join("data")).await?.map_or_else(|| "-".to_owned(), |data| bytes(data.attr.size));
    let time = shown(time(entry));
    Ok(format!("{:<36}  {:<11}  {size:>10}  {time}  {}", word("id"), word("status"), Plain(name)))
}

/// What is no image: a folder has no size.
fn row(entry: &Entry, name: &str) -> String {
    let is_folder = entry.attr.kind == FileKind::Directory;
    let size = if is_folder { "-".to_owned() } else { bytes(entry.attr.size) };
    format!("{size:>10}  {}  {}{}", shown(time(entry)), Plain(name), if is_folder { "/" } else { "" })
}

fn object(entry: &Entry, name: &str) -> String {
    let kind = match entry.attr.kind {
        FileKind::Directory => "folder",
        FileKind::File => "file",
        FileKind::Link => "link",
    };
    json!({ "name": name, "kind": kind, "size": entry.attr.size, "mtime": time(entry) }).to_string()
}

fn time(entry: &Entry) -> Timestamp {
    Timestamp::try_from(entry.attr.mtime).unwrap_or_default()
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
