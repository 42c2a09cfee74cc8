//! Whether a text that was read back is still the one that was sealed.

use super::{MAX_DEPTH, number, reader::Reader, write};
use crate::hash::Hash;

/// Whether stored text still is what was sealed (INTEGRITY, "Stored text verifies if").
///
/// Its bytes hash to the sealed hash; or it reads, in any order, spacing and spelling, each of its numbers is the same decimal
/// as its canonical spelling, and its canonical form hashes to the sealed hash. So a dump, a restore or a cast through `jsonb`
/// changes nothing, and no other change passes. The caps do not hold here, since such a cast can lengthen a text.
pub fn stored_matches(stored: &str, sealed: &Hash) -> bool {
    if Hash::of(stored.as_bytes()) == *sealed {
        return true;
    }
    let read = Reader::new(stored, MAX_DEPTH, number::stored).whole();
    read.is_ok_and(|value| Hash::of(write(&value).as_bytes()) == *sealed)
}
