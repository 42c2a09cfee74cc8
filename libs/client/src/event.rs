//! An event as the service shows it.

use sealbus_core::event::{PayloadMode, Priority};
use sealbus_core::hash::Hash;
use sealbus_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An event of the ledger. It is what the service says; whether its seal holds is for `sealbus verify` to find out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Event {
    /// Unique within the tenant.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// The plan that it belongs to.
    pub plan: String,
    /// Its place in the plan, from 1.
    pub seq: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of its data's schema.
    pub version: u32,
    /// What produced it.
    pub source: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was stored.
    pub recorded_at: Timestamp,
    /// What it belongs with.
    pub correlation_id: Option<String>,
    /// What caused it.
    pub causation_id: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// What was published; null where only the hash was kept or the key was erased, the envelope where it is encrypted.
    pub data: Value,
    /// The publisher's context, and `sealbus`, the bus's own.
    pub metadata: Value,
    /// What makes a change of it visible.
    pub seal: Seal,
    /// The older contract's three fields, in a plan that carries them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1: Option<V1>,
    /// Its place in the log of all events; none until it is sealed.
    pub log_index: Option<u64>,
}

/// Hashes, key and signature of an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Seal {
    /// `v2`.
    pub scheme: String,
    /// 1 for HMAC-SHA256, 2 for Ed25519; none where the stored key's name is of neither.
    pub suite: Option<u8>,
    /// The key's name.
    pub kid: String,
    /// How the payload is kept.
    pub payload_mode: PayloadMode,
    /// The payload's bytes.
    pub payload_size: u32,
    /// The payload's hash.
    pub payload_hash: Hash,
    /// The metadata's hash.
    pub metadata_hash: Hash,
    /// The hash of the plan's event before.
    pub prev: Hash,
    /// The event's hash, which the next event links to.
    pub hash: Hash,
    /// The signature, hex (suite 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The MAC, hex (suite 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// The older contract's fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct V1 {
    /// The payload's hash.
    pub payload_hash: String,
    /// The signature of the plan's event before; none at seq 1.
    pub prev_hash: Option<String>,
    /// The signature.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Event;

    #[test]
    fn reads_what_the_service_shows_and_shows_it_again() {
        let hash = "ab".repeat(32);
        let shown = json!({
            "id": "0197f2a0-0000-7000-8000-000000000001", "tenant": "acme", "plan": "order-42", "seq": 7,
            "type": "payment.settled", "version": 1, "source": "urn:acme:orchestrator", "actor": "svc-settle",
            "occurred_at": "2026-11-20T10:00:00.000000Z", "recorded_at": "2026-11-20T10:00:00.123456Z",
            "correlation_id": null, "causation_id": null, "priority": "normal",
            "data": { "amount": "10.00" }, "metadata": { "reason": "…" },
            "seal": { "scheme": "v2", "suite": 2, "kid": "ed25519-0123456789abcdef", "payload_mode": "plain",
                      "payload_size": 18, "payload_hash": hash, "metadata_hash": hash, "prev": hash, "hash": hash,
                      "sig": "00" },
            "log_index": 1234
        });
        let event: Event = serde_json::from_value(shown.clone()).expect("an event");
        assert_eq!(serde_json::to_value(&event).expect("JSON"), shown);

        let mut with_v1 = shown;
        with_v1["v1"] = json!({ "payload_hash": hash, "prev_hash": null, "signature": "00" });
        with_v1["log_index"] = Value::Null;
        with_v1["later_addition"] = json!(true);
        let event: Event = serde_json::from_value(with_v1).expect("members may be added");
        assert_eq!((event.v1.expect("it is there").prev_hash, event.log_index), (None, None));
    }
}
