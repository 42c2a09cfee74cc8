//! Key pairs that sign notes.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::seal::{KeyKind, Keyring, KeyringError, PublicKey, Status};

/// An Ed25519 key pair of the keyring. Cloning it copies no secret.
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
    /// The one active key pair of this kind. Refused where there is none, more than one, or its secret is not here.
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

    /// The public halves of the keys of this kind that were not revoked, in the keyring's order: of `log-` keys, what a policy
    /// pins.
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
