//! What a service hashes an image's bytes with.

use std::fmt;

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Glance's, where its operator chose nothing else.
    Sha512,
    /// With `hashing_algorithm = sha256`.
    Sha256,
}

impl Hash {
    pub(crate) const ALL: [Self; 2] = [Self::Sha512, Self::Sha256];

    /// Its name in the documents of images, and in OpenSSL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "sha512",
            Self::Sha256 => "sha256",
        }
    }

    /// The algorithm of that name, if it is one of these.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// The command that computes it, up to the file: what the verdict alone takes, on one processor. A yardstick, and no
    /// peer.
    pub(crate) fn command(self) -> String {
        format!("openssl dgst -{}", self.name())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Sha512 => "SHA-512",
            Self::Sha256 => "SHA-256",
        })
    }
}
