//! `glancefs cache`: what is kept on disk from mount to mount, and looking after it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;

use super::direct::{self, Access, Direct};
use super::output::{self, Code, Failure};
use super::progress::Progress;
use super::words::bytes;
use crate::cache::disk::{Damaged, DiskCache, DiskSettings, Dropped, InCache, Inventory, Verdict};
use crate::config::folders::{self, Purpose, variable};
use crate::config::mount_settings;
use crate::fs::FileKind;
use crate::image::ImageId;
use crate::mount::point;

/// List, check, drop and fill what is kept on disk from mount to mount
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of the cache [default: ~/.cache/glancefs]
    #[arg(short = 'C', long = "dir", value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the images in it, the least recently used first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Read everything and compare it with the checksums of its blocks and the hashes of whole images; drop what is damaged
    Verify,
    /// Drop images that nobody reads
    #[command(override_usage = "glancefs cache drop [OPTIONS] IMAGE...\n       glancefs cache drop [OPTIONS] --all")]
    Drop {
        /// Images, by their ids
        #[arg(value_name = "IMAGE", required_unless_present = "all")]
        images: Vec<ImageId>,
        /// All of them
        #[arg(long, conflicts_with = "images")]
        all: bool,
    },
    /// Fetch whole images into it, ahead of those who will read them
    Warm {
        /// Images, by their names or ids
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
        #[command(flatten)]
        options: Box<direct::Options>,
    },
}

/// Does what is asked.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.folder.as_deref();
    match &arguments.action {
        Action::List { json } => list(folder, *json),
        Action::Verify => verify(folder),
        Action::Drop { images, .. } => drop_images(folder, images),
        Action::Warm { images, options } => warm(folder, images, options),
    }
}

/// The cache that is there; looking after one makes none.
fn open(folder: Option<&Path>) -> Result<DiskCache, Failure> {
    let usual = || folders::usual(Purpose::Cache, &variable, point::is_root());
    let folder = folder.map(Path::to_owned).or_else(usual);
    let folder =
        folder.ok_or_else(|| Failure::new(Code::Usage, "nothing tells where the cache is: name it with --dir"))?;
    if let Err(error) = std::fs::metadata(folder.join("images")) {
        let is_absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let why = if is_absent { "there is no cache in it".to_owned() } else { error.to_string() };
        return Err(Failure::new(Code::Usage, format!("{}: {why}", folder.display())));
    }
    // Nothing is written to it.
    let settings = DiskSettings { folder, size: mount_settings::CACHE_SIZE, floor: None };
    DiskCache::open(&settings).map_err(Failure::with(Code::Usage))
}

fn inventory(cache: &DiskCache) -> Result<Inventory, Failure> {
    cache.inventory().map_err(Failure::with(Code::System))
}

fn list(folder: Option<&Path>, json: bool) -> Result<(), Failure> {
    let Inventory { images, damaged } = inventory(&open(folder)?)?;
    images.iter().try_for_each(|image| output::line(if json { object(image) } else { row(image) }))?;
    for Damaged { path, disk } in damaged {
        output::problem(format!("{}: damaged, {}: glancefs cache verify drops it", path.display(), bytes(disk)));
    }
    Ok(())
}

fn used(image: &InCache) -> Timestamp {
    Timestamp::try_from(image.used).unwrap_or_default()
}

fn object(image: &InCache) -> String {
    json!({
        "image": image.image.to_string(), "size": image.size, "here": image.here, "disk": image.disk,
        "proved": image.proved, "used": used(image),
    })
    .to_string()
}

fn row(image: &InCache) -> String {
    let part = (u128::from(image.here) * 100).checked_div(image.size.into()).unwrap_or(100);
    let proved = if image.proved { "proved" } else { "" };
    let time = used(image).strftime("%Y-%m-%d %H:%M:%S");
    format!("{}  {part:>3}%  {:>10}  {proved:<6}  {time}", image.image, bytes(image.size))
}

fn verify(folder: Option<&Path>) -> Result<(), Failure> {
    let cache = open(folder)?;
    let Inventory { images, damaged: unreadable } = inventory(&cache)?;
    let progress = Progress::new("comparing", images.iter().map(|image| image.here).sum());
    let (mut looked, mut damaged) = (0, 0_u64);
    for entry in &unreadable {
        if cache.discard_damaged(entry) == Dropped::Gone {
            damaged += 1;
            output::line(format!("{}  damaged, and dropped", entry.path.display()))?;
        }
    }
    for image in images {
        let mut count = |bytes| {
            looked += bytes;
            progress.reached(looked);
        };
        let verdict = cache.verify(&image, &mut count).map_err(Failure::with(Code::System))?;
        if verdict == Verdict::Damaged {
            damaged += 1;
        }
        let told = match verdict {
            Verdict::Sound => "sound",
            Verdict::Damaged => "damaged, and dropped: who reads it fetches it again",
            Verdict::Gone => continue,
        };
        output::line(format!("{}  {told}", image.image))?;
    }
    if damaged == 0 { Ok(()) } else { Err(Failure::new(Code::System, format!("{damaged} damaged"))) }
}

/// Drops these images; all, where none is named.
fn drop_images(folder: Option<&Path>, wanted: &[ImageId]) -> Result<(), Failure> {
    let cache = open(folder)?;
    let Inventory { images: listed, damaged } = inventory(&cache)?;
    if wanted.is_empty() {
        // Who is at one of them drops it himself.
        damaged.iter().map(|entry| cache.discard_damaged(entry)).for_each(drop);
    }
    let absent: Vec<&ImageId> = wanted.iter().filter(|id| !listed.iter().any(|image| image.image == **id)).collect();
    let mut kept = 0_usize;
    for image in listed.iter().filter(|image| wanted.is_empty() || wanted.contains(&image.image)) {
        if cache.discard(image) == Dropped::InUse {
            kept += 1;
            output::problem(format!("image {} is being read", image.image));
        }
    }
    for id in &absent {
        output::problem(format!("image {id} is not in the cache"));
    }
    if kept + absent.len() == 0 { Ok(()) } else { Err(Failure::new(Code::Usage, "")) }
}

/// Fetches the images, and sees whether the cache has all of them then.
fn warm(folder: Option<&Path>, images: &[String], options: &direct::Options) -> Result<(), Failure> {
    let options = options.keeping(folder);
    let (fetched, mut last) = direct::run(&options, Access::Reading, async |direct, signals| {
        let (mut fetched, mut last) = (Vec::new(), Ok(()));
        for image in images {
            match direct::unless_interrupted(signals, fetch(direct, &direct::path(image))).await? {
                Ok(done) => fetched.push(done),
                Err(failure) => put_behind(&mut last, failure),
            }
        }
        Ok((fetched, last))
    })?;
    let here = inventory(&open(options.cache())?)?.images;
    for Fetched { path, image, hash, size } in fetched {
        let is_it = |kept: &&InCache| kept.image.as_str() == image || (hash.is_some() && kept.hash == hash);
        let kept = here.iter().filter(is_it).map(|kept| kept.here).max().unwrap_or(0);
        if kept < size {
            let part = format!("{} of {} stay in the cache", bytes(kept), bytes(size));
            put_behind(
                &mut last,
                Failure::new(
                    Code::System,
                    format!("{path}: {part}: it takes --cache-size at most, and leaves a twentieth of the disk free"),
                ),
            );
        }
    }
    last
}

/// Each image is fetched that can be: an earlier failure is told at once, the last one when the program ends.
fn put_behind(last: &mut Result<(), Failure>, failure: Failure) {
    if let Err(earlier) = std::mem::replace(last, Err(failure)) {
        output::problem(earlier);
    }
}

/// An image that was read to its end.
struct Fetched {
    path: String,
    image: String,
    hash: Option<String>,
    size: u64,
}

/// Reads an image to its end.
async fn fetch(direct: &Direct, path: &Path) -> Result<Fetched, Failure> {
    let file = direct.file(path).await?.attr;
    let failed = |error| direct::failure(path, &error);
    let of_image = async |name: &str| {
        let value = direct.files.getxattr(file.ino, OsStr::new(name), 0).await.ok()?;
        String::from_utf8(value).ok().filter(|value| !value.is_empty())
    };
    let (image, size) = (of_image("user.glance.id").await, of_image("user.glance.size").await);
    let refused = |why| Failure::new(Code::Usage, format!("{}: {why}", path.display()));
    let image = image.filter(|_| file.kind == FileKind::File).ok_or_else(|| refused("that is no image"))?;
    if size.is_none_or(|size| size != file.size.to_string()) {
        return Err(refused("there are no data of an image"));
    }
    let hash = of_image("user.glance.os_hash_value").await;
    let mut open = direct.open(file.ino).await.map_err(failed)?;
    let (progress, mut done) = (Progress::new(&path.to_string_lossy(), file.size), 0);
    while let Some(piece) = open.next().await.map_err(failed)? {
        done += u64::try_from(piece.len()).unwrap_or_default();
        progress.reached(done);
    }
    Ok(Fetched { path: path.display().to_string(), image, hash, size: done })
}
