//! Local files that the kernel reads in our place.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The files that were handed to the kernel, by inode (`I`) and open file (`H`); `B` is the kernel's number of one.
///
/// The kernel wants one number for all open files of an inode, and wants it to be valid until the last of them is closed.
pub(super) struct Backings<I, H, B> {
    /// The kernel said at the start that it does this, and has refused none so far.
    offered: AtomicBool,
    held: Mutex<HashMap<I, Held<H, B>>>,
}

struct Held<H, B> {
    backing: Arc<B>,
    handles: HashSet<H>,
}

impl<I, H, B> Default for Backings<I, H, B> {
    fn default() -> Self {
        Self { offered: AtomicBool::new(false), held: Mutex::default() }
    }
}

impl<I: Copy + Eq + Hash, H: Eq + Hash, B> Backings<I, H, B> {
    /// The kernel can do it.
    pub(super) fn offer(&self) {
        self.offered.store(true, Ordering::Relaxed);
    }

    /// Whether it is worth asking for.
    pub(super) fn are_offered(&self) -> bool {
        self.offered.load(Ordering::Relaxed)
    }

    /// The kernel's number for an open file, which is told to the kernel by `hand_over` for the first one of an inode.
    ///
    /// # Errors
    /// What `hand_over` says. It is not asked again in this mount: what it lacks are privileges (`CAP_SYS_ADMIN`) or a
    /// filesystem below that is none on top of others. Asking again could also end in two open files of one inode in
    /// different modes, which the kernel does not allow.
    pub(super) fn open(&self, ino: I, handle: H, hand_over: impl FnOnce() -> io::Result<B>) -> io::Result<Arc<B>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&ino) {
            held.handles.insert(handle);
            return Ok(Arc::clone(&held.backing));
        }
        if !self.are_offered() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let handed = hand_over().inspect_err(|error| {
            self.offered.store(false, Ordering::Relaxed);
            tracing::info!(%error, "the kernel does not read complete images by itself; they are read through glancefs");
        });
        let backing = Arc::new(handed?);
        held.insert(ino, Held { backing: Arc::clone(&backing), handles: HashSet::from([handle]) });
        Ok(backing)
    }

    /// An open file was closed. To be called before the filesystem hears of it, which then may choose another mode.
    pub(super) fn release(&self, ino: I, handle: &H) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&ino) {
            held.handles.remove(handle);
            if held.handles.is_empty() {
                all.remove(&ino);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Backings<u64, u64, u32> {
        let backings = Backings::default();
        backings.offer();
        backings
    }

    fn never() -> io::Result<u32> {
        panic!("asked again")
    }

    #[test]
    fn all_open_files_of_an_inode_have_one_number_until_the_last_is_closed() {
        let backings = offered();
        assert_eq!(*backings.open(1, 10, || Ok(5)).unwrap(), 5);
        assert_eq!(*backings.open(1, 11, never).unwrap(), 5);
        assert_eq!(*backings.open(2, 12, || Ok(6)).unwrap(), 6);
        backings.release(1, &10);
        // One that never was.
        backings.release(1, &99);
        assert_eq!(*backings.open(1, 13, never).unwrap(), 5);
        backings.release(1, &11);
        backings.release(1, &13);
        assert_eq!(*backings.open(1, 14, || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn a_number_is_given_back_with_the_last_close() {
        let backings: Backings<u64, u64, Arc<()>> = Backings::default();
        backings.offer();
        let number = Arc::new(());
        backings.open(1, 10, || Ok(Arc::clone(&number))).unwrap();
        assert_eq!(Arc::strong_count(&number), 2);
        backings.release(1, &10);
        assert_eq!(Arc::strong_count(&number), 1);
    }

    #[test]
    fn a_refusal_is_remembered_and_does_not_end_what_was_granted() {
        let backings = offered();
        backings.open(1, 10, || Ok(5)).unwrap();
        backings.open(2, 11, || Err(io::ErrorKind::PermissionDenied.into())).unwrap_err();
        assert!(!backings.are_offered());
        backings.open(3, 12, never).unwrap_err();
        assert_eq!(*backings.open(1, 13, never).unwrap(), 5);
    }
}
