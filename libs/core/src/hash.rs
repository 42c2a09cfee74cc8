//! SHA-256 values, and HMAC-SHA256.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A SHA-256 value.
///
/// It is written as 64 lower-case hex digits. Other spellings of the same bytes are refused, so that a hash has exactly one
/// text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hash of 64 lower-case hex digits")]
pub struct HashError;

impl Hash {
    /// Returns the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the hash of a leaf of the log (RFC 6962): SHA-256 of a zero byte and `leaf`.
    pub fn of_leaf(leaf: &[u8]) -> Self {
        Self(Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into())
    }

    /// Returns the hash with these bytes, or `None` if there are not 32 of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Hash)
    }

    /// Returns the first `N` bytes, at most 32.
    pub(crate) fn first<const N: usize>(&self) -> [u8; N] {
        *self.0.first_chunk().expect("a hash has 32 bytes")
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Returns HMAC-SHA256 with `key`, ready for the message.
pub(crate) fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(HashError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_EMPTY_TEXT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_hash_of_the_empty_text_is_that_of_fips_180_4() {
        assert_eq!(Hash::of(b"").to_string(), OF_EMPTY_TEXT);
        assert_eq!(OF_EMPTY_TEXT.parse(), Ok(Hash::of(b"")));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            &OF_EMPTY_TEXT.to_uppercase(),
            &OF_EMPTY_TEXT[1..],
            &format!("{OF_EMPTY_TEXT}0"),
            &format!("0x{OF_EMPTY_TEXT}"),
            "",
        ] {
            assert_eq!(text.parse::<Hash>(), Err(HashError), "{text}");
        }
        assert_eq!(Hash::from_slice(&[0; 31]), None);
        assert_eq!(Hash::from_slice(&[0; 33]), None);
    }

    #[test]
    fn json_is_the_hex_text() {
        let json = serde_json::to_string(&Hash::of(b"")).unwrap();
        assert_eq!(json, format!("\"{OF_EMPTY_TEXT}\""));
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), Hash::of(b""));
        assert!(serde_json::from_str::<Hash>("\"00\"").is_err());
    }
}
