//! Strict JSON, and the canonical text that is hashed and stored (docs/spec/integrity.md#canonical-payload).
//!
//! [`read`] is a strict reader: it refuses texts that two JSON readers could read differently, such as duplicate names, lone
//! surrogates and integers beyond 2^53. [`write()`] writes a value in the canonical form of RFC 8785. These bytes are hashed,
//! sealed and stored. [`stored_matches`] checks whether a stored text is still the sealed one, even if a database has changed
//! its spelling.

mod number;
mod reader;
mod refused;
mod stored;
mod writer;

use serde_json::Value;

pub use self::reader::read;
pub(crate) use self::reader::read_any_number;
pub(crate) use self::refused::pointer_token;
pub use self::refused::{Refusal, Refused};
pub use self::stored::stored_matches;
pub use self::writer::write;

/// Maximum number of bytes of a payload, as sent and in canonical form.
pub const MAX_PAYLOAD: usize = 262_144;
/// Maximum number of bytes of metadata, as sent and in canonical form.
pub const MAX_METADATA: usize = 16_384;
/// Maximum depth of nested arrays and objects. The outermost one has depth 1.
pub const MAX_DEPTH: usize = 64;

/// The limits of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum number of bytes of the text, and of its canonical form.
    pub bytes: usize,
    /// Maximum depth of nested arrays and objects. The reader takes a value above 128 as 128.
    pub depth: usize,
}

impl Limits {
    /// The limits of a payload.
    pub const PAYLOAD: Self = Self { bytes: MAX_PAYLOAD, depth: MAX_DEPTH };
    /// The limits of metadata.
    pub const METADATA: Self = Self { bytes: MAX_METADATA, depth: MAX_DEPTH };
}

/// Returns the canonical form of `text`. Refuses what [`read`] refuses, and a canonical form that exceeds the size limit
/// (`json_size`).
pub fn canonicalise(text: &[u8], limits: Limits) -> Result<String, Refused> {
    capped(write(&read(text, limits)?), limits)
}

/// Returns the canonical form of a part of a text that was read before. It checks the size and depth of the part, which may
/// have stricter limits than the whole text.
pub fn check(value: &Value, limits: Limits) -> Result<String, Refused> {
    if let Some(pointer) = too_deep(value, limits.depth) {
        return Err(Refused { refusal: Refusal::Depth, pointer, offset: 0 });
    }
    capped(write(value), limits)
}

fn capped(canonical: String, limits: Limits) -> Result<String, Refused> {
    if canonical.len() <= limits.bytes {
        return Ok(canonical);
    }
    Err(Refused::at(limits.bytes, Refusal::Size))
}

/// Returns a JSON pointer to an array or object that is nested inside `depth` others, if there is one.
fn too_deep(value: &Value, depth: usize) -> Option<String> {
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => Some(String::new()),
        Value::Array(parts) => {
            let mut parts = parts.iter().enumerate();
            parts.find_map(|(index, part)| Some(format!("/{index}{}", too_deep(part, depth - 1)?)))
        }
        Value::Object(members) => {
            let mut members = members.iter();
            members.find_map(|(name, part)| Some(format!("/{}{}", pointer_token(name), too_deep(part, depth - 1)?)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
