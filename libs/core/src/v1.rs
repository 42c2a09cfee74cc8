//! Scheme v1, the signature of an older contract: an HMAC over plan, type, payload hash and the previous signature
//! (docs/spec/integrity.md#v1-columns).
//!
//! It is written in addition to the seal for tenants with older verifiers. It proves less than the seal: nothing about time,
//! actor, seq, id or tenant. Anyone who has the secret can rewrite a chain.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::event::{FormatError, V1};
use crate::hash::{Hash, hmac_sha256};

/// Returns the columns of an event whose plan carries scheme v1. `prev` are the columns of the previous event of the plan,
/// `None` at seq 1.
///
/// Refuses a plan or type that contains `|`, which separates the parts of the signed text.
pub fn columns(
    secret: &[u8],
    plan: &str,
    event_type: &str,
    payload_hash: &Hash,
    prev: Option<&V1>,
) -> Result<V1, FormatError> {
    let payload_hash = payload_hash.to_string();
    let prev_hash = prev.map(|before| before.signature.clone());
    let mac = mac(secret, plan, event_type, &payload_hash, prev_hash.as_deref())?;
    Ok(V1 { payload_hash, prev_hash, signature: hex::encode(mac.finalize().into_bytes()) })
}

/// Returns whether the signature in `v1` was made with `secret`. The comparison takes constant time.
pub fn is_signed(secret: &[u8], plan: &str, event_type: &str, v1: &V1) -> bool {
    let Ok(mac) = mac(secret, plan, event_type, &v1.payload_hash, v1.prev_hash.as_deref()) else { return false };
    let Ok(signature) = v1.signature.parse::<Hash>() else { return false };
    mac.verify_slice(signature.as_bytes()).is_ok()
}

fn mac(
    secret: &[u8],
    plan: &str,
    event_type: &str,
    payload_hash: &str,
    prev_hash: Option<&str>,
) -> Result<Hmac<Sha256>, FormatError> {
    for (field, text) in [("plan", plan), ("type", event_type)] {
        FormatError::require(field, !text.contains('|'), "without | because the plan carries scheme v1")?;
    }
    let signed = [plan, "|", event_type, "|", payload_hash, "|", prev_hash.unwrap_or("")];
    Ok(signed.into_iter().fold(hmac_sha256(secret), Mac::chain_update))
}
