//! Strict JSON, and the canonical text that is hashed and stored (docs/spec/integrity.md#canonical-payload).
//!
//! [`read`] is a strict reader: it refuses texts that two JSON readers could read differently, such as duplicate names, lone
//! surrogates and integers beyond 2^53. [`write()`] writes a value in the canonical form of RFC 8785. These bytes are hashed,
//! sealed and stored. [`stored_matches`] checks whether a stored text is still the sealed one, even if a database has changed
//! its spelling.

mod limits;
mod number;
mod plain;
mod reader;
mod refused;
mod stored;
mod writer;

use serde_json::Value;

pub use self::limits::{Limits, MAX_DEPTH, MAX_METADATA, MAX_PAYLOAD};
pub use self::reader::read;
pub(crate) use self::reader::read_any_number;
pub(crate) use self::refused::pointer_token;
pub use self::refused::{Refusal, Refused};
pub use self::stored::stored_matches;
pub use self::writer::write;

/// Returns the canonical form of `text`. Refuses what [`read`] refuses, and a canonical form that exceeds the size limit
/// (`json_size`).
pub fn canonicalise(text: &[u8], limits: Limits) -> Result<String, Refused> {
    capped(write(&read(text, limits)?), limits)
}

/// Returns the canonical form of a part of a text that was read before. It checks the size and depth of the part, which may
/// have stricter limits than the whole text.
pub fn check(value: &Value, limits: Limits) -> Result<String, Refused> {
    if let Some(pointer) = limits::too_deep(value, limits.depth) {
        return Err(Refused { refusal: Refusal::Depth, pointer, offset: 0 });
    }
    capped(write(value), limits)
}

fn capped(canonical: String, limits: Limits) -> Result<String, Refused> {
    if canonical.len() <= limits.bytes {
        return Ok(canonical);
    }
    Err(Refused { refusal: Refusal::Size, pointer: String::new(), offset: limits.bytes })
}
