//! One-time passwords by time (RFC 6238): SHA-1, six digits, 30 seconds, as Keystone expects them.

use ring::hmac;

/// Whether a passcode is that of this moment or of the step before, which Keystone accepts too.
pub(crate) fn accepts(secret: &str, passcode: &str, unix_seconds: u64) -> bool {
    let Some(key) = base32(secret) else { return false };
    let step = unix_seconds / 30;
    [step, step.saturating_sub(1)].iter().any(|step| code(&key, *step) == passcode)
}

fn code(key: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
    let word = tag.iter().skip(offset).take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// Decodes RFC 4648 base 32, with or without padding, in either case.
fn base32(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').chars() {
        let value = ALPHABET.find(letter.to_ascii_uppercase())?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the test vectors in RFC 6238: the digits 1234567890, twice.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn the_test_vectors_of_the_rfc_hold() {
        // The RFC shows eight digits; these are the last six.
        for (time, passcode) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")] {
            assert!(accepts(SECRET, passcode, time), "{time}");
        }
    }

    #[test]
    fn a_passcode_lives_for_one_more_step() {
        assert!(accepts(SECRET, "287082", 59 + 30));
        assert!(!accepts(SECRET, "287082", 59 + 60));
        assert!(!accepts(SECRET, "000000", 59));
    }
}
