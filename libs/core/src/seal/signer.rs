//! Signing: the one active key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::event::{FormatError, Header, V1};
use crate::hash::Hash;
use crate::seal::key::Key;
use crate::seal::{KeyId, Keyring, Suite, suite};
use crate::v1;

/// Seals events with the keyring's active key. Cloning it copies no secret; any number of tasks may use it at once.
#[derive(Clone)]
pub struct Signer {
    keyring: Keyring,
    index: usize,
    suite: Suite,
    /// Of an Ed25519 key. AWS-LC signs in half the time that dalek takes, and makes the same bytes.
    pub(super) pair: Option<Arc<Ed25519KeyPair>>,
}

/// What seals an event: one of the two, by the key's suite, and the other empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// 32 bytes under an HMAC key, otherwise empty.
    pub mac: Vec<u8>,
    /// 64 bytes under an Ed25519 key, otherwise empty.
    pub sig: Vec<u8>,
}

impl Signer {
    /// The signer of that key; `None` where its secret is not here or it does not seal events.
    pub(super) fn new(keyring: Keyring, index: usize) -> Option<Self> {
        let key = &keyring.keys[index];
        let (suite, secret) = (key.id.suite()?, key.secret()?);
        let pair = match suite {
            Suite::Hmac => None,
            Suite::Ed25519 => Some(Arc::new(Ed25519KeyPair::from_seed_unchecked(secret).ok()?)),
        };
        Some(Self { keyring, index, suite, pair })
    }

    /// The key's id, which a header must name before this key seals it.
    pub fn kid(&self) -> &KeyId {
        &self.key().id
    }

    /// The key's suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals the event. `event_hash` is `header.hash()`, given so that it is made once.
    pub fn seal(&self, header: &Header, event_hash: &Hash) -> Seal {
        debug_assert_eq!(&header.kid, self.kid(), "the header names the key that seals it");
        if let Some(pair) = &self.pair {
            let sig = pair.sign(&suite::signature_message(self.kid(), event_hash));
            return Seal { mac: Vec::new(), sig: sig.as_ref().to_vec() };
        }
        let plan_key = suite::plan_key(self.secret(), &header.origin, &header.tenant, &header.plan);
        Seal { mac: suite::mac(&plan_key, event_hash).to_vec(), sig: Vec::new() }
    }

    /// The MAC by which a repeated publish request is known. `request` is the canonical JSON of what the caller gave
    /// (PROTOCOL, Append, rule 4).
    pub fn request_mac(&self, origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
        suite::request_mac(self.secret(), origin, tenant, request)
    }

    pub(super) fn key(&self) -> &Key {
        &self.keyring.keys[self.index]
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.key().secret().expect("Signer::new saw the secret")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.kid())
    }
}

/// Writes the older contract's columns with the keyring's active `v1-` key.
#[derive(Clone)]
pub struct V1Signer {
    keyring: Keyring,
    index: usize,
}

impl V1Signer {
    pub(super) fn new(keyring: Keyring, index: usize) -> Self {
        Self { keyring, index }
    }

    /// The columns of an event; `prev` is those of the plan's event before, `None` at seq 1. Refused: a plan or type that
    /// holds `|`.
    pub fn columns(
        &self,
        plan: &str,
        event_type: &str,
        payload_hash: &Hash,
        prev: Option<&V1>,
    ) -> Result<V1, FormatError> {
        let secret = self.keyring.keys[self.index].secret().expect("a v1 key without a secret was refused");
        v1::columns(secret, plan, event_type, payload_hash, prev)
    }
}

impl fmt::Debug for V1Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V1Signer({})", self.keyring.keys[self.index].id)
    }
}
