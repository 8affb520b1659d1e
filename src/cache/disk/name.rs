//! The folders that an image may have in the cache.

use super::Identity;
use super::header;

/// Hash algorithms that nobody can make two different contents agree in, with the number of digits of their hashes. MD5
/// and SHA-1 are not among them.
const STRONG: [(&str, usize); 9] = [
    ("sha224", 56),
    ("sha256", 64),
    ("sha384", 96),
    ("sha512", 128),
    ("sha3_224", 56),
    ("sha3_256", 64),
    ("sha3_384", 96),
    ("sha3_512", 128),
    ("blake2b", 128),
];

/// Where the bytes of one image may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The folder of this image alone, where its blocks are gathered.
    pub(super) own: String,
    /// The folder of all images with this content, once one of them was proven to have it. The service only claims a
    /// hash: shared any earlier, an image whose hash is a lie would put its bytes into the others.
    pub(super) shared: Option<String>,
}

impl Names {
    /// The names for `content`. Its hashes come from the service and are used in a name only where they are digits.
    pub(super) fn of(content: &Identity) -> std::io::Result<Self> {
        let header = header::encode(content)?;
        let own = format!("{}-{}-{:08x}", content.image(), content.size(), header::fingerprint(&header));
        Ok(Self { own, shared: shared(content) })
    }
}

fn shared(content: &Identity) -> Option<String> {
    let checksums = content.checksums();
    let (algorithm, value) = (checksums.algorithm.as_deref()?, checksums.value.as_ref()?.to_string());
    let digits = |value: &str| value.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let strong = STRONG.contains(&(algorithm, value.len())) && digits(&value);
    strong.then(|| format!("{algorithm}-{value}-{}", content.size()))
}

/// Whether `one` and `other` have the same bytes where the hash that the shared name has was proven.
pub(super) fn same_bytes(one: &Identity, other: &Identity) -> bool {
    shared(one).is_some() && shared(one) == shared(other)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{content, hashed};
    use super::*;
    use crate::image::ImageId;

    #[test]
    fn images_with_one_strong_hash_and_size_share_a_name() {
        let hash = "0123456789abcdef".repeat(8);
        let name = |size, hash: &str| Names::of(&hashed(ImageId::random(), size, "sha512", hash)).unwrap();
        assert_eq!(name(5, &hash).shared, Some(format!("sha512-{hash}-5")));
        assert_eq!(name(5, &hash).shared, name(5, &hash).shared);
        assert_ne!(name(5, &hash).shared, name(6, &hash).shared);
        assert_ne!(name(5, &hash).own, name(5, &hash).own);
    }

    #[test]
    fn a_hash_that_can_be_forged_or_is_none_gives_no_shared_name() {
        let image = ImageId::random();
        for (algorithm, value) in [
            ("md5", "0".repeat(32)),
            ("sha1", "0".repeat(40)),
            ("sha512", "0".repeat(64)),
            ("sha512", "A".repeat(128)),
            ("sha512", "../".repeat(128).chars().take(128).collect()),
            ("../../etc", "0".repeat(128)),
            ("", String::new()),
        ] {
            assert_eq!(Names::of(&hashed(image, 5, algorithm, &value)).unwrap().shared, None, "{algorithm}-{value}");
        }
        assert_eq!(Names::of(&content(5)).unwrap().shared, None);
    }

    #[test]
    fn what_the_service_says_never_leads_out_of_the_folder() {
        for text in ["../../etc/passwd", "/etc", "..", "a/b", "\0", "é", ""] {
            for content in [hashed(ImageId::random(), 5, text, text), hashed(ImageId::random(), 5, "sha512", text)] {
                let names = Names::of(&content).unwrap();
                for name in names.shared.iter().chain([&names.own]) {
                    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{name}");
                    assert!(name.len() < 255);
                }
            }
        }
    }

    #[test]
    fn another_hash_of_one_image_is_another_folder() {
        let image = ImageId::random();
        let names = |hash| Names::of(&hashed(image, 5, "sha512", hash)).unwrap().own;
        assert_ne!(names("aa"), names("ab"));
    }
}
