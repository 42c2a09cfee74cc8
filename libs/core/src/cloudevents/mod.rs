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

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

pub use self::incoming::{Incoming, from_binary, from_structured, is_json};
pub use self::outgoing::{to_binary, to_structured};

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

/// Returns text as the value of a header: a space, `"`, `%` and everything but printable ASCII are percent-encoded as UTF-8.
pub fn header_value(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests;
