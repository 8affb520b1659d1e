//! The tree of a mount made of real files on tmpfs: what no file system can do much better than.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::statfs;
use rustix::process::geteuid;

use crate::common::scratch::Scratch;

/// Where every Linux has a tmpfs (`shm_overview(7)`).
const SHARED_MEMORY: &str = "/dev/shm";

/// `TMPFS_MAGIC` (statfs(2)).
const TMPFS: i64 = 0x0102_1994;

/// The tree, which goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Twin {
    scratch: Scratch,
    /// How many files it has, folders aside.
    pub(crate) files: usize,
}

/// An entry of an image folder.
#[derive(Debug)]
struct Part {
    /// Its path in the image folder.
    path: PathBuf,
    /// The length of a file; `None` for a folder.
    length: Option<u64>,
}

impl Twin {
    /// Makes the same folders as below the mount, each with what the first image has: every image has as much. The files
    /// have the same lengths, and are holes.
    pub(crate) fn make(mount: &Path, names: &[String]) -> Result<Self> {
        let first = names.first().context("no image")?;
        let mut parts = Vec::new();
        collect(&mount.join("by-name").join(first), Path::new(""), &mut parts)?;
        let each = parts.iter().filter(|part| part.length.is_some()).count();
        ensure!(each > 0, "{first} has no file");
        Self::filled(names, &parts, each)
    }

    /// Makes folders of these names with nothing in them.
    pub(crate) fn of_folders(names: &[String]) -> Result<Self> {
        Self::filled(names, &[], 0)
    }

    fn filled(names: &[String], parts: &[Part], each: usize) -> Result<Self> {
        ensure!(statfs(SHARED_MEMORY)?.f_type == TMPFS, "{SHARED_MEMORY} is no tmpfs");
        let folder = Path::new(SHARED_MEMORY).join(format!("glancefs-bench-{}", geteuid().as_raw()));
        fs::create_dir_all(&folder)?;
        let twin = Self { scratch: Scratch::make(&folder)?, files: each * names.len() };
        let images = twin.path().join("by-name");
        fs::create_dir(&images)?;
        names.iter().try_for_each(|name| fill(&images.join(name), parts))?;
        Ok(twin)
    }

    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }
}

/// What is in an image folder, folders before what is in them.
fn collect(image: &Path, below: &Path, parts: &mut Vec<Part>) -> Result<()> {
    for entry in fs::read_dir(image.join(below))? {
        let entry = entry?;
        let (path, about) = (below.join(entry.file_name()), entry.metadata()?);
        let length = about.is_file().then_some(about.len());
        parts.push(Part { path: path.clone(), length });
        if length.is_none() {
            collect(image, &path, parts)?;
        }
    }
    Ok(())
}

fn fill(image: &Path, parts: &[Part]) -> Result<()> {
    fs::create_dir(image)?;
    for part in parts {
        let path = image.join(&part.path);
        match part.length {
            Some(length) => File::create(path)?.set_len(length)?,
            None => fs::create_dir(path)?,
        }
    }
    Ok(())
}
