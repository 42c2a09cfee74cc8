//! The attributes of an event as message headers: `CloudEvents` 1.0 in binary mode, and W3C trace context.
//!
//! They are for people, tools and consumers that are not built on Sealbus. The seal does not cover them, and Sealbus
//! never reads them back. `CloudEvents` specifies no headers for NATS, so the rule of its HTTP binding is used, as in
//! other SDKs: each attribute is a header `ce-<name>`, in which a space, `"`, `%` and everything but printable ASCII is
//! percent-encoded as UTF-8.

use std::borrow::Cow;
use std::fmt::Write;

use async_nats::HeaderMap;
use sealbus_core::event::{PayloadMode, Record};
use serde::Deserialize;

/// The part of an event's metadata that becomes attributes.
#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    sealbus: BusMetadata<'a>,
}

/// The members that the bus itself adds to metadata.
#[derive(Deserialize, Default)]
#[serde(default)]
struct BusMetadata<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    deliver_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

/// Adds the attributes of an event to the headers of its message.
pub(crate) fn write(record: &Record, headers: &mut HeaderMap) {
    let header = &record.header;
    // Metadata that was tampered with may be unreadable. The message is sent without the attributes from it; each
    // consumer checks the seal and refuses it.
    let Metadata { sealbus: metadata } = if record.metadata.contains(r#""sealbus""#) {
        serde_json::from_str(&record.metadata).unwrap_or_default()
    } else {
        Metadata::default()
    };
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            headers.insert(name, percent_encoded(value));
        }
    };
    set("ce-specversion", "1.0");
    // A producer's id that is not a UUID is kept in metadata.
    set("ce-id", &metadata.id.as_deref().map_or_else(|| header.event_id.to_string(), str::to_owned));
    set("ce-source", if header.source.is_empty() { &header.origin } else { &header.source });
    set("ce-type", &header.event_type);
    set("ce-time", &header.occurred.to_string());
    set("ce-subject", &header.plan);
    set("ce-sequence", &header.seq.to_string());
    set("ce-tenantid", &header.tenant);
    set("ce-actor", &header.actor);
    set("ce-correlationid", &header.correlation_id);
    set("ce-causationid", &header.causation_id);
    set("ce-dataversion", &header.data_version.to_string());
    set("ce-priority", record.priority().as_str());
    set("ce-deliverby", metadata.deliver_by.as_deref().unwrap_or_default());
    if header.payload_mode != PayloadMode::HashOnly {
        set("ce-datacontenttype", metadata.content_type.as_deref().unwrap_or("application/json"));
    }
    set("traceparent", metadata.traceparent.as_deref().unwrap_or_default());
}

/// Returns text as a header value, percent-encoded as described for this module.
pub(crate) fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'%';
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn header_values_are_encoded_by_the_rule_of_the_http_binding() {
        // The example of the CloudEvents HTTP binding, then the characters at the limits of its rule.
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a!~#$&'()*+,/:;=?@[]"), "a!~#$&'()*+,/:;=?@[]");
        assert_eq!(percent_encoded("100% \"sure\"\r\n\u{7f}\u{85}"), "100%25%20%22sure%22%0D%0A%7F%C2%85");
    }
}
