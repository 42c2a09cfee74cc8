//! The plaintext of an envelope.

use std::fmt;

use serde_json::{Map, Value};

use crate::canonical::{self, Limits, MAX_DEPTH, MAX_METADATA, MAX_PAYLOAD};
use crate::event::FormatError;

/// The limits of the whole text: data and metadata, with the two names and the braces around them.
const LIMITS: Limits =
    Limits { bytes: MAX_PAYLOAD + MAX_METADATA + r#"{"data":,"metadata":}"#.len(), depth: MAX_DEPTH + 1 };

/// The plaintext of an envelope: two JSON texts in canonical form. They are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext {
    /// Data of the event.
    pub data: String,
    /// An object with the caller's metadata, except for the members that stay clear.
    pub metadata: String,
}

impl Plaintext {
    /// Returns the text that is encrypted: RFC 8785 of `{"data": …, "metadata": …}`.
    pub fn encode(&self) -> String {
        format!(r#"{{"data":{},"metadata":{}}}"#, self.data, self.metadata)
    }

    /// Parses the text that was encrypted. Refuses another form, data or metadata beyond their limits, metadata with the
    /// reserved member `sealbus`, and a text that is not canonical.
    pub fn decode(text: &[u8]) -> Result<Self, FormatError> {
        let refused = FormatError::Field { field: "plaintext", rule: r#"the canonical text of {"data", "metadata"}"# };
        let Ok(Value::Object(mut members)) = canonical::read(text, LIMITS) else { return Err(refused) };
        let (Some(data), Some(metadata)) = (members.remove("data"), members.remove("metadata")) else {
            return Err(refused);
        };
        if metadata.as_object().is_none_or(|members| members.contains_key("sealbus")) {
            return Err(refused);
        }
        let canonical = |value, limits| canonical::check(value, limits).map_err(|_| refused.clone());
        let (data, metadata) = (canonical(&data, Limits::PAYLOAD)?, canonical(&metadata, Limits::METADATA)?);
        let plaintext = Self { data, metadata };
        // This also refuses additional members.
        if plaintext.encode().as_bytes() == text { Ok(plaintext) } else { Err(refused) }
    }

    /// Returns all metadata of the event as canonical text: the encrypted ones, and `clear`, the stored clear ones, which take
    /// precedence. Clear metadata that are not a JSON object, which is possible only after tampering, are left out.
    pub fn with_clear_metadata(&self, clear: &str) -> String {
        let members = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let mut metadata = members(&self.metadata);
        metadata.extend(members(clear));
        canonical::write(&Value::Object(metadata))
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext")
    }
}
