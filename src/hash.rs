//! Hashes of whole images, by the names under which Glance shows them.
//!
//! Glance lets its operator choose any algorithm that Python's hashlib offers; this computes all of those with a fixed
//! length. Of the implementations at hand each algorithm has the fastest on a machine with AVX2 and the SHA extensions,
//! in MB/s: SHA-512 750 by the system's OpenSSL, 530 by ring and 510 by `sha2`, MD5 670 by OpenSSL and 550 by `md-5`,
//! SHA-256 1590 by ring or `sha2`, SHA-1 1690 by `sha1` and 390 by ring, BLAKE2 970, SHA3-512 180. ring is at its speed
//! in builds without optimisation too.

mod system;

use std::ffi::CStr;
use std::fmt;

use blake2::{Blake2b512, Blake2s256};
use md5::Md5;
use md5::digest::DynDigest;
use ring::digest;
use sha1::Sha1;
use sha2::{Sha224, Sha512_224};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use crate::image::Checksums;
use system::SystemHash;

/// What hashlib knows, and how it is computed here.
struct Algorithm {
    /// Its name in hashlib.
    name: &'static str,
    /// Its name in OpenSSL, where that is faster than what is built in.
    system: Option<&'static CStr>,
    built_in: fn() -> Growing,
}

/// All of hashlib's algorithms whose digests have a length of their own.
static ALGORITHMS: [Algorithm; 14] = [
    of("md5", || other(Md5::default())).faster(c"MD5"),
    of("sha1", || other(Sha1::default())),
    of("sha224", || other(Sha224::default())),
    of("sha256", || by_ring(&digest::SHA256)),
    of("sha384", || by_ring(&digest::SHA384)).faster(c"SHA384"),
    of("sha512", || by_ring(&digest::SHA512)).faster(c"SHA512"),
    of("sha512_224", || other(Sha512_224::default())),
    of("sha512_256", || by_ring(&digest::SHA512_256)).faster(c"SHA512-256"),
    of("sha3_224", || other(Sha3_224::default())),
    of("sha3_256", || other(Sha3_256::default())),
    of("sha3_384", || other(Sha3_384::default())),
    of("sha3_512", || other(Sha3_512::default())),
    of("blake2b", || other(Blake2b512::default())),
    of("blake2s", || other(Blake2s256::default())),
];

const fn of(name: &'static str, built_in: fn() -> Growing) -> Algorithm {
    Algorithm { name, system: None, built_in }
}

impl Algorithm {
    const fn faster(self, system: &'static CStr) -> Self {
        Self { system: Some(system), ..self }
    }

    /// A hash of nothing by the system's library, or else by what is built in.
    fn begin(&self) -> Growing {
        let system = self.system.and_then(SystemHash::named).map(Growing::System);
        system.unwrap_or_else(self.built_in)
    }
}

/// A hash as it grows. Feeding it a MiB takes up to 6 ms, and the first bytes some more: do it where that blocks nobody.
pub(crate) struct Hash(Growing);

enum Growing {
    /// Nothing was fed. The system's library is loaded when something is.
    Unbegun(&'static Algorithm),
    System(SystemHash),
    Ring(Box<digest::Context>),
    Other(Box<dyn DynDigest + Send>),
}

impl Hash {
    /// A hash of nothing yet, by the algorithm's name in hashlib. hashlib reads upper and lower case alike, and a `-`
    /// as the `_` of its own names. `None` for what is not known here, or has no length of its own (`shake_128`).
    pub(crate) fn named(algorithm: &str) -> Option<Self> {
        let name = algorithm.to_ascii_lowercase().replace('-', "_");
        let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.name == name)?;
        Some(Self(Growing::Unbegun(algorithm)))
    }

    /// Appends bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if let Growing::Unbegun(algorithm) = self.0 {
            self.0 = algorithm.begin();
        }
        match &mut self.0 {
            // It was begun just now.
            Growing::Unbegun(_) => {}
            Growing::System(hash) => hash.feed(bytes),
            Growing::Ring(context) => context.update(bytes),
            Growing::Other(hash) => hash.update(bytes),
        }
    }

    /// The hash of all that was fed, in lower-case hexadecimal digits.
    pub(crate) fn finish(mut self) -> String {
        self.feed(&[]);
        match self.0 {
            Growing::Unbegun(_) => String::new(),
            Growing::System(hash) => hexadecimal(&hash.finish()),
            Growing::Ring(context) => hexadecimal(context.finish().as_ref()),
            Growing::Other(hash) => hexadecimal(&hash.finalize()),
        }
    }
}

fn by_ring(algorithm: &'static digest::Algorithm) -> Growing {
    Growing::Ring(Box::new(digest::Context::new(algorithm)))
}

fn other(hash: impl DynDigest + Send + 'static) -> Growing {
    Growing::Other(Box::new(hash))
}

/// The SHA-512 of something short, in lower-case hexadecimal digits.
pub(crate) fn sha512(bytes: &[u8]) -> String {
    hexadecimal(digest::digest(&digest::SHA512, bytes).as_ref())
}

/// Bytes in lower-case hexadecimal digits, as the service shows hashes.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.0 {
            Growing::Unbegun(_) => "Hash(of nothing)",
            Growing::System(_) => "Hash(by OpenSSL)",
            Growing::Ring(_) | Growing::Other(_) => "Hash(built in)",
        })
    }
}

/// What an image's bytes are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The algorithm, as the service calls it.
    pub(crate) algorithm: String,
    /// The hash, in lower-case hexadecimal digits.
    pub(crate) value: String,
}

impl Expected {
    /// What to compare with, and the hash to compute: the service's second one where it is known here, else MD5. `None`
    /// where the bytes cannot be verified.
    pub(crate) fn of(checksums: &Checksums) -> Option<(Self, Hash)> {
        let second = checksums.algorithm.as_deref().zip(checksums.value.as_ref());
        let first = checksums.md5.as_ref().map(|value| ("md5", value));
        second.into_iter().chain(first).find_map(|(algorithm, value)| {
            let expected = Self { algorithm: algorithm.to_owned(), value: value.to_string().to_ascii_lowercase() };
            Some((expected, Hash::named(algorithm)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes in pieces of 1, 7, 49, … bytes, so that borders of pieces and of the hash's blocks never agree.
    fn in_odd_pieces(mut hash: Hash, bytes: &[u8]) -> String {
        let (mut rest, mut length) = (bytes, 1);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            hash.feed(piece);
            (rest, length) = (behind, length * 7 % 65_521);
        }
        hash.finish()
    }

    #[test]
    fn each_algorithm_computes_what_hashlib_computes() {
        let bytes: Vec<u8> = (0..1 << 20).map(|at| u8::try_from((at * 31 + at / 256) % 256).unwrap()).collect();
        let mut algorithms = std::collections::BTreeSet::new();
        for line in include_str!("hash/vectors.txt").lines().filter(|line| !line.starts_with('#')) {
            let &[algorithm, length, digest] = line.split(' ').collect::<Vec<_>>().as_slice() else { panic!("{line}") };
            let bytes = &bytes[..length.parse().unwrap()];
            let algorithm = ALGORITHMS.iter().find(|known| known.name == algorithm).unwrap();
            for hash in [Hash(algorithm.begin()), Hash((algorithm.built_in)())] {
                let which = format!("{} of {length} bytes, {hash:?}", algorithm.name);
                assert_eq!(in_odd_pieces(hash, bytes), digest, "{which}");
            }
            algorithms.insert(algorithm.name);
        }
        assert_eq!(algorithms.len(), ALGORITHMS.len());
    }

    #[test]
    fn where_the_system_has_openssl_it_computes_sha_512() {
        let listed = std::process::Command::new("/sbin/ldconfig").arg("-p").output().map(|listed| listed.stdout);
        if String::from_utf8(listed.unwrap_or_default()).unwrap().contains("libcrypto.so.3") {
            let mut hash = Hash::named("sha512").unwrap();
            hash.feed(b"some");
            assert_eq!(format!("{hash:?}"), "Hash(by OpenSSL)");
        }
    }

    #[test]
    fn a_hash_that_cannot_be_computed_is_none() {
        for algorithm in ["", "sha", "sha-0", "crc32", "shake_128", "shake_256", "sha512_512", "sm3", "md5 "] {
            assert!(Hash::named(algorithm).is_none(), "{algorithm}");
        }
    }

    #[test]
    fn an_algorithm_is_found_in_other_spellings_of_hashlib() {
        let of_nothing = |algorithm| Hash::named(algorithm).map(Hash::finish);
        assert_eq!(of_nothing("SHA512"), of_nothing("sha512"));
        assert_eq!(of_nothing("SHA3-256"), of_nothing("sha3_256"));
        assert_eq!(of_nothing("sha512-256"), of_nothing("sha512_256"));
    }

    fn chosen(md5: Option<&str>, algorithm: Option<&str>, value: Option<&str>) -> Option<String> {
        let own = |text: Option<&str>| text.map(Into::into);
        Expected::of(&Checksums { md5: own(md5), algorithm: algorithm.map(Into::into), value: own(value) })
            .map(|(expected, _)| expected.algorithm)
    }

    #[test]
    fn the_second_hash_is_preferred_where_it_can_be_computed() {
        assert_eq!(chosen(Some("a"), Some("sha512"), Some("b")).as_deref(), Some("sha512"));
        assert_eq!(chosen(Some("a"), Some("shake_256"), Some("b")).as_deref(), Some("md5"));
        assert_eq!(chosen(Some("a"), Some("sha512"), None).as_deref(), Some("md5"));
        assert_eq!(chosen(None, Some("blake2b"), Some("b")).as_deref(), Some("blake2b"));
        assert_eq!(chosen(None, Some("shake_256"), Some("b")), None);
        assert_eq!(chosen(None, None, None), None);
    }

    #[test]
    fn a_hash_in_upper_case_is_the_same_hash() {
        let md5 = "D41D8CD98F00B204E9800998ECF8427E";
        let checksums = Checksums { md5: Some(md5.into()), ..Checksums::default() };
        let (expected, hash) = Expected::of(&checksums).unwrap();
        assert_eq!(hash.finish(), expected.value);
    }
}
