//! Limits of size and depth for JSON texts.

use serde_json::Value;

use super::pointer_token;

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
    /// Maximum depth of nested arrays and objects. Values above 128 count as 128, because the reader is recursive.
    pub depth: usize,
}

impl Limits {
    /// The limits of a payload.
    pub const PAYLOAD: Self = Self { bytes: MAX_PAYLOAD, depth: MAX_DEPTH };
    /// The limits of metadata.
    pub const METADATA: Self = Self { bytes: MAX_METADATA, depth: MAX_DEPTH };

    pub(super) fn depth(self) -> usize {
        self.depth.min(128)
    }
}

/// Returns a JSON pointer to an array or object that is nested inside `depth` others, if there is one.
pub(super) fn too_deep(value: &Value, depth: usize) -> Option<String> {
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
