//! Telling the kernel what to forget: pages, attributes, names.

use std::sync::Weak;
use std::{io, thread};

use fuser::{Notifier, Session};

use super::adapter::Adapter;
use super::convert;
use crate::fs::{FileSystem, Ino, VoidNames, VoidPages};

/// Has the kernel of a session told what the filesystem says is void, until the filesystem is gone.
pub(super) fn attach(files: &Weak<FileSystem>, session: &Session<Adapter>) -> io::Result<()> {
    let kernel = session.notifier();
    let forget = move |ino| forget_attributes(&kernel, ino);
    let Some((pages, names)) = files.upgrade().and_then(|files| files.tell(forget)) else { return Ok(()) };
    drop_void_pages(session.notifier(), pages)?;
    drop_void_names(session.notifier(), names)
}

/// The kernel only marks them: it waits for nobody, and needs no thread of its own to be told.
fn forget_attributes(kernel: &Notifier, ino: Ino) {
    // From before the start, which is: no pages. Those of a folder are its lines, which are good while its time is the same.
    match kernel.inval_inode(convert::inode(ino), -1, 0) {
        // It does not know all that it was told of any more.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(ino = ino.0, %error, "the kernel keeps attributes that are void");
        }
        _ => {}
    }
}

/// On a thread of its own, which holds no lock and answers no request: the kernel waits for reads of such pages that are
/// under way, and those wait for us. Two GiB of pages take it 0.3 s.
fn drop_void_pages(kernel: Notifier, mut void: VoidPages) -> io::Result<()> {
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

/// On a thread of its own as well: the kernel waits for whoever is busy in that folder, and those wait for us.
fn drop_void_names(kernel: Notifier, mut void: VoidNames) -> io::Result<()> {
    let dropping = move || {
        while let Some((folder, name)) = void.wait() {
            match kernel.inval_entry(convert::inode(folder), name.as_ref().as_ref()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%name, %error, "the kernel keeps a name that is void");
                }
                _ => {}
            }
        }
    };
    thread::Builder::new().name("void-names".to_owned()).spawn(dropping).map(drop)
}
