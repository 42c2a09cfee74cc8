//! Data keys, and the keys derived from them.

use std::fmt;

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::Nonce;
use crate::seal::request_mac;

const ENVELOPE_KEY_LABEL: &[u8] = b"sealbus/envelope/v2\n";

/// The key for the payloads of a data subject in one epoch. Its secret is not printed, and it is wiped from memory on drop.
pub struct DataKey {
    key_id: Uuid,
    secret: SecretBox<[u8; 32]>,
}

impl DataKey {
    /// Returns the key with this id and secret. Id and secret of a new key must come from the system's random generator.
    pub fn new(key_id: Uuid, secret: &Zeroizing<[u8; 32]>) -> Self {
        Self { key_id, secret: SecretBox::init_with_mut(|own: &mut [u8; 32]| own.copy_from_slice(secret.as_slice())) }
    }

    /// Returns the id of the key, which envelopes and erasures name.
    pub fn key_id(&self) -> Uuid {
        self.key_id
    }

    /// Returns the MAC by which a repeated publish request for an encrypted event is recognised. `request` is the canonical JSON
    /// of the request, with the hash of the data in place of the data (docs/spec/protocol.md#append-4).
    ///
    /// The MAC is made with the data key instead of the signing key, so that erasure makes it useless too. Otherwise anyone with
    /// the signing key could test guesses of the data against it.
    pub fn request_mac(&self, origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
        request_mac(self.secret(), origin, tenant, request)
    }

    /// Derives the key that encrypts an envelope, and the envelope's commitment to it, by HKDF-SHA256 (RFC 5869) with the
    /// envelope's nonce as salt. No other key has this commitment with the same nonce: that would be a collision of SHA-256.
    pub(super) fn envelope_key(&self, nonce: &Nonce) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
        let mut derived = Zeroizing::new([0; 64]);
        Hkdf::<Sha256>::new(Some(nonce), self.secret())
            .expand(ENVELOPE_KEY_LABEL, derived.as_mut_slice())
            .expect("HKDF-SHA256 derives up to 8,160 bytes");
        let (mut key, mut commitment) = (Zeroizing::new([0; 32]), [0; 32]);
        key.copy_from_slice(&derived[..32]);
        commitment.copy_from_slice(&derived[32..]);
        (key, commitment)
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        self.secret.expose_secret()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Keyring;

    #[test]
    fn a_data_key_and_a_signing_key_of_the_same_bytes_make_the_same_request_mac() {
        let secret = Zeroizing::new(*b"0123456789abcdefghijklmnopqrstuv");
        let file =
            r#"{"keys":[{"id":"hmac-0123456789abcdef","secret":"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="}]}"#;
        let signer = Keyring::parse(file).unwrap().signer().unwrap();
        let key = DataKey::new(Uuid::from_u128(1), &secret);
        let mac = key.request_mac("bus.test/one", "acme", b"{}");
        assert_eq!(mac, signer.request_mac("bus.test/one", "acme", b"{}"));
        for (origin, tenant, request) in
            [("bus.test/two", "acme", "{}"), ("bus.test/one", "acm", "{}"), ("bus.test/one", "acme", "[]")]
        {
            assert_ne!(mac, key.request_mac(origin, tenant, request.as_bytes()));
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let key = DataKey::new(Uuid::from_u128(7), &Zeroizing::new([0x5a; 32]));
        assert_eq!(format!("{key:?}"), "DataKey(00000000-0000-0000-0000-000000000007)");
    }
}
