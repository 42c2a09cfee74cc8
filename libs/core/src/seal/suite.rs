//! The two suites: derived keys, MACs and signed messages (docs/spec/integrity.md#seal-suites).

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hash::{Hash, hmac_sha256};
use crate::key_id::{KeyId, Suite};
use crate::verdict::Verdict;
use crate::wire::{lp, plan_label};

const PLAN_KEY_LABEL: &str = "sealbus/plan-key/v2\n";
const MAC_LABEL: &[u8] = b"sealbus/mac/v2\n";
const SIGNATURE_LABEL: &[u8] = b"sealbus/sig/v2\n";
const REQUEST_KEY_LABEL: &[u8] = b"sealbus/request-key/v2\n";

/// Returns `K_plan`, the MAC key of a plan, derived from the secret of an `hmac-` key. Anyone who has it can check and forge the
/// events of this plan, but of no other.
pub fn plan_key(secret: &[u8], origin: &str, tenant: &str, plan: &str) -> Zeroizing<[u8; 32]> {
    derive(secret, &plan_label(PLAN_KEY_LABEL, origin, tenant, plan))
}

/// Returns the MAC of an event with the key of its plan.
pub fn mac(plan_key: &[u8; 32], event_hash: &Hash) -> [u8; 32] {
    event_mac(plan_key, event_hash).finalize().into_bytes().into()
}

/// Returns whether `mac` is the MAC of an event. The comparison takes constant time. A MAC of another length does not match.
pub fn mac_matches(plan_key: &[u8; 32], event_hash: &Hash, mac: &[u8]) -> bool {
    event_mac(plan_key, event_hash).verify_slice(mac).is_ok()
}

/// Returns the message that an Ed25519 key signs for an event: a label, the key id and the event hash.
pub fn signature_message(kid: &KeyId, event_hash: &Hash) -> Vec<u8> {
    let mut message = SIGNATURE_LABEL.to_vec();
    lp(&mut message, kid.as_str().as_bytes());
    message.extend_from_slice(event_hash.as_bytes());
    message
}

/// Returns the MAC of a publish request, by which a repeated request is recognised (docs/spec/protocol.md#append-4).
pub(crate) fn request_mac(secret: &[u8], origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
    let mut info = REQUEST_KEY_LABEL.to_vec();
    lp(&mut info, origin.as_bytes());
    lp(&mut info, tenant.as_bytes());
    hmac_sha256(derive(secret, &info).as_slice()).chain_update(request).finalize().into_bytes().into()
}

/// Checks that a seal has the parts that belong to the suite of its key, and no others. It finds a signature that was removed or
/// replaced by a MAC, whatever the bytes are.
pub fn check_shape(kid: &KeyId, mac: &[u8], sig: &[u8]) -> Result<Suite, Verdict> {
    match kid.suite().ok_or(Verdict::Format)? {
        Suite::Hmac if sig.is_empty() => Ok(Suite::Hmac),
        Suite::Ed25519 if mac.is_empty() && !sig.is_empty() => Ok(Suite::Ed25519),
        Suite::Hmac | Suite::Ed25519 => Err(Verdict::Suite),
    }
}

fn event_mac(plan_key: &[u8; 32], event_hash: &Hash) -> Hmac<Sha256> {
    hmac_sha256(plan_key).chain_update(MAC_LABEL).chain_update(event_hash.as_bytes())
}

/// Derives 32 bytes by HKDF-SHA256 (RFC 5869) without salt.
pub(super) fn derive(secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret).expand(info, key.as_mut_slice()).expect("HKDF-SHA256 derives up to 8,160 bytes");
    key
}
