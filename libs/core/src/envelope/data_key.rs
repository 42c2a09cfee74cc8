//! A data key, and what is derived from it.

use std::fmt;

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::envelope::Nonce;
use crate::seal::request_mac;

const ENVELOPE_KEY_LABEL: &[u8] = b"sealbus/envelope/v2\n";

/// The key of one data subject's payloads, for one epoch. The secret prints as nothing, and is wiped when the key goes.
pub struct DataKey {
    key_id: Uuid,
    secret: SecretBox<[u8; 32]>,
}

/// What encrypts one envelope, and what the envelope shows of it.
pub(super) struct EnvelopeKey {
    pub(super) key: Zeroizing<[u8; 32]>,
    /// Of no other key with this nonce: two would be a collision of SHA-256.
    pub(super) commitment: [u8; 32],
}

impl DataKey {
    /// The key of this id and these bytes. A new key's have to come from the system's generator, its id too.
    pub fn new(key_id: Uuid, secret: &Zeroizing<[u8; 32]>) -> Self {
        Self { key_id, secret: SecretBox::init_with_mut(|own: &mut [u8; 32]| own.copy_from_slice(secret.as_slice())) }
    }

    /// The name by which envelopes and erasures know it.
    pub fn key_id(&self) -> Uuid {
        self.key_id
    }

    /// The MAC by which a repeated publish request of an encrypted event is known. `request` is the canonical JSON of what the
    /// caller gave, the hash of the data in it (PROTOCOL, Append, rule 4).
    ///
    /// It is made under the event's data key, not the signing key, so that erasure takes it too: otherwise whoever holds the
    /// signing key could go on trying guesses of the data against it.
    pub fn request_mac(&self, origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
        request_mac(self.secret(), origin, tenant, request)
    }

    /// HKDF-SHA256 (RFC 5869) with the envelope's nonce as salt.
    pub(super) fn envelope_key(&self, nonce: &Nonce) -> EnvelopeKey {
        let mut derived = Zeroizing::new([0; 64]);
        Hkdf::<Sha256>::new(Some(nonce), self.secret())
            .expand(ENVELOPE_KEY_LABEL, derived.as_mut_slice())
            .expect("HKDF gives up to 8,160 bytes");
        let (mut key, mut commitment) = (Zeroizing::new([0; 32]), [0; 32]);
        key.copy_from_slice(&derived[..32]);
        commitment.copy_from_slice(&derived[32..]);
        EnvelopeKey { key, commitment }
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
    fn a_request_is_known_by_the_data_key_as_by_a_signing_key_of_the_same_bytes() {
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
    fn the_secret_does_not_print() {
        let key = DataKey::new(Uuid::from_u128(7), &Zeroizing::new([0x5a; 32]));
        assert_eq!(format!("{key:?}"), "DataKey(00000000-0000-0000-0000-000000000007)");
    }
}
