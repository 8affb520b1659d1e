//! Whether a spool holds data yet, or only what a program makes before it writes any: nothing, a hole, or the header and
//! the empty tables of a disk format.
//!
//! `qemu-img convert` creates its target, closes it, and opens it again to write, and `cp` of a hole ends with no more
//! than that. What cannot be told is data.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::format::{Format, HEAD, number, recognise};

/// A table that is longer than so many bytes is not looked through.
const LONGEST: u64 = 64 << 20;

/// Whether `file`, whose first bytes are `head`, holds data; `first` is where its first bytes that are no hole are.
pub(super) fn holds_data(file: &File, head: &[u8], first: Option<u64>) -> io::Result<bool> {
    if first.is_none() {
        return Ok(false);
    }
    let table = match recognise(head) {
        Ok(Format::Qcow2) => qcow2(head),
        Ok(Format::Vhd) => vhd(file)?,
        Ok(Format::Vdi) => return Ok(number(head, 0x184, u32::from_le_bytes) != Some(0)),
        Ok(Format::Vhdx) => vhdx(file)?,
        Ok(Format::Vmdk) => return vmdk(file, head).map(|empty| !empty),
        _ => return Ok(!is_probe(file, head)?),
    };
    table.map_or(Ok(true), |table| table.is_empty(file).map(|empty| !empty))
}

/// Whether there is nothing but zeros in the first block. `qemu-img` writes them when it makes a raw file, so that it can
/// find out how direct I/O has to be aligned, and closes it then.
fn is_probe(file: &File, head: &[u8]) -> io::Result<bool> {
    let allocated = file.metadata()?.blocks().saturating_mul(512);
    Ok(allocated <= HEAD as u64 && head.iter().all(|byte| *byte == 0))
}

/// A table of clusters or blocks, each entry of which tells where the data are.
struct Table {
    offset: u64,
    entries: u64,
    /// Bytes in an entry.
    width: usize,
    /// Whether an entry of these bytes stands for no data.
    is_absent: fn(&[u8]) -> bool,
}

impl Table {
    /// Whether no entry has data.
    fn is_empty(&self, file: &File) -> io::Result<bool> {
        let length = self.entries.saturating_mul(self.width as u64);
        if length > LONGEST {
            return Ok(false);
        }
        let flow = pieces(file, self.offset, length, |piece| {
            let empty = piece.chunks(self.width).all(|entry| (self.is_absent)(entry));
            if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(flow.is_continue())
    }
}

/// Reads `length` bytes from `offset` on in pieces. What is behind the end of the file is as good as zeros.
fn pieces(
    file: &File,
    offset: u64,
    length: u64,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let (mut buffer, mut at, end) = (vec![0; HEAD], offset, offset.saturating_add(length));
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(HEAD).min(HEAD);
        let count = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at)?;
        if count == 0 {
            break;
        }
        // A whole number of entries, whatever their width.
        let whole = if count < wanted && count >= 8 { count - count % 8 } else { count };
        if each(buffer.get(..whole).unwrap_or_default()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        at += whole as u64;
    }
    Ok(ControlFlow::Continue(()))
}

fn is_zero(entry: &[u8]) -> bool {
    entry.iter().all(|byte| *byte == 0)
}

fn is_ones(entry: &[u8]) -> bool {
    entry.iter().all(|byte| *byte == 0xFF)
}

/// The first of the two levels of tables: an entry is the place of a table of clusters.
fn qcow2(head: &[u8]) -> Option<Table> {
    let entries = u64::from(number(head, 36, u32::from_be_bytes)?);
    Some(Table { offset: number(head, 40, u64::from_be_bytes)?, entries, width: 8, is_absent: is_zero })
}

/// The table of blocks, behind a header that is behind the copy of the footer.
fn vhd(file: &File) -> io::Result<Option<Table>> {
    let mut header = [0; 1536];
    file.read_exact_at(&mut header, 0)?;
    let place = header.get(512..520) == Some(b"cxsparse".as_slice());
    let table = || {
        let entries = u64::from(number(&header, 512 + 28, u32::from_be_bytes)?);
        Some(Table { offset: number(&header, 512 + 16, u64::from_be_bytes)?, entries, width: 4, is_absent: is_ones })
    };
    Ok(place.then(table).flatten())
}

/// The block allocation table, one of the regions of the first region table.
fn vhdx(file: &File) -> io::Result<Option<Table>> {
    const REGIONS: u64 = 192 << 10;
    /// 2DC27766-F623-4200-9D64-115E9BFD4A08, as it is stored.
    const BLOCKS: &[u8] = b"\x66\x77\xC2\x2D\x23\xF6\x00\x42\x9D\x64\x11\x5E\x9B\xFD\x4A\x08";
    let mut regions = vec![0; HEAD];
    file.read_exact_at(&mut regions, REGIONS)?;
    let count = number(&regions, 8, u32::from_le_bytes).filter(|_| regions.starts_with(b"regi")).unwrap_or(0);
    let region = regions.get(16..).unwrap_or_default().chunks(32).take(usize::try_from(count).unwrap_or(0));
    let blocks = region.into_iter().find(|region| region.starts_with(BLOCKS));
    Ok(blocks.and_then(|region| {
        let entries = u64::from(number(region, 24, u32::from_le_bytes)?) / 8;
        // The lowest three bits are the state: 6 and 7 have data.
        let is_absent = |entry: &[u8]| entry.first().is_none_or(|byte| byte & 7 < 6);
        Some(Table { offset: number(region, 16, u64::from_le_bytes)?, entries, width: 8, is_absent })
    }))
}

/// Whether a sparse extent has no grain. Its directory has the places of tables of grains; 0 and 1 are none.
fn vmdk(file: &File, head: &[u8]) -> io::Result<bool> {
    const SECTOR: u64 = 512;
    let fields = || {
        let [sectors, grain, directory] = [12, 20, 56].map(|at| number(head, at, u64::from_le_bytes));
        Some((sectors?, grain?, directory?, u64::from(number(head, 44, u32::from_le_bytes)?)))
    };
    let Some((sectors, grain, directory, entries)) = fields().filter(|_| head.starts_with(b"KDMV")) else {
        return Ok(false);
    };
    let tables = sectors.checked_div(grain.saturating_mul(entries)).map_or(u64::MAX, |tables| tables + 1);
    let all = tables.saturating_mul(4).saturating_add(tables.saturating_mul(entries).saturating_mul(4));
    // A directory at the end is that of a stream, which is written at once.
    if directory == u64::MAX || all > LONGEST {
        return Ok(false);
    }
    let mut places = Vec::new();
    let _ = pieces(file, directory.saturating_mul(SECTOR), tables.saturating_mul(4), |piece| {
        places.extend(piece.chunks(4).filter_map(|entry| number(entry, 0, u32::from_le_bytes)));
        ControlFlow::Continue(())
    })?;
    let is_absent = |entry: &[u8]| matches!(number(entry, 0, u32::from_le_bytes), None | Some(0 | 1));
    // What is behind the directory is not part of it.
    let used = places.into_iter().take(usize::try_from(sectors.div_ceil((grain * entries).max(1))).unwrap_or(0));
    for place in used.filter(|place| *place != 0) {
        let table = Table { offset: u64::from(place).saturating_mul(SECTOR), entries, width: 4, is_absent };
        if !table.is_empty(file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn look(path: &Path) -> bool {
        let (file, head) = (File::open(path).unwrap(), fs::read(path).unwrap());
        let first = head.iter().position(|byte| *byte != 0).map(|at| at as u64);
        holds_data(&file, &head[..head.len().min(HEAD)], first).unwrap()
    }

    #[test]
    fn nothing_and_a_hole_are_no_data_and_every_byte_of_no_known_format_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let file = File::create(&path).unwrap();
        assert!(!look(&path));
        file.set_len(1 << 20).unwrap();
        assert!(!look(&path));
        file.write_all_at(b"x", 5000).unwrap();
        assert!(look(&path));
    }

    #[test]
    fn zeros_in_the_first_block_of_a_long_hole_are_no_data_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let file = File::create(&path).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(&[0; 4096], 0).unwrap();
        let holds = || holds_data(&File::open(&path).unwrap(), &vec![0; HEAD], Some(0)).unwrap();
        assert!(!holds());
        file.write_all_at(&vec![0; 256 << 10], 0).unwrap();
        assert!(holds(), "somebody wrote zeros");
    }

    #[test]
    fn a_disk_that_qemu_img_has_just_made_holds_no_data_until_some_is_written() {
        if Command::new("qemu-img").arg("--version").output().is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let raw = OpenOptions::new().create_new(true).read(true).write(true).open(&source).unwrap();
        raw.set_len(40 << 20).unwrap();
        for (format, options) in [
            ("qcow2", "compat=1.1"),
            ("qcow2", "cluster_size=512"),
            ("vdi", "static=off"),
            ("vmdk", "subformat=monolithicSparse"),
            ("vpc", "subformat=dynamic"),
            ("vhdx", "subformat=dynamic"),
        ] {
            let path = folder.path().join(format!("made.{format}"));
            let run = |arguments: &[&str]| {
                let done = Command::new("qemu-img").args(arguments).output().unwrap();
                assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
            };
            let [from, to] = [&source, &path].map(|path| path.to_str().unwrap());
            run(&["create", "-f", format, "-o", options, to, "40M"]);
            assert!(!look(&path), "{format} {options}");
            raw.write_all_at(b"data", 39 << 20).unwrap();
            run(&["convert", "-O", format, "-o", options, from, to]);
            assert!(look(&path), "{format} {options}");
            raw.write_all_at(&[0; 4], 39 << 20).unwrap();
        }
    }
}
