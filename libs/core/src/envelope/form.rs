//! The text of an envelope: `{"ciphertext","commitment","key","nonce","scheme"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::canonical::{self, Limits};
use crate::envelope::Nonce;
use crate::envelope::aead::TAG_LENGTH;
use crate::event::{FormatError, plain_uuid};

const SCHEME: &str = "sealbus/envelope/v2";
/// An envelope is an object of strings. Its size is not limited here, because the size of its plaintext is.
const LIMITS: Limits = Limits { bytes: usize::MAX, depth: 1 };

/// A payload encrypted under a data key. It is what is hashed, sealed and stored of an encrypted event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub(super) key_id: Uuid,
    pub(super) nonce: Nonce,
    pub(super) commitment: [u8; 32],
    /// Ends with the tag.
    pub(super) ciphertext: Vec<u8>,
}

impl Envelope {
    /// Returns the id of the data key.
    pub fn key_id(&self) -> Uuid {
        self.key_id
    }

    /// Returns the canonical text (RFC 8785), which is the payload of the event.
    pub fn to_text(&self) -> String {
        canonical::write(&json!({
            "ciphertext": STANDARD.encode(&self.ciphertext),
            "commitment": STANDARD.encode(self.commitment),
            "key": self.key_id,
            "nonce": STANDARD.encode(self.nonce),
            "scheme": SCHEME,
        }))
    }

    /// Parses the text of an envelope. Order, spaces and escapes may differ from the canonical text, because a database may have
    /// changed them.
    ///
    /// Refuses another scheme; a missing, unknown or duplicate member; bytes of another length, or not in canonical base64; and
    /// a key id that is not a UUID in lower-case 8-4-4-4-12 form.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let Ok(Value::Object(mut members)) = canonical::read(text.as_bytes(), LIMITS) else {
            return Err(FormatError::Field { field: "envelope", rule: "an object of strings" });
        };
        if take(&mut members, "scheme")? != SCHEME {
            return Err(FormatError::Field { field: "scheme", rule: SCHEME });
        }
        let key_id = FormatError::Field { field: "key", rule: "a UUID in lower-case 8-4-4-4-12 form" };
        let ciphertext = FormatError::Field { field: "ciphertext", rule: "base64 of at least 16 bytes" };
        let envelope = Self {
            key_id: plain_uuid(&take(&mut members, "key")?).ok_or(key_id)?,
            nonce: bytes(&mut members, "nonce", "base64 of 24 bytes")?,
            commitment: bytes(&mut members, "commitment", "base64 of 32 bytes")?,
            ciphertext: STANDARD
                .decode(take(&mut members, "ciphertext")?)
                .ok()
                .filter(|bytes| bytes.len() >= TAG_LENGTH)
                .ok_or(ciphertext)?,
        };
        if members.is_empty() {
            return Ok(envelope);
        }
        Err(FormatError::Field {
            field: "envelope",
            rule: "an object of exactly ciphertext, commitment, key, nonce and scheme",
        })
    }
}

fn take(members: &mut Map<String, Value>, field: &'static str) -> Result<String, FormatError> {
    match members.remove(field) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(FormatError::Field { field, rule: "a string" }),
    }
}

fn bytes<const N: usize>(
    members: &mut Map<String, Value>,
    field: &'static str,
    rule: &'static str,
) -> Result<[u8; N], FormatError> {
    let bytes = STANDARD.decode(take(members, field)?).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(FormatError::Field { field, rule })
}
