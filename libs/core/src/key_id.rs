//! What a key is called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

const LABEL: &[u8] = b"sealbus/key-id/v2\n";

/// A key's id: its kind and 16 lower-case hex digits, `ed25519-d77e93716b6d786d`.
///
/// Any text can be one, since a tampered row can name any; [`KeyId::kind`] says whether it is well formed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// What a key is for. No key has two uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyKind {
    /// Seals events with a MAC.
    Hmac,
    /// Seals events with a signature.
    Ed25519,
    /// Signs the older contract's columns.
    V1,
    /// Wraps data keys.
    Kek,
    /// Signs the log's checkpoints.
    Log,
    /// Cosigns another log's checkpoints.
    Witness,
}

/// How an event is sealed. A plan's suite never falls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Suite {
    /// HMAC-SHA256 under a key of the plan's own: convinces who holds the secret.
    Hmac = 1,
    /// An Ed25519 signature: convinces anybody.
    Ed25519 = 2,
}

impl Suite {
    /// Its byte in the header: 1 or 2.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The suite of that byte.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Hmac, Self::Ed25519].into_iter().find(|suite| suite.code() == code)
    }
}

impl KeyKind {
    const ALL: [Self; 6] = [Self::Hmac, Self::Ed25519, Self::V1, Self::Kek, Self::Log, Self::Witness];

    /// What its ids begin with: `hmac-`, `ed25519-` …
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

    /// Whether it is an Ed25519 key pair, whose id is made of its public half.
    pub fn has_public(self) -> bool {
        matches!(self, Self::Ed25519 | Self::Log | Self::Witness)
    }

    /// The id of the key of this kind that these 8 bytes name.
    pub fn id(self, bytes: [u8; 8]) -> KeyId {
        KeyId(format!("{}{}", self.prefix(), hex::encode(bytes)))
    }

    /// The id of the key pair of this kind whose public half this is: the first 8 bytes of its labelled hash.
    pub fn id_of_public(self, public: &[u8; 32]) -> KeyId {
        let hash = Hash::of(&[LABEL, public].concat());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.0[..8]);
        self.id(first)
    }
}

impl KeyId {
    /// The id of this text, well formed or not.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind that the id says, if it is well formed.
    pub fn kind(&self) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| self.0.strip_prefix(kind.prefix()).is_some_and(is_hex_16))
    }

    /// The suite of a key that seals events; `None` of any other.
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
    fn the_id_says_the_suite_and_nothing_else_does() {
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
