//! Keys that verify notes, and their text, the vkey.

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;
use crate::log::line;
use crate::log::note::{Signature, Verified, is_key_name};
use crate::seal::PublicKey;

/// How a key signs, which is part of its id: one key pair that signs in two ways is two verifier keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignatureType {
    /// Ed25519 of the note's text (c2sp.org/signed-note).
    Ed25519 = 1,
    /// Ed25519 of the text and the time of signing (c2sp.org/tlog-cosignature, v1).
    Cosignature = 4,
}

/// A key that verifies notes. As text a C2SP vkey: `<name>+<id in hex>+base64(type ‖ public key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    signature_type: SignatureType,
    public: PublicKey,
    id: [u8; 4],
}

/// Why a text is no verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum VerifierKeyError {
    #[error("a vkey is <name>+<8 lower-case hex digits>+<base64>")]
    Form,
    #[error("a key's name has no space, control character or +, and is not empty")]
    Name,
    #[error("the vkey is of a type other than 0x01, Ed25519, and 0x04, cosignature/v1")]
    Type,
    #[error("the vkey's public key is not 32 bytes that are canonical and not of small order")]
    Public,
    #[error("the vkey's id is not its name's and public key's")]
    Id,
}

impl VerifierKey {
    /// The key of this name. Refused: what [`is_key_name`] does not take.
    pub fn new(name: &str, signature_type: SignatureType, public: PublicKey) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name);
        }
        let id = Hash::of(&[name.as_bytes(), b"\n", &[signature_type as u8], public.as_bytes()].concat());
        let id = *id.0.first_chunk().expect("a hash has 32 bytes");
        Ok(Self { name: name.to_owned(), signature_type, public, id })
    }

    /// The same pair under the same name, for signatures of the other type.
    #[must_use]
    pub fn with_type(&self, signature_type: SignatureType) -> Self {
        Self::new(&self.name, signature_type, self.public.clone()).expect("the name is a key's already")
    }

    /// The name, which signatures bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the key signs.
    pub fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The id, which signatures bear: the first bytes of SHA-256 over name, type and public key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether the line says that it is this key's.
    pub(super) fn is_named_by(&self, signature: &Signature) -> bool {
        self.name == signature.name() && self.id == signature.key_id()
    }

    /// Whether `signature` is this key's of `text`, by the strict rules of [`PublicKey::verifies`]; the caller has seen that
    /// the line names this key.
    pub(super) fn verify(&self, text: &str, signature: &Signature) -> Option<Verified> {
        let (time, right) = match self.signature_type {
            SignatureType::Ed25519 => (None, self.public.verifies(text.as_bytes(), signature.bytes())),
            SignatureType::Cosignature => {
                let (time, bytes) = signature.bytes().split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let right = self.public.verifies(cosigned(text, time).as_bytes(), bytes);
                (Some(time), right && time <= MAX_TIME)
            }
        };
        right.then(|| Verified { key: self.clone(), time })
    }
}

/// The last second that a cosignature can be of: 2^63 − 1.
const MAX_TIME: u64 = i64::MAX as u64;

/// What a cosignature signs: a label, the time in seconds since 1970, the note's text.
pub(super) fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.signature_type as u8], self.public.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), line::base64(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        // Base64 may hold a plus, a name never does.
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
