//! The payload of `key.added`, the event of the plan `_keys` from which a key counts, with the proof that the owner of the key
//! agreed (docs/spec/integrity.md#keys-proof).

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
    /// Returns the canonical payload of the `key.added` event for this key. `by` is the key that seals that event; in the first
    /// event of a ledger it is this key itself.
    pub fn key_added(&self, origin: &str, by: &KeyId) -> String {
        let message = message(origin, self.kid(), by);
        let proof = match &self.pair {
            Some(pair) => pair.sign(&message).as_ref().to_vec(),
            None => mac(self.secret(), origin, &message).finalize().into_bytes().to_vec(),
        };
        let mut payload = json!({ "kid": self.kid(), "proof": STANDARD.encode(proof) });
        if let Some(public) = &self.key.public {
            payload["public"] = json!(public.to_string());
        }
        canonical::write(&payload)
    }
}

impl Keyring {
    /// Returns the key that a `key.added` payload adds, or `None` if the keyring does not have it, the public key is another, or
    /// the proof is wrong. The proof of an hmac key is not checked if the keyring does not have its secret.
    pub(crate) fn added(&self, origin: &str, payload: &Value, by: &KeyId) -> Option<KeyId> {
        let kid = KeyId::new(payload.get("kid")?.as_str()?);
        let key = self.key(&kid)?;
        let message = message(origin, &kid, by);
        let proof = STANDARD.decode(payload.get("proof")?.as_str()?).ok()?;
        let proven = match key.kind {
            KeyKind::Ed25519 => {
                let public = key.public.as_ref()?;
                let same = payload.get("public")?.as_str()? == public.to_string();
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
