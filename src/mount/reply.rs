//! What is sent to the kernel, where that takes more than a call.

use std::ffi::OsString;
use std::time::Duration;

use fuser::{
    Errno, Generation, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};

use super::convert;
use crate::config::mount_settings::Ownership;
use crate::fs::Listed;

/// Numbers are never given to another file while the kernel knows them, so there is one generation.
pub(super) const GENERATION: Generation = Generation(0);

/// A reply that can be an errno.
pub(super) trait Refuse {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

/// The value of an extended attribute, or its length for who asks with an empty buffer.
pub(super) fn send_attribute(reply: ReplyXattr, room: u32, value: &[u8]) {
    match u32::try_from(value.len()) {
        Ok(length) if room == 0 => reply.size(length),
        Ok(length) if length <= room => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

/// Names as listxattr(2) wants them, each with a NUL behind it.
pub(super) fn name_list(names: &[OsString]) -> Vec<u8> {
    names.iter().flat_map(|name| name.as_encoded_bytes().iter().copied().chain([0])).collect()
}

/// One line of a folder; answers whether the reply was full before it.
pub(super) fn add(reply: &mut ReplyDirectory, line: &Listed<'_>) -> bool {
    reply.add(convert::inode(line.ino), line.next, convert::kind(line.kind), line.name)
}

/// One line of a folder with its attributes; answers whether the reply was full before it. `.` and `..` have none, and the
/// kernel does not look.
pub(super) fn add_with_attributes(reply: &mut ReplyDirectoryPlus, line: &Listed<'_>, ownership: &Ownership) -> bool {
    let Some(entry) = &line.entry else {
        let bare = convert::bare(line.ino, line.kind);
        return reply.add(convert::inode(line.ino), line.next, line.name, &Duration::ZERO, &bare, GENERATION);
    };
    let attributes = convert::attributes(&entry.attr, ownership);
    reply.add(convert::inode(line.ino), line.next, line.name, &entry.ttl, &attributes, GENERATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attributes_are_told_with_a_nul_behind_each() {
        assert_eq!(name_list(&["user.a".into(), "user.b".into()]), b"user.a\0user.b\0");
        assert_eq!(name_list(&[]), b"");
    }
}
