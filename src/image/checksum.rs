//! The hashes of an image's bytes, as its service shows them.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Text;

/// The hashes that the service shows for an image's bytes, in lower-case hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checksums {
    /// The MD5 (`checksum`).
    pub md5: Option<Checksum>,
    /// The name of the second hash's algorithm as Python's hashlib spells it (`os_hash_algo`), usually `sha512`.
    pub algorithm: Option<Text>,
    /// The second hash (`os_hash_value`).
    pub value: Option<Checksum>,
}

/// A hash as the service shows it: a text, which mostly is one of lower-case hexadecimal digits. A hundred thousand images
/// have 160 of them each, so two are held in a byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Checksum(Box<[u8]>);

/// The first byte, where pairs of digits are behind it.
const DIGITS: u8 = 0;

/// The first byte, where the text itself is behind it.
const TEXT: u8 = 1;

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

impl From<&str> for Checksum {
    fn from(text: &str) -> Self {
        Self(packed(text).unwrap_or_else(|| [&[TEXT], text.as_bytes()].concat()).into())
    }
}

impl From<String> for Checksum {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

fn packed(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut bytes = Vec::with_capacity(1 + pairs.len());
    bytes.push(DIGITS);
    // Looked at all together behind the last one: a branch for each digit takes longer than all else about an image.
    let mut odd = 0;
    bytes.extend(pairs.iter().map(|[high, low]| {
        let (high, low) = (digit(*high), digit(*low));
        odd |= high | low;
        (high << 4) | (low & 0xf)
    }));
    (odd <= 0xf).then_some(bytes)
}

/// The value of a digit; more than 15 where it is none.
fn digit(char: u8) -> u8 {
    let (decimal, letter) = (char.wrapping_sub(b'0'), char.wrapping_sub(b'a'));
    if decimal < 10 {
        decimal
    } else if letter < 6 {
        letter + 10
    } else {
        u8::MAX
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            [DIGITS, pairs @ ..] => {
                let digits = pairs.iter().flat_map(|pair| [pair >> 4, pair & 0xf]);
                let chars = digits.filter_map(|digit| HEXADECIMAL.get(usize::from(digit)));
                out.write_str(&chars.map(|char| char::from(*char)).collect::<String>())
            }
            [_, text @ ..] => out.write_str(&String::from_utf8_lossy(text)),
            [] => Ok(()),
        }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_digits_are_held_in_a_byte() {
        let held = |text: &str| Checksum::from(text).0.len();
        assert_eq!((held(&"0f".repeat(16)), held(&"e".repeat(128))), (17, 65));
        assert_eq!((held("abc"), held("AB"), held("")), (4, 3, 1), "what is none, or in upper case, is as it was");
    }

    proptest! {
        #[test]
        fn each_text_survives_and_no_two_are_equal(one in "[0-9a-f]{0,6}|[0-9a-fA-Fg]{0,3}|\\PC*", other in "[0-9a-f]{0,2}") {
            let checksum = Checksum::from(one.as_str());
            prop_assert_eq!(checksum.to_string(), one.clone());
            prop_assert_eq!(serde_json::json!(checksum), serde_json::json!(one));
            prop_assert_eq!(checksum == Checksum::from(other.as_str()), one == other);
        }
    }
}
