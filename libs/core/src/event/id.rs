//! Event ids.

use uuid::{Builder, Uuid};

use crate::event::FormatError;
use crate::event::header::is_text;
use crate::hash::Hash;
use crate::wire::lp;

const LABEL: &str = "sealbus/event-id/v2\n";

/// The id of an event, and the producer's id if that is not a UUID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventIdentity {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The external id: the producer's id, which is stored as `metadata.sealbus.id`. `None` if it is the UUID itself.
    pub external: Option<String>,
}

/// Returns the identity of an event whose producer gave it `id`.
///
/// A UUID of any version in lower-case 8-4-4-4-12 form is used as it is. Any other text of 1 to 1,024 bytes without control
/// characters becomes a `UUIDv8` from its hash together with tenant and source, so that the same id from two sources is two
/// events.
pub fn event_id(tenant: &str, source: &str, id: &str) -> Result<EventIdentity, FormatError> {
    if let Some(id) = plain_uuid(id) {
        return Ok(EventIdentity { id, external: None });
    }
    let fits = !id.is_empty() && is_text(id, 1024);
    FormatError::require("id", fits, "1 to 1,024 bytes without control characters")?;
    let mut named = LABEL.as_bytes().to_vec();
    for text in [tenant, source, id] {
        lp(&mut named, text.as_bytes());
    }
    let uuid = Builder::from_custom_bytes(Hash::of(&named).first()).into_uuid();
    Ok(EventIdentity { id: uuid, external: Some(id.to_owned()) })
}

/// Parses a UUID in lower-case 8-4-4-4-12 form, the only spelling of a UUID that is an event id itself ([`event_id`]).
pub fn plain_uuid(text: &str) -> Option<Uuid> {
    let plain = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if plain { Uuid::try_parse(text).ok() } else { None }
}
