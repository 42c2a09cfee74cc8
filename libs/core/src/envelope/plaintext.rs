//! The plaintext of an envelope.

use std::fmt;

use crate::canonical::{self, Limits, MAX_DEPTH, MAX_METADATA, MAX_PAYLOAD, Node, Text};
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
        let Ok(canonical) = canonical::canonicalise(text, LIMITS) else { return Err(refused) };
        let node = Node::new(&canonical);
        let (Some(data), Some(metadata)) = (node.member("data"), node.member("metadata")) else { return Err(refused) };
        let is_allowed = metadata.members().is_some_and(|mut members| members.all(|(name, _)| name != "sealbus"))
            && data.text().len() <= MAX_PAYLOAD
            && metadata.text().len() <= MAX_METADATA;
        let plaintext = Self { data: data.text().to_owned(), metadata: metadata.text().to_owned() };
        // This also refuses additional members.
        if is_allowed && plaintext.encode().as_bytes() == text { Ok(plaintext) } else { Err(refused) }
    }

    /// Returns all metadata of the event as canonical text: the encrypted ones, and `clear`, the stored clear ones, which take
    /// precedence. Clear metadata that are not a JSON object, which is possible only after tampering, are left out.
    pub fn with_clear_metadata(&self, clear: &str) -> String {
        let clear = canonical::part(clear.as_bytes(), Limits { bytes: usize::MAX, depth: MAX_DEPTH });
        let clear = clear.ok().filter(|clear| clear.node().members().is_some()).unwrap_or_else(Text::empty_object);
        let encrypted = Node::new(&self.metadata).members().into_iter().flatten();
        let encrypted = encrypted.filter(|(name, _)| clear.node().member(name).is_none());
        let members = encrypted.chain(clear.node().members().into_iter().flatten());
        Text::object(members.map(|(name, value)| (name, value.text()))).into_string()
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext")
    }
}
