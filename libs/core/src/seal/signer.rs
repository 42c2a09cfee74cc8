//! Signing events.

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::event::{FormatError, Header, V1};
use crate::hash::Hash;
use crate::seal::keyring::Key;
use crate::seal::{KeyId, Suite, suite};
use crate::v1;

/// Seals events with one key. Cloning it does not copy the secret. Any number of tasks may use it at the same time.
#[derive(Clone, Debug)]
pub struct Signer {
    pub(super) key: Arc<Key>,
    suite: Suite,
    /// The pair of an Ed25519 key. AWS-LC signs in half the time of dalek, with the same result.
    pub(super) pair: Option<Arc<Ed25519KeyPair>>,
}

/// The seal of an event: a MAC or a signature, depending on the suite of the key. The other one is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// MAC of 32 bytes, or empty.
    pub mac: Vec<u8>,
    /// Signature of 64 bytes, or empty.
    pub sig: Vec<u8>,
}

impl Signer {
    /// Returns the signer of a key, or `None` if it does not seal events or the keyring does not have its secret.
    pub(super) fn new(key: &Arc<Key>) -> Option<Self> {
        let (suite, secret) = (key.id.suite()?, key.secret()?);
        let pair = match suite {
            Suite::Hmac => None,
            Suite::Ed25519 => Some(Arc::new(Ed25519KeyPair::from_seed_unchecked(secret).ok()?)),
        };
        Some(Self { key: key.clone(), suite, pair })
    }

    /// Returns the id of the key. A header must name it before the key seals it.
    pub fn kid(&self) -> &KeyId {
        &self.key.id
    }

    /// Returns the suite of the key.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals an event. `event_hash` must be `header.hash()`; it is passed in so that it is computed only once.
    pub fn seal(&self, header: &Header, event_hash: &Hash) -> Seal {
        debug_assert_eq!(&header.kid, self.kid(), "a header must name the key that seals it");
        if let Some(pair) = &self.pair {
            let sig = pair.sign(&suite::signature_message(self.kid(), event_hash));
            return Seal { mac: Vec::new(), sig: sig.as_ref().to_vec() };
        }
        let plan_key = suite::plan_key(self.secret(), &header.origin, &header.tenant, &header.plan);
        Seal { mac: suite::mac(&plan_key, event_hash).to_vec(), sig: Vec::new() }
    }

    /// Returns the MAC by which a repeated publish request is recognised (docs/spec/protocol.md#append-4). `request` is the
    /// canonical JSON of the request.
    pub fn request_mac(&self, origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
        suite::request_mac(self.secret(), origin, tenant, request)
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.key.secret().expect("Signer::new refuses a key without secret")
    }
}

/// Makes the columns of scheme v1 with the active `v1-` key of a keyring.
#[derive(Clone, Debug)]
pub struct V1Signer(pub(super) Arc<Key>);

impl V1Signer {
    /// Returns the columns of an event. `prev` are the columns of the previous event of the plan, or `None` at seq 1.
    /// Refuses a plan or type that contains `|`.
    pub fn columns(
        &self,
        plan: &str,
        event_type: &str,
        payload_hash: &Hash,
        prev: Option<&V1>,
    ) -> Result<V1, FormatError> {
        let secret = self.0.secret().expect("a keyring with a v1 key without secret is refused");
        v1::columns(secret, plan, event_type, payload_hash, prev)
    }
}
