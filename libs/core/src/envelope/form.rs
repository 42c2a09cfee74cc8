//! The envelope's text: `{"ciphertext","commitment","key","nonce","scheme"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::canonical::{self, Limits};
use crate::envelope::Nonce;
use crate::envelope::aead::TAG_LENGTH;
use crate::event::{FormatError, plain_uuid};

const SCHEME: &str = "sealbus/envelope/v2";
/// An object of strings; an envelope has no cap of its own, since what it hides has one.
const LIMITS: Limits = Limits { bytes: usize::MAX, depth: 1 };

/// A payload encrypted under a data key: what is hashed, sealed and stored of an encrypted event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub(super) key_id: Uuid,
    pub(super) nonce: Nonce,
    pub(super) commitment: [u8; 32],
    /// The tag at its end.
    pub(super) ciphertext: Vec<u8>,
}

impl Envelope {
    /// The data key that it names.
    pub fn key_id(&self) -> Uuid {
        self.key_id
    }

    /// Its one text, RFC 8785: the payload of its event.
    pub fn to_text(&self) -> String {
        canonical::write(&json!({
            "ciphertext": STANDARD.encode(&self.ciphertext),
            "commitment": STANDARD.encode(self.commitment),
            "key": self.key_id,
            "nonce": STANDARD.encode(self.nonce),
            "scheme": SCHEME,
        }))
    }

    /// The envelope of this text, which a database may have spelled anew: order, space and escapes are free, as of any stored
    /// text. Refused: another scheme, a member missing, unknown or twice, bytes of another length or in another spelling than
    /// the one of their base64, a key id that is not a UUID in lower-case 8-4-4-4-12 form.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let Ok(Value::Object(mut members)) = canonical::read(text.as_bytes(), LIMITS) else {
            return Err(FormatError::Field { field: "envelope", rule: "an object of strings" });
        };
        if take(&mut members, "scheme")? != SCHEME {
            return Err(FormatError::Field { field: "scheme", rule: SCHEME });
        }
        let key_id = FormatError::Field { field: "key", rule: "a UUID in lower-case 8-4-4-4-12 form" };
        let ciphertext = FormatError::Field { field: "ciphertext", rule: "base64 of at least the 16 bytes of its tag" };
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
            rule: "of ciphertext, commitment, key, nonce, scheme and no other",
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
