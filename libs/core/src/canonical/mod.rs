//! Which JSON is taken, and the one text of it that is hashed and kept (INTEGRITY, Canonical payload).
//!
//! A text comes in through [`read`], the strict reader, which refuses whatever two JSON readers could understand in two ways:
//! names twice, halves of surrogate pairs, integers beyond 2^53. What it gives is written by [`write()`] in RFC 8785's one
//! spelling. Those bytes are hashed, sealed and stored as they are; [`stored_matches`] says whether a text read back is still
//! the one that was sealed, even where a database spells it anew.

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

/// The canonical form of `text`. Refused: what [`read`] refuses, and `json_size` where the canonical form is over the cap.
pub fn canonicalise(text: &[u8], limits: Limits) -> Result<String, Refused> {
    capped(write(&read(text, limits)?), limits)
}

/// The canonical form of a part of a text that was read already: its own size and depth are looked at, which the limits of
/// the whole left open.
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
