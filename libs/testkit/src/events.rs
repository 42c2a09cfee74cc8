//! Events to append, as the publisher would have prepared them.

use sealbus_core::event::PayloadMode;
use sealbus_core::hash::Hash;
use sealbus_core::request::Draft;
use uuid::Uuid;

/// An event of a type with this canonical payload, a fresh id, and no metadata. Two of equal payload and id are one request.
pub fn draft(event_type: &str, payload: impl Into<String>) -> Draft {
    let payload = payload.into();
    Draft {
        event_id: Uuid::now_v7(),
        event_type: event_type.into(),
        data_version: 1,
        occurred: None,
        source: "urn:test".into(),
        actor: "tester".into(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).expect("a test's payload is small"),
        payload_hash: Hash::of(payload.as_bytes()),
        request: payload.clone(),
        payload: Some(payload),
        metadata: "{}".into(),
        encrypted: None,
    }
}

/// An event of type `test.happened` that says `n`.
pub fn numbered(n: u64) -> Draft {
    draft("test.happened", format!("{{\"n\":{n}}}"))
}
