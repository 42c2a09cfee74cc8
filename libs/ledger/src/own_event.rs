//! Events that Sealbus writes itself, about what an operator or a role did.

use sealbus_core::canonical;
use sealbus_core::event::PayloadMode;
use sealbus_core::hash::Hash;
use sealbus_core::request::Draft;
use serde_json::json;
use uuid::Uuid;

/// Returns a draft with this type and canonical payload. `actor` is self-declared; only the database login authenticates it.
///
/// # Panics
/// If the payload has 4 GiB or more.
pub(crate) fn own_event(origin: &str, event_type: &str, actor: &str, payload: String) -> Draft {
    let event_id = Uuid::now_v7();
    Draft {
        event_id,
        event_type: event_type.to_owned(),
        data_version: 1,
        occurred: None,
        source: origin.to_owned(),
        actor: actor.to_owned(),
        correlation_id: String::new(),
        causation_id: String::new(),
        payload_mode: PayloadMode::Plain,
        payload_size: u32::try_from(payload.len()).expect("the payload is a short text of Sealbus, far below 4 GiB"),
        payload_hash: Hash::of(payload.as_bytes()),
        metadata: canonical::write(&json!({ "sealbus": { "auth": "none" } })),
        request: canonical::write(&json!({ "id": event_id.to_string(), "data": payload })),
        payload: Some(payload),
        encrypted: None,
    }
}

/// Returns whether an event can keep this text as the reason of an operator: 1 to 2,000 characters without U+0000.
pub(crate) fn is_reason(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 2_000 && !text.contains('\0')
}
