//! An event's attributes as headers: `CloudEvents` 1.0 in binary mode, and W3C trace context.
//!
//! They are for people, tools and consumers that are not built on Sealbus: the seal covers none of them as such, and Sealbus
//! reads none of them back. `CloudEvents` writes no NATS binding with headers down; what stands here is HTTP's rule, which
//! other SDKs use too: each attribute is a header `ce-<name>`, and what is not printable ASCII, a space, `"` and `%` are
//! percent-encoded as UTF-8.

use std::borrow::Cow;
use std::fmt::Write;

use async_nats::HeaderMap;
use sealbus_core::event::{PayloadMode, Record};
use serde::Deserialize;

/// The bus's own members of metadata that are attributes.
#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    sealbus: Own<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Own<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    deliver_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

pub(crate) fn write(record: &Record, headers: &mut HeaderMap) {
    let header = &record.header;
    // Metadata that somebody spoiled has no attributes; its message goes all the same, and fails at whoever checks it.
    let Metadata { sealbus: own } = if record.metadata.contains(r#""sealbus""#) {
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
    // The producer's own where it gave one that is no UUID, as over HTTP.
    set("ce-id", &own.id.as_deref().map_or_else(|| header.event_id.to_string(), str::to_owned));
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
    set("ce-deliverby", own.deliver_by.as_deref().unwrap_or_default());
    if header.payload_mode != PayloadMode::HashOnly {
        set("ce-datacontenttype", own.content_type.as_deref().unwrap_or("application/json"));
    }
    set("traceparent", own.traceparent.as_deref().unwrap_or_default());
}

/// Text as a header's value.
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
    fn encodes_by_the_http_bindings_rule() {
        // The example of CloudEvents' HTTP binding, and the characters around its limits.
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a!~#$&'()*+,/:;=?@[]"), "a!~#$&'()*+,/:;=?@[]");
        assert_eq!(percent_encoded("100% \"sure\"\r\n\u{7f}\u{85}"), "100%25%20%22sure%22%0D%0A%7F%C2%85");
    }
}
