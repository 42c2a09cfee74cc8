//! The ids and kinds of keys, and the suites of seals.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

const LABEL: &[u8] = b"sealbus/key-id/v2\n";

/// The id of a key: its kind and 16 lower-case hex digits, such as `ed25519-d77e93716b6d786d`.
///
/// It can hold any text, because a row in the database can be tampered with. For an id that is not well-formed
/// [`KeyId::kind`] returns `None`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// The use of a key. No key has two uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyKind {
    /// Seals events with a MAC.
    Hmac,
    /// Seals events with a signature.
    Ed25519,
    /// Makes the signatures of scheme v1.
    V1,
    /// Wraps data keys.
    Kek,
    /// Signs the log's checkpoints.
    Log,
    /// Cosigns the checkpoints of other logs.
    Witness,
}

/// The algorithm by which an event is sealed. The suite of a plan never decreases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Suite {
    /// HMAC-SHA256 with a key derived for the plan. Only those who have the secret can check it.
    Hmac = 1,
    /// An Ed25519 signature. Anyone with the public key can check it.
    Ed25519 = 2,
}

impl Suite {
    /// Returns the byte that stands for the suite in a header: 1 or 2.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the suite with this byte.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Hmac, Self::Ed25519].into_iter().find(|suite| suite.code() == code)
    }
}

impl KeyKind {
    const ALL: [Self; 6] = [Self::Hmac, Self::Ed25519, Self::V1, Self::Kek, Self::Log, Self::Witness];

    /// Returns the prefix of the ids of this kind, such as `ed25519-`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Hmac => "hmac-",
            Self::Ed25519 => "ed25519-",
            Self::V1 => "v1-",
            Self::Kek => "kek-",
            Self::Log => "log-",
            Self::Witness => "witness-",
        }
    }

    /// Returns whether keys of this kind are Ed25519 key pairs. Their ids are derived from the public key.
    pub fn has_public(self) -> bool {
        matches!(self, Self::Ed25519 | Self::Log | Self::Witness)
    }

    /// Returns the id of this kind with these 8 bytes in hex.
    pub fn id(self, bytes: [u8; 8]) -> KeyId {
        KeyId(format!("{}{}", self.prefix(), hex::encode(bytes)))
    }

    /// Returns the id of the key pair of this kind with this public key: the first 8 bytes of the labelled hash of the key.
    pub fn id_of_public(self, public: &[u8; 32]) -> KeyId {
        self.id(Hash::of(&[LABEL, public].concat()).first())
    }
}

impl KeyId {
    /// Returns an id with this text, well-formed or not.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the kind of the key, or `None` if the id is not well-formed.
    pub fn kind(&self) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| self.0.strip_prefix(kind.prefix()).is_some_and(is_hex_16))
    }

    /// Returns the suite of a key that seals events, or `None` for other keys.
    pub fn suite(&self) -> Option<Suite> {
        match self.kind()? {
            KeyKind::Hmac => Some(Suite::Hmac),
            KeyKind::Ed25519 => Some(Suite::Ed25519),
            KeyKind::V1 | KeyKind::Kek | KeyKind::Log | KeyKind::Witness => None,
        }
    }
}

fn is_hex_16(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_sealing_keys_have_a_suite() {
        assert_eq!(KeyId::new("hmac-85b31553b079f460").suite(), Some(Suite::Hmac));
        assert_eq!(KeyId::new("ed25519-d77e93716b6d786d").suite(), Some(Suite::Ed25519));
        for other in [
            "",
            "hmac-",
            "hmac-85b31553b079f46",
            "hmac-85b31553b079f4600",
            "hmac-85B31553b079f460",
            "HMAC-85b31553b079f460",
            "hmac85b31553b079f460",
            "none-0000000000000000",
            "v1-85b31553b079f460",
            "log-85b31553b079f460",
        ] {
            assert_eq!(KeyId::new(other).suite(), None, "{other}");
        }
        assert_eq!(KeyId::new("witness-85b31553b079f460").kind(), Some(KeyKind::Witness));
    }
}
