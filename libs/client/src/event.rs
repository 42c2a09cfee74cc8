//! Events as the API shows them (docs/spec/interface.md#event).

use sealbus_core::event::{PayloadMode, Priority};
use sealbus_core::hash::Hash;
use sealbus_core::json;
use sealbus_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An event of the ledger, as the service returned it. The client does not check the seal; `sealbus verify` does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Event {
    /// The event's id, unique within the tenant.
    pub id: Uuid,
    /// The tenant.
    pub tenant: String,
    /// The plan.
    pub plan: String,
    /// The event's position in its plan, from 1.
    pub seq: u64,
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the schema of its data.
    pub version: u32,
    /// The producer.
    pub source: Option<String>,
    /// The person or service that acted.
    pub actor: Option<String>,
    /// The producer's time.
    pub occurred_at: Timestamp,
    /// The database's time when the event was stored.
    pub recorded_at: Timestamp,
    /// The id that related events share.
    pub correlation_id: Option<String>,
    /// The id of the cause.
    pub causation_id: Option<String>,
    /// The priority.
    pub priority: Priority,
    /// What was published. Null if only its hash is stored or its key was erased; the envelope if it is encrypted and
    /// the token may not open it.
    #[serde(deserialize_with = "json::deserialize")]
    pub data: Value,
    /// The producer's metadata, and a member `sealbus` of the bus.
    #[serde(deserialize_with = "json::deserialize")]
    pub metadata: Value,
    /// The seal.
    pub seal: Seal,
    /// The fields of scheme v1, if the plan carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1: Option<V1>,
    /// The event's index in the log, or `None` until it is sealed.
    pub log_index: Option<u64>,
}

/// The seal of an event: hashes, key id and signature.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Seal {
    /// The scheme: `v2`.
    pub scheme: String,
    /// The suite: 1 for HMAC-SHA256, 2 for Ed25519. `None` if the stored key id belongs to neither.
    pub suite: Option<u8>,
    /// The id of the key.
    pub kid: String,
    /// How the payload is stored.
    pub payload_mode: PayloadMode,
    /// The size of the payload in bytes.
    pub payload_size: u32,
    /// The hash of the payload.
    pub payload_hash: Hash,
    /// The hash of the metadata.
    pub metadata_hash: Hash,
    /// The hash of the previous event of the plan.
    pub prev: Hash,
    /// The hash of the event.
    pub hash: Hash,
    /// The signature in hex (suite 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The MAC in hex (suite 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// The fields of scheme v1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct V1 {
    /// The hash of the payload.
    pub payload_hash: String,
    /// The signature of the previous event of the plan, or `None` at seq 1.
    pub prev_hash: Option<String>,
    /// The signature.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Event;

    /// Returns an event as the API shows it.
    fn shown() -> Value {
        let hash = "ab".repeat(32);
        json!({
            "id": "0197f2a0-0000-7000-8000-000000000001", "tenant": "acme", "plan": "order-42", "seq": 7,
            "type": "payment.settled", "version": 1, "source": "urn:acme:orchestrator", "actor": "svc-settle",
            "occurred_at": "2026-11-20T10:00:00.000000Z", "recorded_at": "2026-11-20T10:00:00.123456Z",
            "correlation_id": null, "causation_id": null, "priority": "normal",
            "data": { "amount": "10.00" }, "metadata": { "reason": "…" },
            "seal": { "scheme": "v2", "suite": 2, "kid": "ed25519-0123456789abcdef", "payload_mode": "plain",
                      "payload_size": 18, "payload_hash": hash, "metadata_hash": hash, "prev": hash, "hash": hash,
                      "sig": "00" },
            "log_index": 1234
        })
    }

    #[test]
    fn an_event_deserialises_and_serialises_unchanged() {
        let event: Event = serde_json::from_value(shown()).expect("an event");
        assert_eq!(serde_json::to_value(&event).expect("JSON"), shown());

        let mut with_v1 = shown();
        with_v1["v1"] = json!({ "payload_hash": "ab", "prev_hash": null, "signature": "00" });
        with_v1["log_index"] = Value::Null;
        with_v1["later_addition"] = json!(true);
        let event: Event = serde_json::from_value(with_v1).expect("unknown members are ignored");
        assert_eq!((event.v1.expect("the event has v1 fields").prev_hash, event.log_index), (None, None));
    }

    /// `serde_json` takes objects with such a member for something else.
    #[test]
    fn any_name_of_a_member_is_kept() {
        for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
            for value in [json!("1"), json!(1), json!({ "a": [] })] {
                let (mut given, object) = (shown(), json!({ name: value }));
                (given["data"], given["metadata"]) = (object.clone(), json!({ "m": [object] }));
                let event: Event = serde_json::from_str(&given.to_string()).expect("an event");
                assert_eq!((&event.data, &event.metadata), (&given["data"], &given["metadata"]));
            }
        }
    }
}
