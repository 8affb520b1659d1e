//! `glancefs ls`: a folder of the tree, without a mount.

use std::path::Path;

use jiff::Timestamp;

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
    /// With id, status, size and time of each image
    #[arg(short, long)]
    long: bool,
    /// The document of each image, one a line
    #[arg(long, conflicts_with = "long")]
    json: bool,
    #[command(flatten)]
    options: direct::Options,
}

/// Lists what is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = direct::path(&arguments.path);
    let lines = direct::run(&arguments.options, Access::Reading, async |direct, signals| {
        let listed = direct::unless_interrupted(signals, list(direct, &path, arguments)).await?;
        listed.map_err(|error| direct::failure(&path, &error))
    })?;
    lines.into_iter().try_for_each(output::line)
}

async fn list(direct: &Direct, path: &Path, how: &Arguments) -> Result<Vec<String>, FsError> {
    let found = direct.walk(path).await?;
    if found.attr.kind != FileKind::Directory {
        return Ok(vec![path.display().to_string()]);
    }
    let mut lines = Vec::new();
    let mut names = names(direct, found.attr.ino).await?;
    // The answer to a question is in the order that was asked for.
    if !path.starts_with("query") {
        names.sort_unstable();
    }
    for name in names {
        lines.extend(match (how.json, how.long) {
            (true, _) => document(direct, &path.join(&name)).await?,
            (_, true) => Some(row(direct, &path.join(&name), &name).await?),
            _ => Some(Plain(&name).to_string()),
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

/// An entry that went since it was listed is none.
async fn at(direct: &Direct, path: &Path) -> Result<Option<Entry>, FsError> {
    match direct.walk(path).await {
        Err(FsError::NotFound { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// The document of an image on one line.
async fn document(direct: &Direct, image: &Path) -> Result<Option<String>, FsError> {
    let Some(file) = at(direct, &image.join("metadata.json")).await? else { return Ok(None) };
    let text = direct.text(file.attr.ino).await?;
    let document = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    Ok(Some(document.to_string()))
}

async fn row(direct: &Direct, path: &Path, name: &str) -> Result<String, FsError> {
    let Some(entry) = at(direct, path).await? else { return Ok(String::new()) };
    let time = Timestamp::try_from(entry.attr.mtime).unwrap_or_default();
    let time = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let Some(text) = document(direct, path).await? else {
        return Ok(format!("{:>10}  {time}  {}", bytes(entry.attr.size), Plain(name)));
    };
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |key: &str| document.get(key).and_then(serde_json::Value::as_str).unwrap_or("-").to_owned();
    let size = at(direct, &path.join("data")).await?.map_or_else(|| "-".to_owned(), |data| bytes(data.attr.size));
    Ok(format!("{:<36}  {:<11}  {size:>10}  {time}  {}", word("id"), word("status"), Plain(name)))
}
