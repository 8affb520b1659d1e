//! Where the blocks of one content are on a disk: in the cache that outlives the mount, or in a nameless file for as long
//! as somebody reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Reads;
use crate::cache::Identity;
use crate::cache::disk::DiskImage;
use crate::sync::{Mutex, lock};

/// The folder for nameless files when none was asked for: `TMPDIR` where set; else `/var/tmp`, because `/tmp` is in
/// memory on many machines, and images are large.
pub(super) fn default_folder() -> PathBuf {
    let lasting = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && lasting.is_dir() { lasting.to_owned() } else { std::env::temp_dir() }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<State>);

#[derive(Clone, Debug, Default)]
enum State {
    /// Nobody has looked since the image was opened.
    #[default]
    Unknown,
    /// There is none.
    Bare,
    /// Nor is there room for a nameless file.
    Full,
    Here(Arc<DiskImage>),
}

impl Shelf {
    /// The blocks, as far as is known.
    pub(super) fn get(&self) -> Option<Arc<DiskImage>> {
        match &*lock(&self.0) {
            State::Here(image) => Some(Arc::clone(image)),
            State::Unknown | State::Bare | State::Full => None,
        }
    }

    /// Looks into the cache on disk, unless that was done before. `true` when it was done now.
    pub(super) async fn open(&self, reads: &Arc<Reads>, content: &Identity) -> bool {
        if !matches!(&*lock(&self.0), State::Unknown) {
            return false;
        }
        let state = if reads.disk.is_some() { look_up(reads, content).await } else { State::Bare };
        *lock(&self.0) = state;
        true
    }

    /// Makes a nameless file where somebody has looked and found nothing: what a stream passes from now on needs no other one.
    /// `true` when it was made now.
    pub(super) async fn improvise(&self, folder: Option<&Path>, content: &Identity) -> bool {
        let is_bare = || matches!(&*lock(&self.0), State::Bare);
        let Some(folder) = folder.filter(|_| is_bare()).map(Path::to_owned) else { return false };
        let (image, content) = (content.image(), content.clone());
        let made = tokio::task::spawn_blocking(move || DiskImage::anonymous(&folder, &content)).await;
        let state = match made {
            Ok(Ok(made)) => State::Here(Arc::new(made)),
            Ok(Err(error)) => {
                tracing::warn!(%image, %error, "no spool: who goes back in this image has all of it sent once more");
                State::Full
            }
            Err(_) => return false,
        };
        let mut here = lock(&self.0);
        // Two streams may have come to it at once, and the last reader may have gone.
        let is_first = matches!(&*here, State::Bare);
        if is_first {
            *here = state;
        }
        is_first
    }

    /// Nobody has the image open any more: the next one looks again, and the cache may drop it meanwhile.
    pub(super) fn close(&self) {
        let state = std::mem::take(&mut *lock(&self.0));
        // A nameless file of many GiB takes its time to go.
        drop(state);
    }
}

async fn look_up(reads: &Arc<Reads>, content: &Identity) -> State {
    let (reads, wanted) = (Arc::clone(reads), content.clone());
    let found = tokio::task::spawn_blocking(move || reads.disk.as_ref().map(|disk| disk.image(&wanted))).await;
    match found {
        Ok(Some(Ok(image))) => State::Here(image),
        Ok(Some(Err(error))) => {
            tracing::warn!(image = %content.image(), %error, "the cache on disk is not used for this image");
            State::Bare
        }
        _ => State::Bare,
    }
}
