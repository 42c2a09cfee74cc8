//! The JSON form in which an event is shown (`docs/spec/interface.md#event`).

use sealbus_core::event::{PayloadMode, Priority, Record, V1};
use sealbus_core::seal::KeyId;
use serde_json::{Value, json};

use crate::common::chain::{keyring, next};

fn record() -> Record {
    next(&keyring(1).signer().unwrap(), "acme", "order-42", None, &json!({ "amount": "10.00", "big": 1e21 }))
}

#[test]
fn a_record_is_shown_with_exactly_these_members() {
    let record = Record { log_index: Some(1234), ..record() };
    let header = &record.header;
    assert_eq!(
        record.to_json(),
        json!({
            "id": header.event_id.to_string(), "tenant": "acme", "plan": "order-42", "seq": 1,
            "type": "case.step", "version": 1, "source": "urn:test", "actor": "tester",
            "occurred_at": "2026-11-20T10:00:01.000000Z", "recorded_at": "2026-11-20T10:00:01.000000Z",
            "correlation_id": "c", "causation_id": null, "priority": "normal",
            "data": { "amount": "10.00", "big": 1e21 }, "metadata": { "sealbus": { "auth": "token" } },
            "seal": {
                "scheme": "v2", "suite": 2, "kid": header.kid.as_str(), "payload_mode": "plain",
                "payload_size": header.payload_size, "payload_hash": header.payload_hash.to_string(),
                "metadata_hash": header.metadata_hash.to_string(), "prev": header.prev.to_string(),
                "hash": record.event_hash.to_string(), "sig": hex::encode(&record.sig),
            },
            "log_index": 1234,
        })
    );
}

#[test]
fn absent_values_are_null_and_the_seal_of_the_other_suite_is_omitted() {
    let mut record = record();
    record.header.payload_mode = PayloadMode::HashOnly;
    record.payload = None;
    record.header.source.clear();
    (record.mac, record.sig) = (vec![1; 32], Vec::new());
    record.header.kid = KeyId::new("hmac-0123456789abcdef");
    let shown = record.to_json();
    assert_eq!((&shown["data"], &shown["source"], &shown["log_index"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!((&shown["seal"]["suite"], shown["seal"].get("sig")), (&json!(1), None));
    assert_eq!(shown["seal"]["mac"], "01".repeat(32));
    assert_eq!(shown.get("v1"), None);

    record.v1 = Some(V1 { payload_hash: "a".into(), prev_hash: None, signature: "b".into() });
    assert_eq!(record.to_json()["v1"], json!({ "payload_hash": "a", "prev_hash": null, "signature": "b" }));
}

#[test]
fn edited_text_is_shown_verbatim() {
    let mut record = record();
    record.payload = Some("1e999".into());
    record.metadata = "no JSON".into();
    let shown = record.to_json();
    assert_eq!((&shown["data"], &shown["metadata"]), (&json!("1e999"), &json!("no JSON")));
    assert_eq!(record.priority(), Priority::Normal);
}

#[test]
fn priority_is_read_from_the_member_sealbus() {
    let priority = |metadata: Value| Record { metadata: metadata.to_string(), ..record() }.priority();
    assert_eq!(priority(json!({ "sealbus": { "priority": "high" } })), Priority::High);
    assert_eq!(priority(json!({ "sealbus": { "priority": "low" }, "priority": "high" })), Priority::Low);
    assert_eq!(priority(json!({ "priority": "high" })), Priority::Normal);
    assert_eq!(priority(json!({ "sealbus": { "priority": "now" } })), Priority::Normal);
    assert_eq!(priority(json!(["priority", { "sealbus": 1 }])), Priority::Normal);
    // A database may spell the names with escapes.
    let escaped = r#"{"sealbus":{"prior\u0069ty":"high"}}"#.to_owned();
    assert_eq!(Record { metadata: escaped, ..record() }.priority(), Priority::High);
}
