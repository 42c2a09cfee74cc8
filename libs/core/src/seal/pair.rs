//! Key pairs for signing notes.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::seal::{KeyKind, Keyring, KeyringError, PublicKey, Status};

/// An Ed25519 key pair of a keyring. Cloning it does not copy the secret.
#[derive(Clone)]
pub(crate) struct KeyPair {
    public: PublicKey,
    pair: Arc<Ed25519KeyPair>,
}

impl KeyPair {
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl Keyring {
    /// Returns the active key pair of a kind. Fails if the keyring does not have exactly one such key with its secret.
    pub(crate) fn active_pair(&self, kind: KeyKind) -> Result<KeyPair, KeyringError> {
        let mut active = self.keys.iter().filter(|key| key.kind == kind && key.status == Status::Active);
        let (key, other) = (active.next().ok_or(KeyringError::NoActivePair { kind })?, active.next());
        if other.is_some() {
            return Err(KeyringError::ManyActivePairs { kind });
        }
        let pair = key.secret().and_then(|seed| Ed25519KeyPair::from_seed_unchecked(seed).ok());
        match (pair, &key.public) {
            (Some(pair), Some(public)) => Ok(KeyPair { public: public.clone(), pair: Arc::new(pair) }),
            _ => Err(KeyringError::NoSecret { id: key.id.clone() }),
        }
    }

    /// Returns the public keys of a kind that are not revoked, in the order of the keyring. A policy pins those of `log-` keys.
    pub fn public_keys(&self, kind: KeyKind) -> impl Iterator<Item = &PublicKey> {
        let trusted = move |key: &&super::key::Key| key.kind == kind && key.status != Status::Revoked;
        self.keys.iter().filter(trusted).filter_map(|key| key.public.as_ref())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:?})", self.public)
    }
}
