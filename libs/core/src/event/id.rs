//! What an event is called by its producer, and the UUID that makes of it.

use uuid::{Builder, Uuid};

use crate::event::FormatError;
use crate::event::header::is_text;
use crate::hash::Hash;
use crate::wire::lp;

const LABEL: &str = "sealbus/event-id/v2\n";

/// An event's id, and the text it was made of where that was no UUID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventIdentity {
    /// Unique within the tenant.
    pub id: Uuid,
    /// The producer's own id, to be kept as `metadata.sealbus.id`; `None` where it was the UUID itself.
    pub foreign: Option<String>,
}

/// The identity of the event that its producer calls `id`.
///
/// A UUID in lower-case 8-4-4-4-12 form is itself, of any version. Any other text of 1 to 1,024 bytes without control
/// characters becomes the `UUIDv8` of its hash with tenant and source, so that one id of two sources is two events.
pub fn event_id(tenant: &str, source: &str, id: &str) -> Result<EventIdentity, FormatError> {
    if let Some(id) = plain_uuid(id) {
        return Ok(EventIdentity { id, foreign: None });
    }
    if id.is_empty() || !is_text(id, 1024) {
        return Err(FormatError::Field { field: "id", rule: "1 to 1,024 bytes without control characters" });
    }
    let mut named = LABEL.as_bytes().to_vec();
    for text in [tenant, source, id] {
        lp(&mut named, text.as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&Hash::of(&named).0[..16]);
    Ok(EventIdentity { id: Builder::from_custom_bytes(first).into_uuid(), foreign: Some(id.to_owned()) })
}

/// The UUID of this text, if it is one in lower-case 8-4-4-4-12 form.
pub(crate) fn plain_uuid(text: &str) -> Option<Uuid> {
    let plain = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain { Uuid::try_parse(text).ok() } else { None }
}
