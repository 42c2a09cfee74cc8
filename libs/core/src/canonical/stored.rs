//! Comparison of stored texts with their sealed hash.

use super::reader::Reader;
use super::text::{Text, Writer};
use super::{MAX_DEPTH, number};
use crate::hash::Hash;

/// Returns whether a stored text is still the sealed one (docs/spec/integrity.md#canonical-stored).
///
/// It is if its bytes have the sealed hash, or if it is JSON whose canonical form has the sealed hash and whose numbers are the
/// same decimals as in the canonical form. Order of members, spaces and spelling may differ: a dump, a restore or a cast
/// through `jsonb` may change them. The size limit does not apply, since such a cast can lengthen a text.
pub fn stored_matches(stored: &str, sealed: &Hash) -> bool {
    if Hash::of(stored.as_bytes()) == *sealed {
        return true;
    }
    canonical_text(stored).is_some_and(|text| Hash::of(text.as_str().as_bytes()) == *sealed)
}

/// Returns the canonical form of a stored text, or `None` if it is not JSON, or if writing it changes the decimal of a number.
pub(crate) fn canonical_text(stored: &str) -> Option<Text> {
    let read = Reader::new(stored, MAX_DEPTH, number::stored, Writer::new(usize::MAX)).whole();
    read.ok().and_then(|((), writer)| writer.finish().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_matches_and_another_value_does_not() {
        let matches = |canonical: &str, stored: &str| stored_matches(stored, &Hash::of(canonical.as_bytes()));
        for spelling in ["0", "-0", "0.0", "-0e5", "0e99999999999999999999", "0.00e-99999999999999999999"] {
            assert!(matches("0", spelling), "{spelling}");
        }
        for spelling in ["1e-400", "4e-324", "-1", "00", "0 0", "\"0\""] {
            assert!(!matches("0", spelling), "{spelling}");
        }
        for spelling in ["100", "1e2", "1.00e+2", "0.0001e6", "10000e-2", " 100 "] {
            assert!(matches("100", spelling), "{spelling}");
        }
        for spelling in ["100.00000000000000001", "99.999999999999999999", "1e3", "-100"] {
            assert!(!matches("100", spelling), "{spelling}");
        }
        assert!(matches("5e-324", "0.5e-323") && !matches("5e-324", "3e-324"));
        assert!(matches("[1e+300]", &format!("[1{}]", "0".repeat(300))));
        assert!(!matches("[1e+300]", &format!("[1{}1]", "0".repeat(299))));
        // A cast can lengthen a text beyond the size limit.
        let many = vec!["1e+300"; 30_000].join(",");
        let long = vec![format!("1{}", "0".repeat(300)); 30_000].join(", ");
        assert!(matches(&format!("[{many}]"), &format!("[{long}]")));
        assert!(!matches("{\"a\":1}", "{\"a\":1,\"a\":1}"));
        assert!(!matches("{\"a\":1}", "{\"a\":1}}"));
    }
}
