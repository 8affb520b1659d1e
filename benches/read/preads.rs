//! Programs that read here and there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What programs read at random, and how memory is divided.
pub(crate) const PAGE: usize = 4096;

/// Opens a file past the page cache, so that every read reaches the daemon.
pub(crate) fn open_direct(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    opened.with_context(|| format!("{} cannot be opened past the page cache", path.display()))
}

/// Memory that begins at a page, as reads past the page cache want it.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + PAGE];
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        Self { memory, start, length }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.length).unwrap_or_default()
    }

    /// Fills it from this place of a file.
    pub(crate) fn read(&mut self, file: &File, offset: u64) -> io::Result<()> {
        file.read_exact_at(self.bytes(), offset)
    }
}

/// `count` different pages among the first `pages`, in random order; as many as there are if there are fewer.
pub(crate) fn pages(random: &mut fastrand::Rng, pages: u64, count: u64) -> Vec<u64> {
    let mut taken = std::collections::HashSet::new();
    let mut chosen = Vec::new();
    while (chosen.len() as u64) < count.min(pages) {
        let page = random.u64(..pages);
        if taken.insert(page) {
            chosen.push(page);
        }
    }
    chosen
}

/// Reads these pages and compares each with the original.
pub(crate) fn read_and_compare(file: &File, original: &File, pages: &[u64]) -> Result<()> {
    let (mut got, mut wanted) = (Buffer::new(PAGE), Buffer::new(PAGE));
    for page in pages {
        let offset = page * PAGE as u64;
        got.read(file, offset).with_context(|| format!("reading at {offset}"))?;
        wanted.read(original, offset)?;
        if got.bytes() != wanted.bytes() {
            bail!("WRONG BYTES at {offset}");
        }
    }
    Ok(())
}

/// Reads from `from` to `to` in pieces of `piece` bytes.
pub(crate) fn read_through(file: &File, from: u64, to: u64, piece: usize) -> Result<()> {
    let mut buffer = Buffer::new(piece);
    for offset in (from..to).step_by(piece) {
        buffer.read(file, offset).with_context(|| format!("reading at {offset}"))?;
    }
    Ok(())
}
