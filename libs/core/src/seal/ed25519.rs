//! Ed25519 with strict verification: RFC 8032, cofactorless, S below the group order, A and R not of small order, A canonical.
//! Under weaker rules, two verifiers could disagree about a signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

/// A public key that is canonical and not of small order.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Returns the key with these bytes, or `None` if they are not the canonical encoding of a point, or if the point is of small
    /// order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (is_reduced(bytes) && !key.is_weak()).then_some(Self(key))
    }

    /// Returns the public key of a seed.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed).verifying_key())
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Returns whether `sig` is a signature of `message` by this key. A signature whose length is not 64 bytes is not valid.
    pub fn verifies(&self, message: &[u8], sig: &[u8]) -> bool {
        Signature::from_slice(sig).is_ok_and(|sig| self.0.verify_strict(message, &sig).is_ok())
    }
}

/// Returns whether the encoded y is less than 2^255 − 19, the prime of the field. The decoder of points reduces y modulo this
/// prime, so a larger y is a second encoding. The only other second encoding, a negative zero as x, is of small order.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let all_ones = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
    !all_ones || bytes[0] < 0xed
}

/// Writes base64, as in a keyring.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.as_bytes()))
    }
}
