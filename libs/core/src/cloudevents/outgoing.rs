//! Events as CloudEvents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};

use super::{ENCODED, HEADER_PREFIX};
use crate::canonical::stored_matches;
use crate::event::{PayloadMode, Record, View, stored_json};

/// Names with a meaning of their own, which are never extensions of a producer.
const ATTRIBUTES: [&str; 19] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "data",
    "datacontenttype",
    "tenantid",
    "actor",
    "correlationid",
    "causationid",
    "dataversion",
    "priority",
    "deliverby",
    "traceparent",
    "sequence",
    "sealbus",
    "unopened",
];

/// Returns the attributes of an event in a fixed order, `specversion` first and extensions of the producer last.
///
/// `id` is the id that the producer gave, even if it is not a UUID. `datacontenttype` is left out if there is no data.
pub fn attributes(record: &Record) -> Vec<(String, Value)> {
    let header = &record.header;
    let metadata = metadata(record);
    let own = |name: &str| metadata.get("sealbus").and_then(|own| own.get(name)).and_then(Value::as_str);
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let mut attributes: Vec<(String, Value)> = Vec::with_capacity(20);
    let mut add = |name: &str, value: Option<Value>| attributes.extend(value.map(|value| (name.to_owned(), value)));
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    add("specversion", text("1.0"));
    add("id", Some(own("id").map_or_else(|| json!(header.event_id), Value::from)));
    add("source", text(&or(&header.source, &header.origin)));
    add("type", text(&header.event_type));
    add("subject", text(&header.plan));
    add("time", Some(json!(header.occurred)));
    let media_type = own("content_type").filter(|_| !is_envelope(record)).unwrap_or("application/json");
    add("datacontenttype", payload(record).map(|_| Value::from(media_type)));
    add("tenantid", text(&header.tenant));
    add("actor", text(&header.actor));
    add("correlationid", text(&header.correlation_id));
    add("causationid", text(&header.causation_id));
    add("dataversion", Some(json!(header.data_version)));
    add("priority", Some(json!(record.priority())));
    add("deliverby", own("deliver_by").map(Value::from));
    add("traceparent", own("traceparent").map(Value::from));
    add("sequence", Some(Value::from(header.seq.to_string())));
    attributes.extend(metadata.into_iter().filter(|(name, value)| is_extension(name, value)));
    attributes
}

/// Returns the attributes of an event as it is shown to a reader, including `unopened`.
fn view_attributes(view: &View) -> Vec<(String, Value)> {
    let mut attributes = attributes(&view.record);
    attributes.extend(view.unopened.map(|verdict| ("unopened".to_owned(), Value::from(verdict.as_str()))));
    attributes
}

/// Returns an event in structured mode, which is also an element of batch mode.
pub fn to_structured(view: &View) -> Value {
    let record = &view.record;
    let mut event: Map<_, _> = view_attributes(view).into_iter().collect();
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
    let headers = view_attributes(view).into_iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        if name == "datacontenttype" {
            return ("content-type".to_owned(), text);
        }
        (format!("{HEADER_PREFIX}{name}"), utf8_percent_encode(&text, ENCODED).to_string())
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
    match serde_json::from_str(&record.metadata) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Returns whether a metadata member can be an attribute.
fn is_extension(name: &str, value: &Value) -> bool {
    let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    named && !ATTRIBUTES.contains(&name) && (value.is_string() || value.is_boolean() || value.is_i64())
}
