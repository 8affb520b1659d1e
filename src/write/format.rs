//! Which disk format bytes are in, as the service's own inspector sees it.
//!
//! Glance compares the format that a bare image names with what its inspector makes of the bytes, after it took all of
//! them, and leaves an image that does not pass unusable. So the same rules are applied here before a byte is sent.
//! They are those of oslo.utils 9 (Glance since its release 30): signatures in the first 64 KiB, and of two that both
//! match only an ISO with a partition table in front of it.

use std::fmt;

use super::state::{Cause, Reason};
use crate::image::ImageId;

/// As many bytes from the beginning as the recognition needs.
pub const HEAD: usize = 64 << 10;

/// What the service's inspector tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// A dynamic disk of Virtual PC. One of fixed size has its signature at the end, and counts as raw.
    Vhd,
    /// A disk of Hyper-V.
    Vhdx,
    /// A disk of `VMware`.
    Vmdk,
    /// A disk of `VirtualBox`.
    Vdi,
    /// QEMU's enhanced disk, which the service always refuses.
    Qed,
    /// ISO 9660 or UDF.
    Iso,
    /// A partition table (MBR, also in front of a GPT): a raw disk.
    Gpt,
    /// An encrypted disk: raw, as the service calls it.
    Luks,
    /// A disk of Parallels and `OpenVZ`, which the inspector does not know.
    Ploop,
    /// Nothing that is recognised.
    Raw,
}

/// What the formats of an image are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// The wrapping (`container_format`).
    pub container: String,
    /// The disk inside (`disk_format`).
    pub disk: String,
}

/// Why the service would not take the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// They are in another format than the image names.
    #[error(
        "disk_format is {declared}, and the bytes are {found}{}: give it bytes that are {declared}, or change the format",
        hint(declared, *found)
    )]
    Contradiction {
        /// What the image names.
        declared: String,
        /// What they are.
        found: Format,
    },
    /// They look like two formats at once.
    #[error(
        "the bytes are both {0} and {1}, and the service takes no such image: convert them before, as with qemu-img"
    )]
    Ambiguous(Format, Format),
    /// The service takes none of this format, or none with this feature.
    #[error("the bytes are {0}, and the service takes no such image: convert them before, as with qemu-img")]
    Refused(&'static str),
}

impl Unfit {
    /// Why nothing is sent of bytes that are `image`'s, or were to be a new image's.
    pub(super) fn cause(&self, image: Option<ImageId>) -> Cause {
        let what = image.map_or_else(|| "a new image".to_owned(), |image| format!("image {image}"));
        Cause::new(Reason::Format, format!("could not upload {what}: {self}"))
    }
}

fn hint(declared: &str, found: Format) -> &'static str {
    match (declared, found) {
        ("vhd", Format::Raw) => " (a VHD of fixed size has no signature at its beginning: such an image is raw)",
        _ => "",
    }
}

impl Format {
    /// The format as `disk_format` spells it.
    pub fn disk_format(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Iso => "iso",
            Self::Ploop => "ploop",
            Self::Qed | Self::Gpt | Self::Luks | Self::Raw => "raw",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Qed => "qed",
            Self::Gpt => "a partitioned raw disk",
            Self::Luks => "an encrypted (LUKS) raw disk",
            other => other.disk_format(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The format of an image that begins with `head`, its first [`HEAD`] bytes or all of a smaller one.
pub fn recognise(head: &[u8]) -> Result<Format, Unfit> {
    match matches(head).as_slice() {
        [] if is_ploop(head) => Ok(Format::Ploop),
        [] => Ok(Format::Raw),
        [one] => Ok(*one),
        // Images that boot from a disc as from a disk begin with a partition table.
        [Format::Iso, Format::Gpt] => Ok(Format::Iso),
        [one, other, ..] => Err(Unfit::Ambiguous(*one, *other)),
    }
}

/// The formats for an image that begins with `head` and names these, or why the service would refuse it.
pub fn fit(head: &[u8], container: Option<&str>, disk: Option<&str>) -> Result<Formats, Unfit> {
    let formats = |disk: &str| Formats { container: container.unwrap_or("bare").to_owned(), disk: disk.to_owned() };
    // Other wrappings are not looked into.
    if let (Some(wrapping), Some(disk)) = (container, disk)
        && wrapping != "bare"
    {
        return Ok(formats(disk));
    }
    let found = recognise(head)?;
    if let Some(feature) = refused(found, head) {
        return Err(Unfit::Refused(feature));
    }
    match disk {
        None => Ok(formats(found.disk_format())),
        Some(declared) if is_checked(declared) && declared != found.disk_format() => {
            Err(Unfit::Contradiction { declared: declared.to_owned(), found })
        }
        Some(declared) => Ok(formats(declared)),
    }
}

/// Whether the service compares this `disk_format` with the bytes. As `raw`, and as what has no signature, it takes
/// whatever is recognised as one format.
fn is_checked(disk_format: &str) -> bool {
    matches!(disk_format, "qcow2" | "vhd" | "vhdx" | "vmdk" | "vdi" | "iso")
}

/// What the service refuses in an image of this format, where it has that.
fn refused(found: Format, head: &[u8]) -> Option<&'static str> {
    match found {
        Format::Qed => Some("qed"),
        Format::Qcow2 if number(head, 8, u64::from_be_bytes) != Some(0) => {
            Some("a qcow2 with a backing file (`qemu-img convert` makes a complete one)")
        }
        // The bit of a header of version 3 that says that the clusters are in a file of their own.
        Format::Qcow2
            if number(head, 4, u32::from_be_bytes) >= Some(3)
                && number(head, 72, u64::from_be_bytes).is_some_and(|features| features & 4 != 0) =>
        {
            Some("a qcow2 with an external data file (`qemu-img convert` makes a complete one)")
        }
        _ => None,
    }
}

fn matches(head: &[u8]) -> Vec<Format> {
    let begins = |what: &[u8]| head.starts_with(what);
    // The inspector looks at these only where there is a whole sector.
    let sector = head.len() >= 512;
    let all = [
        (Format::Qcow2, sector && begins(b"QFI\xfb")),
        (Format::Vhd, begins(b"conectix")),
        (Format::Vhdx, begins(b"vhdxfile")),
        (Format::Vmdk, is_vmdk(head)),
        (Format::Vdi, sector && number(head, 0x40, u32::from_le_bytes) == Some(0xBEDA_107F)),
        (Format::Qed, sector && begins(b"QED\0")),
        (Format::Iso, is_iso(head)),
        (Format::Gpt, sector && is_partitioned(head)),
        (Format::Luks, begins(b"LUKS\xba\xbe")),
    ];
    all.into_iter().filter_map(|(format, here)| here.then_some(format)).collect()
}

/// ISO 9660 or UDF: the first volume descriptor, in the 17th sector of 2 KiB.
fn is_iso(head: &[u8]) -> bool {
    const DESCRIPTOR: usize = 32 << 10;
    let word = head.get(DESCRIPTOR..DESCRIPTOR + 2048).and_then(|descriptor| descriptor.get(1..6));
    matches!(word, Some(b"CD001" | b"NSR02" | b"NSR03"))
}

/// A boot sector's signature, and not that of a FAT filesystem.
fn is_partitioned(head: &[u8]) -> bool {
    let is_fat = head.get(0x10) == Some(&2) && head.get(0x15) == Some(&0xF8);
    head.get(510..512) == Some(&[0x55, 0xAA]) && !is_fat
}

/// A sparse extent, or the text file that describes a disk.
fn is_vmdk(head: &[u8]) -> bool {
    const CREATE_TYPE: &[u8] = b"createtype=\"";
    let Some(header) = head.get(..head.len().min(512)).filter(|header| header.len() >= 64) else { return false };
    if header.starts_with(b"KDMV") {
        return true;
    }
    let is_text = header.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'..=b'\r' | 0x1C..=0x1F));
    let text = head.split(|byte| *byte == 0).next().unwrap_or_default().to_ascii_lowercase();
    if !is_text || !text.is_ascii() {
        return false;
    }
    let value = text.windows(CREATE_TYPE.len()).position(|window| window == CREATE_TYPE);
    let value = value.and_then(|at| text.get(at + CREATE_TYPE.len()..)).unwrap_or_default();
    value.iter().position(|byte| *byte == b'"').is_some_and(|length| length < 64)
}

/// The signatures of ploop's versions 1 and 2.
fn is_ploop(head: &[u8]) -> bool {
    head.starts_with(b"WithoutFreeSpace") || head.starts_with(b"WithouFreSpacExt")
}

/// The number at `from`, where there are bytes enough.
pub(super) fn number<const N: usize, T>(head: &[u8], from: usize, decode: impl FnOnce([u8; N]) -> T) -> Option<T> {
    head.get(from..from.checked_add(N)?)?.try_into().ok().map(decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `length` zeros with these bytes in them.
    fn head(length: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; length];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    fn qcow2() -> Vec<u8> {
        head(1024, &[(0, b"QFI\xfb\0\0\0\x03")])
    }

    fn iso() -> Vec<u8> {
        head(HEAD, &[(0x8001, b"CD001")])
    }

    const BOOT: (usize, &[u8]) = (510, b"\x55\xAA");

    #[test]
    fn each_format_is_recognised() {
        let text = b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\ncreateType=\"monolithicFlat\"\n".as_slice();
        for (bytes, format, name) in [
            (qcow2(), Format::Qcow2, "qcow2"),
            (b"conectix".to_vec(), Format::Vhd, "vhd"),
            (b"vhdxfile".to_vec(), Format::Vhdx, "vhdx"),
            (head(512, &[(0, b"KDMV\x01")]), Format::Vmdk, "vmdk"),
            (text.to_vec(), Format::Vmdk, "vmdk"),
            (head(512, &[(0x40, &0xBEDA_107F_u32.to_le_bytes())]), Format::Vdi, "vdi"),
            (iso(), Format::Iso, "iso"),
            (head(HEAD, &[(0x8001, b"NSR02")]), Format::Iso, "iso"),
            (head(512, &[BOOT]), Format::Gpt, "raw"),
            (b"LUKS\xba\xbe\0\x01".to_vec(), Format::Luks, "raw"),
            (head(512, &[(0, b"WithoutFreeSpace")]), Format::Ploop, "ploop"),
            (b"hello".to_vec(), Format::Raw, "raw"),
            (Vec::new(), Format::Raw, "raw"),
        ] {
            let found = recognise(&bytes).unwrap();
            assert_eq!((found, found.disk_format()), (format, name));
        }
    }

    #[test]
    fn what_is_too_short_for_the_service_to_recognise_is_raw() {
        for bytes in [&qcow2()[..511], &iso()[..0x8800 - 1], b"KDMV"] {
            assert_eq!(recognise(bytes), Ok(Format::Raw));
        }
        assert_eq!(recognise(&qcow2()[..512]), Ok(Format::Qcow2));
    }

    #[test]
    fn a_text_is_a_vmdk_only_where_it_names_its_type() {
        let mut text = b"createType is not here, ".repeat(10);
        assert_eq!(recognise(&text), Ok(Format::Raw));
        text.extend(b"createtype=\"x\"");
        assert_eq!(recognise(&text), Ok(Format::Vmdk));
    }

    #[test]
    fn an_iso_behind_a_partition_table_is_an_iso_and_every_other_pair_is_refused() {
        let bootable = head(HEAD, &[(0x8001, b"CD001"), BOOT]);
        assert_eq!(recognise(&bootable), Ok(Format::Iso));
        let mixed = head(HEAD, &[(0, b"QFI\xfb\0\0\0\x03"), (0x8001, b"CD001")]);
        assert_eq!(recognise(&mixed), Err(Unfit::Ambiguous(Format::Qcow2, Format::Iso)));
        assert!(fit(&mixed, None, Some("raw")).is_err());
        assert!(fit(&mixed, Some("ova"), Some("raw")).is_ok());
    }

    #[test]
    fn a_fat_filesystem_is_no_partition_table() {
        let fat = head(512, &[(0x10, b"\x02"), (0x15, b"\xF8"), BOOT]);
        assert_eq!(recognise(&fat), Ok(Format::Raw));
    }

    #[test]
    fn unset_formats_are_bare_and_what_the_bytes_are() {
        let formats =
            |container: &str, disk: &str| Ok(Formats { container: container.to_owned(), disk: disk.to_owned() });
        assert_eq!(fit(&qcow2(), None, None), formats("bare", "qcow2"));
        assert_eq!(fit(b"hello", None, None), formats("bare", "raw"));
        assert_eq!(fit(&qcow2(), Some("ovf"), None), formats("ovf", "qcow2"));
        assert_eq!(fit(&qcow2(), None, Some("raw")), formats("bare", "raw"));
        assert_eq!(fit(b"hello", None, Some("ami")), formats("bare", "ami"));
    }

    #[test]
    fn a_format_that_the_bytes_contradict_is_refused() {
        let refused = fit(b"hello", Some("bare"), Some("qcow2")).unwrap_err();
        let why = "disk_format is qcow2, and the bytes are raw: give it bytes that are qcow2, or change the format";
        assert_eq!(refused.to_string(), why);
        let image = ImageId::random();
        assert_eq!(refused.cause(Some(image)).to_string(), format!("could not upload image {image}: {why}"));
        assert_eq!(refused.cause(None).to_string(), format!("could not upload a new image: {why}"));
        assert!(fit(&qcow2(), None, Some("iso")).is_err());
        assert!(fit(&head(512, &[BOOT]), None, Some("vdi")).is_err());
        assert!(fit(b"hello", Some("docker"), Some("qcow2")).is_ok());
        let fixed = fit(b"hello", None, Some("vhd")).unwrap_err();
        assert!(fixed.to_string().contains("fixed size"), "{fixed}");
    }

    #[test]
    fn a_qcow2_that_is_not_complete_by_itself_is_refused() {
        let backed = head(1024, &[(0, b"QFI\xfb\0\0\0\x03"), (15, b"\x68")]);
        assert!(fit(&backed, None, None).unwrap_err().to_string().contains("backing file"));
        let outside = head(1024, &[(0, b"QFI\xfb\0\0\0\x03"), (79, b"\x04")]);
        assert!(fit(&outside, None, Some("raw")).unwrap_err().to_string().contains("data file"));
        let old = head(1024, &[(0, b"QFI\xfb\0\0\0\x02"), (79, b"\x04")]);
        assert!(fit(&old, None, None).is_ok());
    }
}
