//! Keys that verify notes, and their text form, the vkey (c2sp.org/signed-note).

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;
use crate::log::line;
use crate::log::note::{Signature, VerifiedSignature};
use crate::seal::PublicKey;

/// The largest time of a cosignature in seconds since 1970: 2^63 − 1.
const MAX_TIME: u64 = i64::MAX as u64;

/// The type of a signature. It is part of the key id: a key pair that makes two types of signatures has two verifier
/// keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignatureType {
    /// Ed25519 over the text of the note (c2sp.org/signed-note).
    Ed25519 = 1,
    /// Ed25519 over the time of signing and the text (c2sp.org/tlog-cosignature, v1).
    Cosignature = 4,
}

/// A key that verifies notes. Its text form is a C2SP vkey, `<name>+<id in hex>+base64(type || public key)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    signature_type: SignatureType,
    public: PublicKey,
    id: [u8; 4],
}

/// Reasons why a text is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// The text does not have the three parts of a vkey, or the last part is not base64.
    #[error("malformed vkey: expected <name>+<8 lower-case hex digits>+<base64>")]
    Form,
    /// The name is not a key name ([`is_key_name`]).
    #[error("a key name must not be empty or contain white space, control characters or +")]
    Name,
    /// The signature type is not supported.
    #[error("unsupported vkey type: expected 0x01 (Ed25519) or 0x04 (cosignature/v1)")]
    Type,
    /// The public key is not a valid Ed25519 public key.
    #[error("the public key of the vkey is not 32 bytes, not canonical or of small order")]
    Public,
    /// The key id differs from the one that is computed.
    #[error("the id of the vkey does not match its name and public key")]
    Id,
}

/// Returns whether `name` is allowed as a key name: not empty, and without Unicode white space, `+` and control
/// characters below U+0020.
pub fn is_key_name(name: &str) -> bool {
    let refused = |character: char| character < ' ' || character == '+' || character.is_whitespace();
    !name.is_empty() && !name.contains(refused)
}

impl VerifierKey {
    /// Creates a key. Fails if [`is_key_name`] refuses `name`.
    pub fn new(name: &str, signature_type: SignatureType, public: PublicKey) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name);
        }
        let id = Hash::of(&[name.as_bytes(), b"\n", &[signature_type as u8], public.as_bytes()].concat());
        let id = *id.0.first_chunk().expect("a hash has 32 bytes");
        Ok(Self { name: name.to_owned(), signature_type, public, id })
    }

    /// Returns the key of the same key pair and name for signatures of another type.
    #[must_use]
    pub fn with_type(&self, signature_type: SignatureType) -> Self {
        Self::new(&self.name, signature_type, self.public.clone())
            .expect("the name was checked when this key was created")
    }

    /// Returns the name, which signature lines repeat.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type of the signatures that the key verifies.
    pub fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the key id, which signature lines repeat: the first 4 bytes of SHA-256 over name, type and public key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Returns whether the signature line has the name and the id of this key.
    pub(super) fn is_named_by(&self, signature: &Signature) -> bool {
        self.name == signature.name() && self.id == signature.key_id()
    }

    /// Verifies a signature line of `text` by the strict rules of [`PublicKey::verifies`]. Returns `None` if it does not
    /// name this key, or if the signature is invalid.
    pub(super) fn verify(&self, text: &str, signature: &Signature) -> Option<VerifiedSignature> {
        let (time, valid) = match self.signature_type {
            _ if !self.is_named_by(signature) => return None,
            SignatureType::Ed25519 => (None, self.public.verifies(text.as_bytes(), signature.bytes())),
            SignatureType::Cosignature => {
                let (time, bytes) = signature.bytes().split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let valid = self.public.verifies(cosignature_message(text, time).as_bytes(), bytes);
                (Some(time), valid && time <= MAX_TIME)
            }
        };
        valid.then(|| VerifiedSignature { key: self.clone(), time })
    }
}

/// Returns the message that a cosignature signs: a label, the time in seconds since 1970, and the text of the note.
pub(in crate::log) fn cosignature_message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.signature_type as u8], self.public.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), line::base64(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        // A name contains no plus sign, but base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Form);
        };
        let key = line::unbase64(key).ok_or(VerifierKeyError::Form)?;
        let (signature_type, public) = match key.split_first() {
            Some((1, public)) => (SignatureType::Ed25519, public),
            Some((4, public)) => (SignatureType::Cosignature, public),
            Some(_) => return Err(VerifierKeyError::Type),
            None => return Err(VerifierKeyError::Form),
        };
        let public = public.try_into().ok().and_then(PublicKey::from_bytes).ok_or(VerifierKeyError::Public)?;
        let key = Self::new(name, signature_type, public)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(VerifierKeyError::Id) }
    }
}
