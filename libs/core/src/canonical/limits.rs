//! How much JSON is taken.

use serde_json::Value;

use super::pointer_token;

/// Bytes of a payload, as sent and in its canonical form.
pub const MAX_PAYLOAD: usize = 262_144;
/// Bytes of metadata, as sent and in their canonical form.
pub const MAX_METADATA: usize = 16_384;
/// How deep arrays and objects nest: the outermost counts as one.
pub const MAX_DEPTH: usize = 64;

/// What a text is held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes, of the text and of its canonical form.
    pub bytes: usize,
    /// Arrays and objects within each other. Above 128 it counts as 128: the reader calls itself for each.
    pub depth: usize,
}

impl Limits {
    /// Those of a payload.
    pub const PAYLOAD: Self = Self { bytes: MAX_PAYLOAD, depth: MAX_DEPTH };
    /// Those of an event's metadata.
    pub const METADATA: Self = Self { bytes: MAX_METADATA, depth: MAX_DEPTH };

    pub(super) fn depth(self) -> usize {
        self.depth.min(128)
    }
}

/// The pointer to an array or object that lies inside `depth` others, if there is one.
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
