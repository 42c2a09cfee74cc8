//! Events as CloudEvents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{HEADER_PREFIX, header_value, is_attribute_name};
use crate::canonical::stored_matches;
use crate::event::{PayloadMode, Record, View, stored_json};

/// Returns the attributes of an event as it is shown to a reader, extensions of the producer last.
///
/// `id` is the id that the producer gave, even if it is not a UUID. `datacontenttype` is left out if there is no data.
fn attributes(view: &View) -> Vec<(String, Value)> {
    let record = &view.record;
    let header = &record.header;
    let metadata = metadata(record);
    let own = |name: &str| metadata.get("sealbus").and_then(|own| own.get(name)).and_then(Value::as_str);
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let media_type = own("content_type").filter(|_| !is_envelope(record)).unwrap_or("application/json");
    let attributes = [
        ("specversion", text("1.0")),
        ("id", Some(own("id").map_or_else(|| json!(header.event_id), Value::from))),
        ("source", text(&header.source).or_else(|| text(&header.origin))),
        ("type", text(&header.event_type)),
        ("subject", text(&header.plan)),
        ("time", Some(json!(header.occurred))),
        ("datacontenttype", payload(record).map(|_| Value::from(media_type))),
        ("tenantid", text(&header.tenant)),
        ("actor", text(&header.actor)),
        ("correlationid", text(&header.correlation_id)),
        ("causationid", text(&header.causation_id)),
        ("dataversion", Some(json!(header.data_version))),
        ("priority", Some(json!(record.priority()))),
        ("deliverby", own("deliver_by").map(Value::from)),
        ("traceparent", own("traceparent").map(Value::from)),
        ("sequence", Some(Value::from(header.seq.to_string()))),
        ("unopened", view.unopened.map(|verdict| Value::from(verdict.as_str()))),
        // These names are not attributes, but have a meaning of their own, so they are never extensions.
        ("data", None),
        ("sealbus", None),
    ];
    let names = attributes.each_ref().map(|(name, _)| *name);
    let is_extension = |(name, value): &(String, Value)| {
        let has_type = value.is_string() || value.is_boolean() || value.is_i64();
        has_type && is_attribute_name(name) && !names.contains(&name.as_str())
    };
    let present = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.chain(metadata.into_iter().filter(is_extension)).collect()
}

/// Returns an event in structured mode, which is also an element of batch mode.
pub fn to_structured(view: &View) -> Value {
    let record = &view.record;
    let mut event: Map<_, _> = attributes(view).into_iter().collect();
    if let Some(payload) = payload(record) {
        let member = if is_base64(record) { "data_base64" } else { "data" };
        event.insert(member.to_owned(), stored_json(payload));
    }
    Value::Object(event)
}

/// Returns an event in binary mode: its headers (`ce-…`, and `content-type` if there is data) with encoded values, and the bytes
/// of its data.
pub fn to_binary(view: &View) -> (Vec<(String, String)>, Vec<u8>) {
    let record = &view.record;
    let headers = attributes(view).into_iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        if name == "datacontenttype" {
            return ("content-type".to_owned(), text);
        }
        (format!("{HEADER_PREFIX}{name}"), header_value(&text))
    });
    let stored = payload(record).unwrap_or_default();
    let body = if is_base64(record) {
        // A payload that was tampered with may not be base64: the body is then empty, and verification reports the event.
        let text: String = serde_json::from_str(stored).unwrap_or_default();
        STANDARD.decode(text).unwrap_or_default()
    } else {
        stored.as_bytes().to_vec()
    };
    (headers.collect(), body)
}

/// Returns the stored payload, or `None` if only its hash is stored or the event has no data.
fn payload(record: &Record) -> Option<&str> {
    record.payload.as_deref().filter(|payload| *payload != "null")
}

fn is_base64(record: &Record) -> bool {
    !is_envelope(record) && metadata(record).get("sealbus").is_some_and(|own| own["encoding"] == "base64")
}

/// Returns whether the stored payload is the sealed envelope. Its media type differs from that of the data in it.
fn is_envelope(record: &Record) -> bool {
    let Record { header, payload, .. } = record;
    header.payload_mode == PayloadMode::Encrypted
        && payload.as_deref().is_some_and(|text| stored_matches(text, &header.payload_hash))
}

fn metadata(record: &Record) -> Map<String, Value> {
    serde_json::from_str(&record.metadata).unwrap_or_default()
}
