//! What is mounted where, from `/proc/self/mountinfo` (proc(5)). Reading it asks no filesystem anything, so that it works
//! beside a mount that hangs or whose program has died.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The type under which our mounts are listed: `fuse` with our subtype.
pub const FILESYSTEM_TYPE: &str = "fuse.glancefs";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number of this mount. It is given again as soon as the mount is out of the tree.
    pub id: u64,
    /// The device as `MAJOR:MINOR`.
    pub device: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The filesystem type, `fuse.glancefs` for ours.
    pub kind: String,
    /// What is mounted there, as it was named.
    pub source: OsString,
}

impl Mount {
    /// Whether it is a mount of this program.
    pub fn is_ours(&self) -> bool {
        self.kind == FILESYSTEM_TYPE
    }
}

/// All mounts that this process sees, in the order in which they were made.
pub fn all() -> io::Result<Vec<Mount>> {
    std::fs::read("/proc/self/mountinfo").map(|table| parse(&table))
}

/// The topmost mount exactly at `point`, which must be absolute and without symbolic links.
pub fn at(point: &Path) -> io::Result<Option<Mount>> {
    all().map(|mounts| mounts.into_iter().rev().find(|mount| mount.point == point))
}

/// Parses the table; lines that do not follow the format are passed over.
pub fn parse(table: &[u8]) -> Vec<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /root /point options [optional…] - type source superoptions`
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
    let point = PathBuf::from(unescape(fields.nth(1)?));
    fields.find(|field| *field == b"-")?;
    let kind = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let source = unescape(fields.next()?);
    Some(Mount { id, device, point, kind, source })
}

/// Blanks, line ends and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let coded = behind.first_chunk::<3>().filter(|_| *first == b'\\').copied().and_then(octal);
        plain.push(coded.unwrap_or(*first));
        rest = coded.and_then(|_| behind.get(3..)).unwrap_or(behind);
    }
    OsString::from_vec(plain)
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
        40 22 0:50 / /mnt/with\\040blank rw,nosuid,nodev,relatime shared:9 master:2 - fuse.glancefs my\\134cloud ro\n\
        41 22 0:51 / /plain rw - tmpfs tmpfs rw\n";

    #[test]
    fn points_and_sources_are_unescaped_and_optional_fields_passed_over() {
        let mounts = parse(TABLE);
        assert_eq!(mounts.len(), 3);
        let ours = &mounts[1];
        assert!(ours.is_ours());
        assert_eq!((ours.id, ours.device.as_str()), (40, "0:50"));
        assert_eq!(ours.point, Path::new("/mnt/with blank"));
        assert_eq!(ours.source, "my\\cloud");
        assert!(!mounts[2].is_ours());
    }

    #[test]
    fn the_root_is_mounted_somewhere() {
        assert!(at(Path::new("/")).unwrap().is_some());
        assert_eq!(at(Path::new("/surely/nothing/here")).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_table_makes_the_parser_panic(table: Vec<u8>) {
            let _ = parse(&table);
        }

        #[test]
        fn no_field_makes_the_decoder_panic(field in "[\\\\0-9a ]{0,12}") {
            let _ = unescape(field.as_bytes());
        }
    }
}
