//! Publish requests: reading them, checking them, and preparing them for the ledger.
//!
//! [`EventRequest`] is the request for one event. This module reads its JSON form, and [`crate::cloudevents`] its CloudEvents
//! form. [`EventRequest::prepare`] checks it against the catalog and returns a [`Draft`] with the canonical texts, their hashes,
//! the event's id, and the text by which two requests with the same id are compared. An event whose type is encrypted becomes a
//! [`ToEncrypt`] first, which needs the key of the data subject.

mod encrypt;
mod fields;
mod key;
mod prepare;
mod read;

pub use self::encrypt::{Prepared, ToEncrypt};
pub(crate) use self::fields::{Fields, check_text, invalid, parse_name};
pub use self::key::EventKey;
pub use self::prepare::{Context, Draft, UnderKey};
pub use self::read::{
    Events, Limits, MEMORY_PER_BYTE, MEMORY_PER_CHECKED_PART, MEMORY_PER_EVENT, check_not_empty, read_body, read_one,
};
use crate::canonical::{Node, Text};
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::EventType;
use crate::timestamp::Timestamp;

/// The request for an event. The form of its members has been checked; rules that depend on the tenant, the plan or the catalog
/// have not.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRequest {
    /// Event type.
    pub event_type: EventType,
    /// Version of the type's data; 1 if it is not given.
    pub version: Option<u32>,
    /// Id given by the producer: a UUID or any other text.
    pub id: Option<String>,
    /// Producer of the event.
    pub source: Option<String>,
    /// Actor, if it is not the name of the token.
    pub actor: Option<String>,
    /// Time of the event.
    pub occurred_at: Option<Timestamp>,
    /// Id of the process to which the event belongs.
    pub correlation_id: Option<String>,
    /// Id of the event or command that caused the event.
    pub causation_id: Option<String>,
    /// Priority.
    pub priority: Option<Priority>,
    /// Time after which the event is useless.
    pub deliver_by: Option<Timestamp>,
    /// Metadata of the producer: an object without a member named `sealbus`.
    pub metadata: Option<Text>,
    /// Data of the event, or null if the request has no data.
    pub content: Content,
}

/// The data of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The data as JSON. Data that is not JSON is a string with its base64.
    pub data: Text,
    /// Whether `data` is such a string in base64.
    pub base64: bool,
    /// Media type, unless it is `application/json`.
    pub content_type: Option<String>,
}

impl Content {
    /// Returns the content of an event whose data is JSON.
    pub(crate) fn json(data: Option<Node<'_>>) -> Self {
        Self { data: data.map_or_else(Text::null, Text::from), base64: false, content_type: None }
    }
}

impl EventRequest {
    /// Reads the JSON form, an object of the members of docs/spec/interface.md#publish-request and no others. A null member
    /// counts as absent.
    ///
    /// # Errors
    /// `invalid_field` or `invalid_name`, with a pointer into the object.
    pub fn from_json(event: &Text) -> Result<Self, Refused> {
        let Some(mut fields) = Fields::new(event.node()) else {
            return Err(Refused::field(ErrorKind::InvalidField, "", "type", "an event must be an object"));
        };
        let content = Content::json(fields.take("data"));
        let names = ["version", "occurred_at", "correlation_id", "causation_id", "deliver_by"];
        let request = fields.request(names, content)?;
        let request = Self { metadata: fields.metadata()?, ..request };
        fields.end()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
