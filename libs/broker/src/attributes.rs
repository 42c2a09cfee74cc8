//! The attributes of an event as message headers: `CloudEvents` 1.0 in binary mode, and W3C trace context.
//!
//! They are for people, tools and consumers that are not built on Sealbus. The seal does not cover them, and Sealbus
//! never reads them back. `CloudEvents` specifies no headers for NATS, so the rule of its HTTP binding is used, as in
//! other SDKs: each attribute is a header `ce-<name>`, encoded by [`header_value`].

use async_nats::HeaderMap;
use sealbus_core::cloudevents::header_value;
use sealbus_core::event::{PayloadMode, Record};
use serde::Deserialize;

/// The part of an event's metadata that becomes attributes.
#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    sealbus: BusMetadata,
}

/// The members that Sealbus itself adds to metadata.
#[derive(Deserialize, Default)]
#[serde(default)]
struct BusMetadata {
    id: Option<String>,
    content_type: Option<String>,
    deliver_by: Option<String>,
    traceparent: Option<String>,
}

/// Adds the attributes of an event to the headers of its message.
pub(crate) fn write(record: &Record, headers: &mut HeaderMap) {
    let header = &record.header;
    // Metadata that was tampered with may be unreadable. The message is sent without the attributes from it; each
    // consumer checks the seal and refuses it.
    let Metadata { sealbus: metadata } = serde_json::from_str(&record.metadata).unwrap_or_default();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            headers.insert(name, header_value(value));
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
