//! What an envelope hides.

use std::fmt;

use serde_json::{Map, Value};

use crate::canonical::{self, Limits, MAX_DEPTH, MAX_METADATA, MAX_PAYLOAD};
use crate::event::FormatError;

/// The whole text: data and metadata, with the braces and the two names around them.
const LIMITS: Limits =
    Limits { bytes: MAX_PAYLOAD + MAX_METADATA + r#"{"data":,"metadata":}"#.len(), depth: MAX_DEPTH + 1 };

/// What an envelope hides: two JSON texts, each in its canonical form. They do not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext {
    /// The event's data.
    pub data: String,
    /// An object: the caller's metadata but for those that stay clear.
    pub metadata: String,
}

impl Plaintext {
    /// RFC 8785 of `{"data": …, "metadata": …}`, which is what is encrypted.
    pub fn encode(&self) -> String {
        format!(r#"{{"data":{},"metadata":{}}}"#, self.data, self.metadata)
    }

    /// The plaintext of this text. Refused: another shape, data or metadata over their limits or with a member that is the
    /// bus's own, and any other spelling than the canonical one.
    pub fn decode(text: &[u8]) -> Result<Self, FormatError> {
        let refused = FormatError::Field { field: "plaintext", rule: r#"RFC 8785 of {"data", "metadata"}"# };
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
        // A member too many makes the text another, too.
        if plaintext.encode().as_bytes() == text { Ok(plaintext) } else { Err(refused) }
    }

    /// All metadata of the event, as canonical text: these, and the clear ones as stored, which count where both name a member.
    /// Clear metadata that no longer read as an object are left out.
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
