//! Elements that the log's text formats share: decimal numbers, base64, lists of hashes.
//!
//! C2SP's signed-note, tlog-checkpoint, tlog-proof and tlog-witness all consist of lines that end in a newline, decimal
//! numbers without leading zeros, and base64 of RFC 4648 section 4 with padding. Every other spelling is refused.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// Parses a decimal number of at most `max`: digits only, without leading zeros, sign or spaces.
pub(super) fn decimal(text: &str, max: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leading_zero).then(|| text.parse().ok().filter(|number| *number <= max))?
}

/// Encodes bytes as base64 of RFC 4648 section 4, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes base64. Returns `None` for every spelling that [`base64`] does not produce.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes a hash from base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    Hash::from_slice(&unbase64(text)?)
}

/// Parses at most `max` hashes, one per line, up to an empty line. Returns the hashes and the text after the empty
/// line.
pub(super) fn hashes(text: &str, max: usize) -> Option<(Vec<Hash>, &str)> {
    let (mut hashes, mut rest) = (Vec::new(), text);
    loop {
        let (line, after) = rest.split_once('\n')?;
        match line {
            "" => return Some((hashes, after)),
            _ if hashes.len() == max => return None,
            line => hashes.push(hash(line)?),
        }
        rest = after;
    }
}

/// Writes hashes as [`hashes`] reads them, with the empty line at the end.
pub(super) fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash.as_bytes())))?;
    f.write_char('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0", 9), Some(0));
        assert_eq!(decimal("18446744073709551615", u64::MAX), Some(u64::MAX));
        assert_eq!((decimal("9", 9), decimal("10", 9)), (Some(9), None));
        for other in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1.0", "١", "18446744073709551616"] {
            assert_eq!(decimal(other, u64::MAX), None, "{other:?}");
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(unbase64("aGVq").as_deref(), Some(&b"hej"[..]));
        assert_eq!(unbase64("YQ==").as_deref(), Some(&b"a"[..]));
        for other in ["YQ", "YQ=", "YR==", "YQ==\n", " YQ==", "YQ= =", "Y-__", "YQ==YQ=="] {
            assert_eq!(unbase64(other), None, "{other:?}");
        }
    }
}
