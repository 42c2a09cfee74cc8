//! Scheme v1, the older contract: an HMAC over plan, type, payload hash and the signature before (INTEGRITY, Scheme v1).
//!
//! It is written beside the seal for tenants whose older verifiers still want it, and proves less: nothing about time, actor,
//! sequence, id or tenant, and whoever holds the secret can rewrite a chain.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::event::{FormatError, V1};
use crate::hash::{Hash, hmac_sha256};

/// The columns of an event whose plan carries scheme v1. `prev` is the columns of the plan's event before; `None` at seq 1.
///
/// Refused: a plan or type that holds `|`, which is what separates them in what is signed.
pub fn columns(
    secret: &[u8],
    plan: &str,
    event_type: &str,
    payload_hash: &Hash,
    prev: Option<&V1>,
) -> Result<V1, FormatError> {
    let payload_hash = payload_hash.to_string();
    let prev_hash = prev.map(|before| before.signature.clone());
    let signature = sign(secret, plan, event_type, &payload_hash, prev_hash.as_deref())?;
    Ok(V1 { payload_hash, prev_hash, signature })
}

/// The signature, in lower-case hex. Refused: a plan or type that holds `|`.
pub fn sign(
    secret: &[u8],
    plan: &str,
    event_type: &str,
    payload_hash: &str,
    prev_hash: Option<&str>,
) -> Result<String, FormatError> {
    Ok(hex::encode(mac(secret, plan, event_type, payload_hash, prev_hash)?.finalize().into_bytes()))
}

/// Whether `signature` is the one by `secret`, in its one spelling; compared in constant time.
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
        if text.contains('|') {
            return Err(FormatError::Field { field, rule: "without | where the tenant carries scheme v1" });
        }
    }
    let signed = [plan, "|", event_type, "|", payload_hash, "|", prev_hash.unwrap_or("")];
    Ok(signed.into_iter().fold(hmac_sha256(secret), Mac::chain_update))
}
