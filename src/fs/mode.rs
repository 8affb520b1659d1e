//! How the kernel reads an open file: out of its page cache, from us each time, or from a local file without us.
//!
//! What each way costs, on two cores with the bytes in our memory: filling the page cache takes 0.33 s of a processor for
//! a GiB more than direct I/O, and gives three things for it. A second reading is as fast as a local file, small reads
//! are eight times faster, and `cp` reads ahead while it writes, which makes it faster than with direct I/O, where each
//! read waits for the one before. So the page cache is what a file gets unless one of the rules in [`decide`] knows
//! better.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Result;
use super::error::FsError;
use super::inode::Ino;
use crate::read::Content;

/// How the kernel reads an open file.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Through the page cache.
    Cached {
        /// Pages that the kernel holds from an earlier open are still right.
        keep: bool,
    },
    /// Each read is asked of us; only a mapping of the file goes through the page cache, and drops what is there first.
    Direct {
        /// Pages that the kernel holds for others are still right.
        keep: bool,
    },
    /// From this file, without asking us.
    Passthrough(Arc<File>),
}

/// What is known at an open.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// The program asked to go around the page cache (`O_DIRECT`).
    pub(super) direct: bool,
    /// The image's size in bytes.
    pub(super) size: u64,
    /// Bytes that the page cache may grow to without driving programs out of memory.
    pub(super) available: u64,
    /// What is known of the bytes.
    pub(super) trust: Trust,
    /// The whole image as a local file whose hash was compared, where there is one and the kernel may have it.
    pub(super) sealed: Option<Arc<File>>,
}

/// What is known of an image's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody has read any since what is known of them was forgotten, or ever.
    Forgotten,
    /// Not all of them were compared with the service's hash.
    Unknown,
    /// All were, and they are right.
    Verified,
    /// The service shows no hash to compare them with.
    Unprovable,
    /// They are not what the hash says.
    Damaged,
}

/// The mode for a file that nobody has open in a mode that would forbid it.
///
/// * A sealed file is handed to the kernel.
/// * `O_DIRECT` is what it says.
/// * Damaged bytes have no place in the page cache, from where they would be read without us.
/// * Neither has an image of more than half of the memory that is available: one pass would drive out everybody's
///   pages and end with the image's last ones, of which the next pass, from the start, needs none.
/// * Everything else goes through the page cache. Pages from before stay once all bytes were compared with the hash;
///   until then each handle is to see every byte that it gives out, so that a whole reading can be verified. Where there
///   is no hash, nothing is to be waited for.
fn decide(demand: &Demand) -> Mode {
    match &demand.sealed {
        Some(file) if demand.trust != Trust::Damaged => Mode::Passthrough(Arc::clone(file)),
        _ => asked(demand),
    }
}

/// The mode where the kernel has to ask us.
fn asked(demand: &Demand) -> Mode {
    match demand.trust {
        Trust::Damaged => Mode::Direct { keep: false },
        // Whoever reads the same bytes through the page cache keeps the pages. What nobody knows any more is void: a verdict
        // on what is read from now on says nothing of it.
        trust if demand.direct || demand.size > demand.available / 2 => {
            Mode::Direct { keep: trust != Trust::Forgotten }
        }
        trust => Mode::Cached { keep: matches!(trust, Trust::Verified | Trust::Unprovable) },
    }
}

/// Which modes the open files are in.
///
/// The kernel reads an inode either by passthrough, and then always from the same file, or by asking us (cached and
/// direct side by side); an open that would mix the two fails with EIO. So the first open decides until the last release.
#[derive(Debug, Default)]
pub(super) struct Modes(Mutex<HashMap<Ino, InUse>>);

#[derive(Debug)]
struct InUse {
    handles: usize,
    /// What the first of them was opened on.
    content: Content,
    /// The file that the kernel reads, if it is by passthrough.
    file: Option<Arc<File>>,
}

/// One open file's part in the mode of its inode; ends when it is dropped.
#[derive(Debug)]
pub(super) struct InMode {
    modes: Arc<Modes>,
    ino: Ino,
}

impl Modes {
    /// The mode for one more open of `ino`.
    ///
    /// # Errors
    /// [`FsError::Replaced`] while the kernel reads other bytes of this image from a local file.
    pub(super) fn enter(self: &Arc<Self>, ino: Ino, content: &Content, demand: &Demand) -> Result<(Mode, InMode)> {
        let mut modes = self.locked();
        let mode = if let Some(in_use) = modes.get_mut(&ino) {
            let mode = in_use.joined(content, demand)?;
            in_use.handles += 1;
            mode
        } else {
            let mode = decide(demand);
            modes.insert(ino, InUse { handles: 1, content: content.clone(), file: mode.file() });
            mode
        };
        Ok((mode, InMode { modes: Arc::clone(self), ino }))
    }

    /// The mode in place of a passthrough that the kernel refused to every open of `ino`.
    pub(super) fn without_passthrough(&self, ino: Ino, demand: &Demand) -> Mode {
        if let Some(in_use) = self.locked().get_mut(&ino) {
            in_use.file = None;
        }
        asked(demand)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Ino, InUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InMode {
    /// Whose mode it is.
    pub(super) fn ino(&self) -> Ino {
        self.ino
    }
}

impl InUse {
    /// The mode of one more open beside those that there are.
    fn joined(&self, content: &Content, demand: &Demand) -> Result<Mode> {
        let same = self.content.is_same_as(content);
        match &self.file {
            Some(file) if same => Ok(Mode::Passthrough(Arc::clone(file))),
            Some(_) => Err(FsError::Replaced(content.image)),
            None if same => Ok(asked(demand)),
            // Pages belong to the inode: in the cache, the new bytes would be read through handles on the old ones.
            None => Ok(Mode::Direct { keep: false }),
        }
    }
}

impl Drop for InMode {
    fn drop(&mut self) {
        let mut modes = self.modes.locked();
        if let Some(in_use) = modes.get_mut(&self.ino) {
            in_use.handles = in_use.handles.saturating_sub(1);
            if in_use.handles == 0 {
                modes.remove(&self.ino);
            }
        }
    }
}

impl Mode {
    fn file(&self) -> Option<Arc<File>> {
        match self {
            Self::Passthrough(file) => Some(Arc::clone(file)),
            Self::Cached { .. } | Self::Direct { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::id;
    use crate::image::Checksums;

    const INO: Ino = Ino(7);
    const GIB: u64 = 1 << 30;

    fn demand() -> Demand {
        Demand { direct: false, size: GIB, available: 8 * GIB, trust: Trust::Unknown, sealed: None }
    }

    fn sealed() -> Demand {
        Demand { sealed: Some(Arc::new(tempfile::tempfile().unwrap())), ..demand() }
    }

    fn content(size: u64) -> Content {
        Content { image: id(1), size, checksums: Checksums::default(), stores: Vec::new() }
    }

    /// A mode in a word.
    fn word(mode: &Mode) -> &'static str {
        match mode {
            Mode::Cached { keep: false } => "cached",
            Mode::Cached { keep: true } => "kept",
            Mode::Direct { keep: false } => "direct",
            Mode::Direct { keep: true } => "beside",
            Mode::Passthrough(_) => "passthrough",
        }
    }

    fn decided(change: impl FnOnce(&mut Demand)) -> &'static str {
        let mut demand = demand();
        change(&mut demand);
        word(&decide(&demand))
    }

    #[test]
    fn an_image_goes_through_the_page_cache_and_stays_there_once_it_is_verified() {
        assert_eq!(decided(|_| ()), "cached");
        assert_eq!(decided(|demand| demand.trust = Trust::Verified), "kept");
        assert_eq!(decided(|demand| demand.trust = Trust::Unprovable), "kept", "no reading of it will be verified");
    }

    #[test]
    fn an_image_that_would_drive_all_else_out_of_the_page_cache_does_not_enter_it() {
        assert_eq!(decided(|demand| demand.available = 2 * GIB), "cached");
        assert_eq!(decided(|demand| demand.available = 2 * GIB - 2), "beside");
    }

    #[test]
    fn who_asks_for_direct_reads_gets_them_and_leaves_the_pages_of_others_alone() {
        assert_eq!(decided(|demand| demand.direct = true), "beside");
    }

    #[test]
    fn pages_of_which_nothing_is_known_any_more_go_at_the_next_open_whatever_it_asks_for() {
        assert_eq!(decided(|demand| demand.trust = Trust::Forgotten), "cached");
        assert_eq!(decided(|demand| (demand.trust, demand.direct) = (Trust::Forgotten, true)), "direct");
        assert_eq!(decided(|demand| (demand.trust, demand.available) = (Trust::Forgotten, GIB)), "direct");
    }

    #[test]
    fn damaged_bytes_enter_no_page_cache_and_are_not_read_without_us() {
        assert_eq!(decided(|demand| demand.trust = Trust::Damaged), "direct");
        let damaged = Demand { trust: Trust::Damaged, ..sealed() };
        assert_eq!(word(&decide(&damaged)), "direct");
    }

    #[test]
    fn a_sealed_image_is_handed_to_the_kernel_also_for_direct_reads() {
        assert_eq!(word(&decide(&sealed())), "passthrough");
        assert_eq!(word(&decide(&Demand { direct: true, ..sealed() })), "passthrough");
    }

    #[test]
    fn the_first_open_decides_until_the_last_close() {
        let modes = Arc::new(Modes::default());
        let enter = |demand: &Demand| modes.enter(INO, &content(1), demand).unwrap();
        let (first, one) = enter(&demand());
        let (second, two) = enter(&sealed());
        assert_eq!((word(&first), word(&second)), ("cached", "cached"));
        drop(one);
        assert_eq!(word(&enter(&sealed()).0), "cached", "one is open still");
        drop(two);
        let first = sealed();
        let (third, three) = enter(&first);
        let (fourth, four) = enter(&demand());
        assert_eq!((word(&third), word(&fourth)), ("passthrough", "passthrough"));
        let (Mode::Passthrough(one), Some(other)) = (fourth, first.sealed) else { panic!("no file") };
        assert!(Arc::ptr_eq(&one, &other), "the same file for all");
        drop((three, four));
        assert_eq!(word(&enter(&demand()).0), "cached");
        assert!(modes.locked().is_empty());
    }

    #[test]
    fn inodes_do_not_decide_for_each_other() {
        let modes = Arc::new(Modes::default());
        let held = modes.enter(INO, &content(1), &demand()).unwrap();
        assert_eq!(word(&modes.enter(Ino(8), &content(1), &sealed()).unwrap().0), "passthrough");
        drop(held);
    }

    #[test]
    fn other_bytes_do_not_share_pages_or_a_file_with_those_that_are_open() {
        let modes = Arc::new(Modes::default());
        let held = modes.enter(INO, &content(1), &demand()).unwrap();
        assert_eq!(word(&modes.enter(INO, &content(2), &demand()).unwrap().0), "direct");
        drop(held);
        let held = modes.enter(INO, &content(1), &sealed()).unwrap();
        assert!(matches!(modes.enter(INO, &content(2), &sealed()), Err(FsError::Replaced(_))));
        drop(held);
    }

    #[test]
    fn after_a_refusal_an_inode_is_read_through_us() {
        let modes = Arc::new(Modes::default());
        let demand = sealed();
        let (_, one) = modes.enter(INO, &content(1), &demand).unwrap();
        assert_eq!(word(&modes.without_passthrough(INO, &demand)), "cached");
        assert_eq!(word(&modes.enter(INO, &content(1), &demand).unwrap().0), "cached");
        drop(one);
    }
}
