//! The spellings that all of the log's text formats share: lines, decimals, base64.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// The first line, without its newline, and what follows; `None` where no newline ends it.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

/// The number of this text: digits without a leading zero, a sign or a space, up to `max`.
pub(super) fn decimal(text: &str, max: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leading_zero).then(|| text.parse().ok().filter(|number| *number <= max))?
}

/// RFC 4648, section 4, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of this base64; `None` of any spelling but [`base64`]'s.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The hash of this base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    Hash::from_slice(&unbase64(text)?)
}

/// The hashes, one a line, that stand before the next empty line, and what follows that; at most `max` of them.
pub(super) fn hashes(text: &str, max: usize) -> Option<(Vec<Hash>, &str)> {
    let (mut hashes, mut rest) = (Vec::new(), text);
    loop {
        let (line, after) = split(rest)?;
        rest = after;
        if line.is_empty() {
            return Some((hashes, rest));
        }
        if hashes.len() == max {
            return None;
        }
        hashes.push(hash(line)?);
    }
}

/// What [`hashes`] reads.
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
