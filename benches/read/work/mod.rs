//! The works: each compares something that people do through a mount with the best other way to do it.

pub(crate) mod again;
pub(crate) mod random;
pub(crate) mod real;
pub(crate) mod whole;

use std::path::PathBuf;

use crate::scene::Scene;

/// What every work needs.
#[derive(Clone, Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) rounds: usize,
    /// Whether the peers that mount take part.
    pub(crate) peers: bool,
    /// Options for every mount of ours.
    pub(crate) options: Vec<String>,
    /// Whether the program under test can keep blocks on disk.
    pub(crate) disk_cache: bool,
}

impl Bench<'_> {
    /// Where a copy is written to.
    pub(crate) fn output(&self) -> PathBuf {
        self.scene.scratch.join("copy")
    }
}
