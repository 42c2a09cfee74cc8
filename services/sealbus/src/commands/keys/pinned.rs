//! What verifiers pin of a key. It never contains the secret.

use sealbus_core::log::note::{SignatureType, VerifierKey};
use sealbus_core::seal::{KeyId, KeyKind, PublicKey};
use sealbus_runtime::settings::{Settings, table};
use serde_json::json;

/// Returns the public key as text: a C2SP vkey for a log or witness key whose name is configured, otherwise base64.
pub(super) fn public(kind: KeyKind, public: &PublicKey, settings: &Settings) -> String {
    let (name, signature_type) = match kind {
        KeyKind::Log => (settings.find(table::ORIGIN), SignatureType::Ed25519),
        KeyKind::Witness => (settings.find(table::WITNESS_NAME), SignatureType::Cosignature),
        KeyKind::Ed25519 | KeyKind::Hmac | KeyKind::V1 | KeyKind::Kek => (None, SignatureType::Ed25519),
    };
    let vkey = name.and_then(|name| VerifierKey::new(&name, signature_type, public.clone()).ok());
    vkey.map_or_else(|| public.to_string(), |vkey| vkey.to_string())
}

/// Returns the keyring entry by which a verifier revokes a signing key from a log index on.
pub(super) fn revoked(kid: &KeyId, public: Option<&PublicKey>, until: u64) -> String {
    let mut entry = json!({ "id": kid, "status": "revoked", "until": until });
    if let Some(public) = public {
        entry["public"] = public.to_string().into();
    }
    entry.to_string()
}
