//! Records in the bundle's form, and the patches that tamper with them.

use sealbus_core::{
    event::{Header, PayloadMode, Record, V1},
    seal::KeyId,
    timestamp::Timestamp,
};
use serde_json::{Value, json};

use super::{bytes, hash, text};

/// A record in the bundle's form. Hex that is malformed is no tampering of these cases.
pub fn record_of(origin: &str, record: &Value) -> Record {
    let number = |name: &str| record[name].as_u64().unwrap();
    let mode = [PayloadMode::Plain, PayloadMode::Encrypted, PayloadMode::HashOnly];
    let v1 = record["v1"].is_object().then(|| V1 {
        payload_hash: text(&record["v1"], "payload_hash").into(),
        prev_hash: record["v1"]["prev_hash"].as_str().map(str::to_owned),
        signature: text(&record["v1"], "signature").into(),
    });
    Record {
        header: Header {
            origin: origin.into(),
            tenant: text(record, "tenant").into(),
            plan: text(record, "plan").into(),
            seq: number("seq"),
            event_id: text(record, "event_id").parse().unwrap(),
            event_type: text(record, "type").into(),
            data_version: number("data_version").try_into().unwrap(),
            occurred: Timestamp::parse(text(record, "occurred")).unwrap(),
            recorded: Timestamp::parse(text(record, "recorded")).unwrap(),
            source: text(record, "source").into(),
            actor: text(record, "actor").into(),
            correlation_id: text(record, "correlation_id").into(),
            causation_id: text(record, "causation_id").into(),
            payload_mode: mode.into_iter().find(|mode| mode.as_str() == text(record, "payload_mode")).unwrap(),
            payload_size: number("payload_size").try_into().unwrap(),
            payload_hash: hash(record, "payload_hash"),
            metadata_hash: hash(record, "metadata_hash"),
            prev: hash(record, "prev"),
            kid: KeyId::new(text(record, "kid")),
        },
        event_hash: hash(record, "event_hash"),
        mac: bytes(record, "mac"),
        sig: bytes(record, "sig"),
        payload: record["payload"].as_str().map(str::to_owned),
        metadata: text(record, "metadata").into(),
        request_mac: Vec::new(),
        v1,
        log_index: record["log_index"].as_u64(),
    }
}

/// RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
