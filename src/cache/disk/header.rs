//! The first page of a map: whose tags these are, and whether the file beside it is sealed. Pure.
//!
//! All numbers are little-endian. A checksum over each of the two parts makes a page that was torn or changed no page.
//!
//! ```text
//!    0  magic, version (u32), 4 bytes of zeros, block size (u64), image size (u64), image id (36 characters)
//!   68  os_hash_algo, os_hash_value, checksum: each a length (u16, all ones where absent) and its characters
//! 2044  CRC32C of all before it
//! 2048  the seal: a mark, size of the data file (u64), its last change (seconds i64, nanoseconds i64)
//! 2080  CRC32C of the header's checksum and the seal
//! 4096  the tags, a u32 each
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{BLOCK, Identity};
use crate::image::Checksums;

const MAGIC: [u8; 8] = *b"glancefs";

/// The version of this format. A map of any other is dropped: what is in a cache can be fetched again.
const VERSION: u32 = 1;

/// Bytes in front of the tags.
pub(super) const HEADER: u64 = 4096;

/// Bytes of the header proper, with their checksum.
const PROPER: usize = 2048;

/// Where the seal is.
pub(super) const SEAL_AT: u64 = 2048;

/// Bytes of the seal, with its checksum.
pub(super) const SEAL: usize = 36;

const SEAL_MARK: [u8; 8] = *b"sealed 1";

/// The header of the map for `content`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where the hashes that the service showed are longer than any hash is.
pub(super) fn encode(content: &Identity) -> io::Result<Vec<u8>> {
    let checksums = content.checksums();
    let mut page = Vec::with_capacity(4096);
    page.extend_from_slice(&MAGIC);
    page.extend_from_slice(&VERSION.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&BLOCK.to_le_bytes());
    page.extend_from_slice(&content.size().to_le_bytes());
    page.extend_from_slice(content.image().as_str().as_bytes());
    put_text(&mut page, checksums.algorithm.as_deref())?;
    for checksum in [&checksums.value, &checksums.md5] {
        put_text(&mut page, checksum.as_ref().map(ToString::to_string).as_deref())?;
    }
    if page.len() > PROPER - 4 {
        return Err(too_long());
    }
    page.resize(PROPER - 4, 0);
    page.extend_from_slice(&fingerprint(&page).to_le_bytes());
    page.resize(4096, 0);
    Ok(page)
}

fn put_text(page: &mut Vec<u8>, text: Option<&str>) -> io::Result<()> {
    let length = match text.map(|text| u16::try_from(text.len())) {
        None => u16::MAX,
        Some(Ok(length)) if length < u16::MAX => length,
        Some(_) => return Err(too_long()),
    };
    page.extend_from_slice(&length.to_le_bytes());
    page.extend_from_slice(text.unwrap_or_default().as_bytes());
    Ok(())
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the hashes of the image are too long to be hashes")
}

/// Whose map begins with `page`. `None` for anything that [`encode`] did not make in this version with this block size.
pub(super) fn decode(page: &[u8]) -> Option<Identity> {
    let (proper, crc) = page.get(..PROPER)?.split_last_chunk::<4>()?;
    let mut rest = Fields(proper);
    let sound = crc32c::crc32c(proper) == u32::from_le_bytes(*crc)
        && rest.take()? == MAGIC
        && u32::from_le_bytes(rest.take()?) == VERSION
        && rest.take()? == [0; 4]
        && u64::from_le_bytes(rest.take()?) == BLOCK;
    if !sound {
        return None;
    }
    let size = u64::from_le_bytes(rest.take()?);
    let image = std::str::from_utf8(&rest.take::<36>()?).ok()?.parse().ok()?;
    let mut checksums = Checksums::default();
    rest.text(&mut checksums.algorithm)?;
    rest.text(&mut checksums.value)?;
    rest.text(&mut checksums.md5)?;
    Some(Identity::new(image, size, checksums))
}

/// What is left to be taken apart.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    /// Puts the text that is next `into` its place, where there is one. `None` where neither a text is next nor the
    /// mark of its absence.
    fn text<T: for<'t> From<&'t str>>(&mut self, into: &mut Option<T>) -> Option<()> {
        let length = u16::from_le_bytes(self.take()?);
        if length != u16::MAX {
            let (text, rest) = self.0.split_at_checked(usize::from(length))?;
            self.0 = rest;
            *into = Some(std::str::from_utf8(text).ok()?.into());
        }
        Some(())
    }
}

/// That all bytes of a data file were proven, and how the file looked then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Seal {
    /// The seal that fits `data` as it is now. A file whose size or time of change is another one later was changed by
    /// somebody who is not this program.
    pub(super) fn of(data: &File) -> io::Result<Self> {
        let data = data.metadata()?;
        Ok(Self { size: data.len(), seconds: data.mtime(), nanoseconds: data.mtime_nsec() })
    }

    /// The seal as it stands in the map whose first page is `header`.
    pub(super) fn encode(&self, header: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEAL);
        bytes.extend_from_slice(&SEAL_MARK);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.seconds.to_le_bytes());
        bytes.extend_from_slice(&self.nanoseconds.to_le_bytes());
        bytes.extend_from_slice(&crc_under(header, &bytes).to_le_bytes());
        bytes
    }

    /// The seal that stands as `bytes` in the map whose first page is `header`. `None` where it was never sealed, or
    /// the power failed while it was.
    pub(super) fn decode(header: &[u8], bytes: &[u8]) -> Option<Self> {
        let (proper, crc) = bytes.get(..SEAL)?.split_last_chunk::<4>()?;
        let mut rest = Fields(proper);
        let sound = crc_under(header, proper) == u32::from_le_bytes(*crc) && rest.take()? == SEAL_MARK;
        sound.then_some(())?;
        Some(Self {
            size: u64::from_le_bytes(rest.take()?),
            seconds: i64::from_le_bytes(rest.take()?),
            nanoseconds: i64::from_le_bytes(rest.take()?),
        })
    }
}

/// A checksum that binds a seal to the map that it stands in.
fn crc_under(header: &[u8], seal: &[u8]) -> u32 {
    crc32c::crc32c_append(fingerprint(header), seal)
}

/// The checksum of a header, without the place where it stands: over both it would be the same for all headers.
pub(super) fn fingerprint(header: &[u8]) -> u32 {
    crc32c::crc32c(header.get(..PROPER - 4).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{content, hashed};
    use super::*;
    use crate::image::ImageId;

    #[test]
    fn a_header_tells_whose_tags_follow() {
        for content in [content(0), content(12_345), hashed(ImageId::random(), u64::MAX, "sha512", "ab")] {
            let page = encode(&content).unwrap();
            assert_eq!(page.len() as u64, HEADER);
            assert_eq!(decode(&page), Some(content));
        }
    }

    #[test]
    fn any_flipped_byte_makes_it_no_header() {
        let page = encode(&hashed(ImageId::random(), 5, "sha512", "abcdef")).unwrap();
        for at in 0..PROPER {
            let mut page = page.clone();
            page[at] ^= 0x10;
            assert_eq!(decode(&page), None, "byte {at}");
        }
    }

    #[test]
    fn a_header_of_another_version_or_block_size_is_none() {
        let page = encode(&content(5)).unwrap();
        for (at, value) in [(8, 2), (16, 1)] {
            let mut page = page.clone();
            page[at] = value;
            let crc = crc32c::crc32c(&page[..PROPER - 4]);
            page[PROPER - 4..PROPER].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(decode(&page), None);
        }
    }

    #[test]
    fn hashes_that_are_too_long_are_refused() {
        for length in [3000, 65_535, 100_000] {
            let content = hashed(ImageId::random(), 5, "sha512", &"a".repeat(length));
            assert_eq!(encode(&content).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_seal_holds_in_its_own_map_only_and_no_byte_of_it_can_flip() {
        let (page, other) = (encode(&content(5)).unwrap(), encode(&content(5)).unwrap());
        let seal = Seal { size: 5, seconds: -3, nanoseconds: 7 };
        let bytes = seal.encode(&page);
        assert_eq!(bytes.len(), SEAL);
        assert_eq!(Seal::decode(&page, &bytes), Some(seal));
        assert_eq!(Seal::decode(&other, &bytes), None);
        for at in 0..SEAL {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(Seal::decode(&page, &bytes), None, "byte {at}");
        }
        assert_eq!(Seal::decode(&page, &[0; SEAL]), None);
    }

    proptest! {
        #[test]
        fn garbage_is_no_header_and_no_panic(mut page in proptest::collection::vec(any::<u8>(), 0..5000), fix: bool) {
            if fix && page.len() >= PROPER {
                page[..8].copy_from_slice(&MAGIC);
                let crc = crc32c::crc32c(&page[..PROPER - 4]);
                page[PROPER - 4..PROPER].copy_from_slice(&crc.to_le_bytes());
            }
            prop_assert_eq!(decode(&page), None);
            prop_assert_eq!(Seal::decode(&page, &page), None);
        }
    }
}
