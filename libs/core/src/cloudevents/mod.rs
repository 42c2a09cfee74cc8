//! CloudEvents 1.0, in and out: attributes and our members are the same things by other names.
//!
//! | CloudEvents | Sealbus |
//! |---|---|
//! | `id`, `source`, `type`, `data` | the same; out, an event without a source has the origin as its source |
//! | `subject` · `time` · `datacontenttype` | plan · `occurred_at` · `metadata.sealbus.content_type` |
//! | `tenantid` `actor` `correlationid` `causationid` `dataversion` `priority` `deliverby` `traceparent` | the members of those names |
//! | `sequence` (out only) | seq |
//! | any other extension | a metadata member of its name |
//!
//! Structured mode is one JSON object, batch an array of them, binary mode attributes as headers with the data as body.
//! Data that is not JSON is kept as the JSON string of its base64.

mod incoming;
mod outgoing;

use percent_encoding::{AsciiSet, CONTROLS};

pub use self::incoming::{Incoming, from_binary, from_structured, is_json};
pub use self::outgoing::{attributes, to_binary, to_structured};

/// Media type of structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of batch mode.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// What attributes are called as headers, before their own name.
pub const HEADER_PREFIX: &str = "ce-";

/// What a header value holds only as `%XX`: HTTP binding of CloudEvents 1.0, 3.1.3.2.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

#[cfg(test)]
mod tests;
