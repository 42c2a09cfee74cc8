//! CloudEvents 1.0 as requests and as answers (docs/spec/interface.md#cloudevents).
//!
//! The attributes of a `CloudEvent` correspond to the members of an event:
//!
//! | CloudEvents | Sealbus |
//! |---|---|
//! | `id`, `source`, `type`, `data` | the same; an event without a source is answered with the origin as source |
//! | `subject` · `time` · `datacontenttype` | plan · `occurred_at` · `metadata.sealbus.content_type` |
//! | `tenantid` `actor` `correlationid` `causationid` `dataversion` `priority` `deliverby` `traceparent` | the members of these names |
//! | `sequence` (answers only) | seq |
//! | other extensions | metadata members of the same name |
//!
//! Structured mode is a JSON object, batch mode an array of them. Binary mode has the attributes as headers and the data as
//! body. Data that is not JSON is stored as a JSON string with its base64.

mod incoming;
mod outgoing;

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

pub use self::incoming::{Incoming, from_binary, from_structured};
pub use self::outgoing::{to_binary, to_structured};
use crate::canonical::{Node, Text};
use crate::event::View;
use crate::request::EventRequest;

/// The form of one `CloudEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A JSON object, alone or in a batch.
    Structured,
    /// Attributes as headers, the data as body.
    Binary,
}

/// Returns the request that a reader makes who publishes an event again as it is shown, or `None` if it cannot be read again.
pub fn shown_again(view: &View, mode: Mode) -> Option<Incoming> {
    match mode {
        Mode::Structured => from_structured(&to_structured(view, &[])).ok(),
        Mode::Binary => {
            let (headers, body) = to_binary(view);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let media_type = headers.iter().find(|(name, _)| *name == "content-type").map(|(_, value)| *value);
            from_binary(&headers, media_type, &body).ok()
        }
    }
}

/// Extension of an answer to a client that waited until the event was sealed: whether it is.
pub const SEALED: &str = "sealbussealed";
/// Extension of an answer to a client that waited until the event was sealed: its receipt, as text.
pub const RECEIPT: &str = "sealbusreceipt";

/// Returns an event without [`SEALED`] and [`RECEIPT`], which are no part of a stored event.
pub fn without_receipt(event: &Incoming) -> Cow<'_, Incoming> {
    let members = || event.request.metadata.iter().filter_map(|metadata| metadata.node().members()).flatten();
    let is_added = |name: &str| [SEALED, RECEIPT].contains(&name);
    if !members().any(|(name, _)| is_added(&name)) {
        return Cow::Borrowed(event);
    }
    let rest = members().filter(|(name, _)| !is_added(name)).map(|(name, value)| (name, value.text()));
    let metadata = Some(Text::object(rest)).filter(|metadata| *metadata != Text::empty_object());
    let request = EventRequest { metadata, ..event.request.clone() };
    Cow::Owned(Incoming { request, ..event.clone() })
}

/// Media type of structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of batch mode.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Prefix of the headers that hold attributes.
pub const HEADER_PREFIX: &str = "ce-";

/// The characters that a header value holds as `%XX` (HTTP binding of CloudEvents 1.0, section 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Returns whether a name consists of lower-case letters and digits, as those of attributes do.
fn is_attribute_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Returns whether content of a media type is JSON: of `application/json`, any other `…/json`, and `…+json`.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Returns a media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns whether a value is a string, a boolean or an integer, as those of attributes are.
fn is_attribute_value(value: Node<'_>) -> bool {
    value.string().is_some() || value.boolean().is_some() || value.number().is_some_and(|number| !number.is_f64())
}

/// Returns text as the value of a header: a space, `"`, `%` and everything but printable ASCII are percent-encoded as UTF-8.
pub fn header_value(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests;
