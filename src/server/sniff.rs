//! Which disk format bytes are in, from their first 64 KiB.

/// As much of the beginning as the recognition needs.
pub(crate) const HEAD: usize = 64 << 10;
/// Where an ISO 9660 volume descriptor begins.
const ISO_DESCRIPTOR: usize = 0x8000;

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sniffed {
    /// The format's name as Glance spells it; `raw` for all that is not recognised.
    pub(crate) format: &'static str,
    /// The size of the disk in bytes that the image describes, where its header tells.
    pub(crate) virtual_size: Option<u64>,
}

/// Recognises a format.
pub(crate) fn sniff(head: &[u8]) -> Sniffed {
    let at = |from: usize, what: &[u8]| head.get(from..from + what.len()) == Some(what);
    let (format, virtual_size) = if at(0, b"QFI\xfb") {
        ("qcow2", bytes(head, 24).map(u64::from_be_bytes))
    } else if at(0, b"conectix") {
        ("vhd", bytes(head, 40).map(u64::from_be_bytes))
    } else if at(0, b"vhdxfile") {
        ("vhdx", None)
    } else if at(0, b"KDMV") {
        ("vmdk", bytes(head, 12).map(u64::from_le_bytes).map(|sectors| sectors.saturating_mul(512)))
    } else if at(0, b"# Disk DescriptorFile") {
        ("vmdk", None)
    } else if at(0x40, &0xBEDA_107F_u32.to_le_bytes()) {
        ("vdi", bytes(head, 0x170).map(u64::from_le_bytes))
    } else if at(ISO_DESCRIPTOR + 1, b"CD001") {
        ("iso", iso_size(head))
    } else {
        ("raw", None)
    };
    Sniffed { format, virtual_size: virtual_size.filter(|size| *size > 0) }
}

/// The number of blocks times their size, from the primary volume descriptor.
fn iso_size(head: &[u8]) -> Option<u64> {
    let blocks = u32::from_le_bytes(bytes(head, ISO_DESCRIPTOR + 80)?);
    let size = u16::from_le_bytes(bytes(head, ISO_DESCRIPTOR + 128)?);
    Some(u64::from(blocks) * u64::from(size))
}

fn bytes<const N: usize>(head: &[u8], from: usize) -> Option<[u8; N]> {
    head.get(from..from + N)?.try_into().ok()
}

/// Whether Glance compares the bytes with the declared formats: in bare containers, for formats with a signature.
pub(crate) fn is_checked(container_format: Option<&str>, disk_format: Option<&str>) -> bool {
    container_format == Some("bare") && matches!(disk_format, Some("qcow2" | "iso" | "vmdk" | "vhd" | "vhdx" | "vdi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signature_is_recognised() {
        let mut iso = vec![0; 40 << 10];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        let mut vdi = vec![0; 512];
        vdi[0x40..0x44].copy_from_slice(&0xBEDA_107F_u32.to_le_bytes());
        for (head, format) in [
            (b"QFI\xfb\0\0\0\x03".to_vec(), "qcow2"),
            (b"conectix".to_vec(), "vhd"),
            (b"vhdxfile".to_vec(), "vhdx"),
            (b"KDMV".to_vec(), "vmdk"),
            (iso, "iso"),
            (vdi, "vdi"),
            (b"hello".to_vec(), "raw"),
            (Vec::new(), "raw"),
        ] {
            assert_eq!(sniff(&head).format, format);
        }
    }

    #[test]
    fn the_virtual_size_of_a_qcow2_is_in_its_header() {
        let mut head = b"QFI\xfb\0\0\0\x03".to_vec();
        head.resize(24, 0);
        head.extend(12_345_678_u64.to_be_bytes());
        assert_eq!(sniff(&head).virtual_size, Some(12_345_678));
    }
}
