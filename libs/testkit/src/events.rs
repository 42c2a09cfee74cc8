//! Drafts of events, as a publisher hands them to the appender.

use sealbus_core::event::PayloadMode;
use sealbus_core::hash::Hash;
use sealbus_core::request::Draft;
use uuid::Uuid;

/// Returns an event of this type and canonical payload with a new id and empty metadata.
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
        payload_size: u32::try_from(payload.len()).expect("a test's payload fits a u32"),
        payload_hash: Hash::of(payload.as_bytes()),
        request: payload.clone(),
        payload: Some(payload),
        metadata: "{}".into(),
        encrypted: None,
    }
}

/// Returns an event of type `test.happened` with the payload `{"n": n}`.
pub fn numbered(n: u64) -> Draft {
    draft("test.happened", format!("{{\"n\":{n}}}"))
}
