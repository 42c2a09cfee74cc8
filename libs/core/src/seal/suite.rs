//! The two suites' bytes (INTEGRITY, Scheme v2).

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

/// `K_plan`: the MAC key of one plan, made from the secret of an `hmac-` key. Who holds it can check, and forge, that plan
/// and no other.
pub fn plan_key(secret: &[u8], origin: &str, tenant: &str, plan: &str) -> Zeroizing<[u8; 32]> {
    derive(secret, &plan_label(PLAN_KEY_LABEL, origin, tenant, plan))
}

/// The MAC of an event under its plan's key.
pub fn mac(plan_key: &[u8; 32], event_hash: &Hash) -> [u8; 32] {
    event_mac(plan_key, event_hash).finalize().into_bytes().into()
}

/// Whether `mac` is the event's, in constant time; one of another length is not.
pub fn mac_matches(plan_key: &[u8; 32], event_hash: &Hash, mac: &[u8]) -> bool {
    event_mac(plan_key, event_hash).verify_slice(mac).is_ok()
}

/// What an Ed25519 key signs of an event: its own id and the event's hash, labelled.
pub fn signature_message(kid: &KeyId, event_hash: &Hash) -> Vec<u8> {
    let mut message = SIGNATURE_LABEL.to_vec();
    lp(&mut message, kid.as_str().as_bytes());
    message.extend_from_slice(event_hash.as_bytes());
    message
}

/// The MAC of a publish request, by which a repeated one is known (PROTOCOL, Append, rule 4).
pub(crate) fn request_mac(secret: &[u8], origin: &str, tenant: &str, request: &[u8]) -> [u8; 32] {
    let mut info = REQUEST_KEY_LABEL.to_vec();
    lp(&mut info, origin.as_bytes());
    lp(&mut info, tenant.as_bytes());
    hmac_sha256(derive(secret, &info).as_slice()).chain_update(request).finalize().into_bytes().into()
}

/// Whether the seal has what its key's suite has, and nothing of the other: a signature stripped, or replaced by a MAC, is
/// found here whatever the bytes are.
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

/// HKDF-SHA256 (RFC 5869) without a salt, 32 bytes.
pub(super) fn derive(secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret).expand(info, key.as_mut_slice()).expect("HKDF gives up to 8,160 bytes");
    key
}
