//! `key.added`: the event of plan `_keys` by which a key begins to count, and the proof in it that its holder has it
//! (INTEGRITY, Keys).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::canonical;
use crate::hash::hmac_sha256;
use crate::names::{Plan, Tenant};
use crate::seal::{KeyId, KeyKind, Keyring, Signer, suite};
use crate::wire::lp;

const LABEL: &[u8] = b"sealbus/key-proof/v2\n";

impl Signer {
    /// The canonical payload of the `key.added` event that adds this key. `by` is the key that seals that event: this one
    /// itself, where it is a ledger's first.
    pub fn key_added(&self, origin: &str, by: &KeyId) -> String {
        let message = message(origin, self.kid(), by);
        let mut payload = json!({ "kid": self.kid() });
        let proof = match &self.pair {
            Some(pair) => pair.sign(&message).as_ref().to_vec(),
            None => mac(self.secret(), origin, &message).finalize().into_bytes().to_vec(),
        };
        payload["proof"] = Value::String(STANDARD.encode(proof));
        if let Some(public) = &self.key().public {
            payload["public"] = Value::String(STANDARD.encode(public.as_bytes()));
        }
        canonical::write(&payload)
    }
}

impl Keyring {
    /// The key that a `key.added` payload adds: one that this keyring holds, with its own public half and a right proof. A
    /// proof by an hmac key whose secret is not here is passed over.
    pub(crate) fn added(&self, origin: &str, payload: &Value, by: &KeyId) -> Option<KeyId> {
        let kid = KeyId::new(payload.get("kid")?.as_str()?);
        let key = self.key(&kid)?;
        let message = message(origin, &kid, by);
        let proof = STANDARD.decode(payload.get("proof")?.as_str()?).ok()?;
        let proven = match key.kind {
            KeyKind::Ed25519 => {
                let public = key.public.as_ref()?;
                let same = payload.get("public")?.as_str()? == STANDARD.encode(public.as_bytes());
                same && public.verifies(&message, &proof)
            }
            KeyKind::Hmac => {
                key.secret().is_none_or(|secret| mac(secret, origin, &message).verify_slice(&proof).is_ok())
            }
            KeyKind::V1 | KeyKind::Kek | KeyKind::Log | KeyKind::Witness => false,
        };
        proven.then_some(kid)
    }
}

fn message(origin: &str, kid: &KeyId, by: &KeyId) -> Vec<u8> {
    let mut message = LABEL.to_vec();
    for text in [origin, kid.as_str(), by.as_str()] {
        lp(&mut message, text.as_bytes());
    }
    message
}

fn mac(secret: &[u8], origin: &str, message: &[u8]) -> Hmac<Sha256> {
    let plan_key = suite::plan_key(secret, origin, Tenant::system().as_str(), Plan::keys().as_str());
    hmac_sha256(plan_key.as_slice()).chain_update(message)
}
