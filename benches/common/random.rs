//! Bytes that no program can compress or guess.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

/// Writes a file of so many MiB: the same bytes each time.
pub(crate) fn write_random(path: &Path, mebibytes: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(mebibytes);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(())
}
