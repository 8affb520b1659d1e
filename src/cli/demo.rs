//! `glancefs demo`: the embedded Image service with an image in it, mounted, without any cloud.

mod upload;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::connect::{self, Connection, Target};
use super::output::{self, Code, Failure};
use super::writes::Writes;
use crate::config::Backend;
use crate::config::mount_settings::{self, Access, Limits, Ownership};
use crate::fs::{FileSystem, Owner, Settings};
use crate::image::ImageId;
use crate::mount::life::{self, EndSignals};
use crate::mount::session::{self, Mounted};
use crate::mount::{point, unmount};
use crate::read;
use crate::telemetry::{self, Detail, Sink};
use crate::write::Uploads;

/// Try glancefs without a cloud
///
/// Starts the embedded Image service with one image in it, mounts it, shows what is there, and stays until Ctrl-C.
/// What was made is removed then, unless --images keeps it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to mount [default: a new folder, removed at the end]
    #[arg(value_name = "MOUNTPOINT")]
    point: Option<PathBuf>,
    /// A file to make the image of [default: a small one that is made up]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The image's name [default: the file's name, or hello]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A folder that keeps the images from one demo to the next [default: a new one, removed at the end]
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
}

/// A folder that goes when the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("glancefs-demo-{}", ImageId::random()));
        // It fails where somebody made a folder of that name before, so nobody else's is used.
        fs::create_dir(&path).map(|()| Self(path))
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path).map(|()| path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is still mounted there is not to be walked into: the mount point is removed only when it is empty.
        let _ = fs::remove_dir(self.0.join("mount"));
        let _ = fs::remove_dir_all(self.0.join("images"));
        let _ = fs::remove_dir_all(self.0.join("state"));
        let _ = fs::remove_dir(&self.0);
    }
}

/// Shows everything, and returns when it is over.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    output::survive_closed_pipe();
    telemetry::start(Sink::Stderr, Detail::Events);
    let failed = |error: io::Error| Failure::new(Code::System, error);
    let scratch = Scratch::new().map_err(failed)?;
    let point = match &arguments.point {
        Some(point) => point.clone(),
        None => scratch.folder("mount").map_err(failed)?,
    };
    let images = match &arguments.images {
        Some(images) => std::path::absolute(images).map_err(failed)?,
        None => scratch.folder("images").map_err(failed)?,
    };
    let point = super::mount::prepared(&point)?;
    let runtime = connect::runtime()?;
    let writes = Writes { folder: Some(scratch.0.join("state")), behind: false, drain: mount_settings::DRAIN };
    let outcome = runtime.block_on(live(arguments, images, &point, &writes));
    runtime.shutdown_background();
    outcome
}

async fn live(arguments: &Arguments, images: PathBuf, point: &Path, writes: &Writes) -> Result<(), Failure> {
    let mut signals = EndSignals::new().map_err(Failure::with(Code::System))?;
    let connection = connect::open(Target::Folder(images, Backend::Image), false).await?;
    let outcome = shown(arguments, &connection, point, writes, &mut signals).await;
    connection.close().await;
    outcome
}

async fn shown(
    arguments: &Arguments,
    connection: &Connection,
    point: &Path,
    writes: &Writes,
    signals: &mut EndSignals,
) -> Result<(), Failure> {
    let address = connection.address().ok_or_else(|| Failure::new(Code::System, "the service has no address"))?;
    upload::image(&address, &arguments.name(), arguments.image.as_deref()).await?;
    let uploads = writes.open(connection, point).await?;
    let mut mounted = mount(connection, uploads.clone(), point)?;
    let outcome = explain(point).await;
    if outcome.is_ok() {
        life::until_end(&mut mounted, signals).await;
    } else {
        life::leave(&mut mounted, signals).await;
    }
    if let Some(uploads) = uploads {
        writes.finish(&uploads, signals).await;
    }
    outcome
}

fn mount(connection: &Connection, uploads: Option<Arc<Uploads>>, point: &Path) -> Result<Mounted, Failure> {
    let (uid, gid) = point::user();
    let settings = Settings {
        ttl: mount_settings::TTL,
        read_only: false,
        write_back: false,
        owner: Owner { uid, gid },
        memory: mount_settings::MEMORY,
        read: read::Settings::default(),
    };
    let files = FileSystem::new(connection.service(), uploads, settings, SystemTime::now())
        .map_err(Failure::with(Code::Usage))?;
    let options = session::Options {
        source: "demo".to_owned(),
        point: point.to_owned(),
        handed: None,
        access: Access::Owner,
        exec: true,
        follow: true,
        limits: Limits::default(),
        read_only: false,
        ownership: Ownership { uid, gid, file_mask: 0, folder_mask: 0 },
    };
    session::start(files, &options).map_err(Failure::with(Code::Mount))
}

/// Lists what is in the mount, as its first user, and says what to try.
async fn explain(point: &Path) -> Result<(), Failure> {
    let root = point.to_owned();
    let listed = tokio::task::spawn_blocking(move || tree(&root.join("by-name"))).await;
    let lines = listed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Failure::with(Code::Mount))?;
    output::line(format!("{}/by-name", point.display()))?;
    lines.iter().try_for_each(output::line)?;
    let helper = unmount::helper();
    let first = lines.first().map_or("hello", |line| line.trim_end_matches('/').trim());
    output::line(format!(
        "\nIt is mounted until you press Ctrl-C. In another terminal, try:\n  \
         cd {}/by-name/{first}\n  cat metadata.json && cksum -c checksums\n  cp data /tmp/copy && cmp data /tmp/copy\n\
         (or end it with: {} -u {})",
        point.display(),
        helper.to_string_lossy(),
        point.display()
    ))
}

/// The images and what is in them, one line each.
fn tree(by_name: &Path) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for image in sorted(by_name)? {
        lines.push(format!("  {}/", image.file_name().to_string_lossy()));
        for part in sorted(&image.path())? {
            let about = part.metadata()?;
            let name = part.file_name().to_string_lossy().into_owned();
            let shown = if about.is_dir() { format!("{name}/") } else { format!("{name:<14} {:>10}", about.len()) };
            lines.push(format!("    {shown}"));
        }
    }
    Ok(lines)
}

fn sorted(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries = folder.read_dir()?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

impl Arguments {
    fn name(&self) -> String {
        let of_file =
            || self.image.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        self.name.clone().or_else(of_file).unwrap_or_else(|| "hello".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_goes_with_what_was_made_in_it() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.0.clone();
        fs::write(scratch.folder("images").unwrap().join("x"), "x").unwrap();
        scratch.folder("mount").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
