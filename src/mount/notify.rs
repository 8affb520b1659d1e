//! Telling the kernel to drop pages.

use std::{io, thread};

use fuser::Notifier;

use super::convert;
use crate::fs::VoidPages;

/// Drops what the filesystem says is void, until the filesystem is gone.
///
/// On a thread of its own, which holds no lock and answers no request: the kernel waits for reads of such pages that are
/// under way, and those wait for us. Two GiB of pages take it 0.3 s.
pub(super) fn drop_void_pages(kernel: Notifier, mut void: VoidPages) -> io::Result<()> {
    let dropping = move || {
        while let Some(ino) = void.wait() {
            // From the start, to the end.
            if let Err(error) = kernel.inval_inode(convert::inode(ino), 0, 0) {
                tracing::warn!(ino = ino.0, %error, "the kernel keeps pages that are void");
            }
        }
    };
    thread::Builder::new().name("void-pages".to_owned()).spawn(dropping).map(drop)
}
