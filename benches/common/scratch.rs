//! The folder of one run: outputs, mount points, logs. It goes with the run, also with one that was killed: the next one
//! clears up.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::mounts::mounted_below;

const PREFIX: &str = "run-";

/// A folder that is removed when it is dropped. The lock in it says that its run still lives.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _alive: File,
}

impl Scratch {
    /// Clears up what dead runs left in `cache`, and makes a folder there.
    pub(crate) fn make(cache: &Path) -> Result<Self> {
        for entry in fs::read_dir(cache)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) && !is_alive(&entry.path()) {
                clear(&entry.path())?;
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache)?;
        let alive = File::create(lock_of(folder.path()))?;
        alive.lock()?;
        Ok(Self { folder, _alive: alive })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn lock_of(folder: &Path) -> PathBuf {
    folder.join("alive")
}

/// A folder without a lock is one whose run has just begun, or was killed in that moment; it is small.
fn is_alive(folder: &Path) -> bool {
    File::open(lock_of(folder)).is_ok_and(|lock| lock.try_lock().is_err())
}

/// Unmounts what is mounted there, and removes the folder. Never into a mount that stays.
fn clear(folder: &Path) -> Result<()> {
    for point in mounted_below(folder) {
        Command::new("fusermount3").arg("-uz").arg(&point).status().context("fusermount3 cannot be run")?;
    }
    anyhow::ensure!(mounted_below(folder).is_empty(), "a mount below {} does not end", folder.display());
    fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))
}
