//! A request to publish an event: read strictly, checked member by member, and made into what the ledger appends.
//!
//! [`EventRequest`] is one event as its producer asks for it, whichever face it came through: the JSON form is read here,
//! CloudEvents in [`crate::cloudevents`]. [`EventRequest::prepare`] checks it against the catalog and gives a [`Draft`]:
//! canonical texts, their hashes, the event's id, and the text by which two requests with one id are compared. What the catalog
//! wants encrypted is a [`ToEncrypt`] first, until the data subject's key is at hand.

mod encrypt;
mod fields;
mod prepare;
mod read;

use serde_json::{Map, Value};

pub use self::encrypt::{Prepared, ToEncrypt};
pub(crate) use self::fields::{Fields, check_text};
pub use self::prepare::{Context, Draft, UnderKey};
pub use self::read::{Limits, check_count, read_body, read_value};
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::EventType;
use crate::timestamp::Timestamp;

/// An event as its producer asks for it. Every member is of its form; what depends on tenant, plan or catalog is not
/// checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRequest {
    /// What happened.
    pub event_type: EventType,
    /// Version of the type's data; none given: 1.
    pub version: Option<u32>,
    /// The producer's id: a UUID, or any text.
    pub id: Option<String>,
    /// Who produced it.
    pub source: Option<String>,
    /// Who did it, where that is not the token's owner.
    pub actor: Option<String>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// What it follows from.
    pub causation_id: Option<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// After when it is of no use.
    pub deliver_by: Option<Timestamp>,
    /// The producer's own members; never with one named `sealbus`.
    pub metadata: Option<Map<String, Value>>,
    /// What happened, in detail; null where there is none.
    pub content: Content,
}

/// The data of an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// JSON; of data that is not JSON, the string of its base64.
    pub data: Value,
    /// Whether `data` is such a string.
    pub base64: bool,
    /// The media type, unless it is application/json.
    pub content_type: Option<String>,
}

impl EventRequest {
    /// Reads the JSON form: an object of the members that INTERFACE names, and no other. A null member is an absent one.
    ///
    /// # Errors
    /// `invalid_field` or `invalid_name`, with a pointer from the object.
    pub fn from_json(value: Value) -> Result<Self, Refused> {
        let Value::Object(members) = value else {
            return Err(Refused::field(ErrorKind::InvalidField, "", "type", "an event is an object"));
        };
        let mut fields = Fields::new(members);
        let request = Self {
            event_type: fields.event_type("type")?,
            version: fields.version("version")?,
            id: fields.text("id", 1024)?,
            source: fields.text("source", 1024)?,
            actor: fields.text("actor", 255)?,
            occurred_at: fields.time("occurred_at")?,
            correlation_id: fields.text("correlation_id", 255)?,
            causation_id: fields.text("causation_id", 255)?,
            priority: fields.priority("priority")?,
            deliver_by: fields.time("deliver_by")?,
            metadata: fields.metadata("metadata")?,
            content: Content { data: fields.take("data").unwrap_or_default(), ..Content::default() },
        };
        fields.end()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
