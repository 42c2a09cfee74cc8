//! CloudEvents as publish requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{HEADER_PREFIX, is_attribute_name};
use crate::canonical::pointer_token;
use crate::error::{ErrorKind, Refused};
use crate::names::{Plan, Tenant};
use crate::request::{Content, EventRequest, Fields, Limits, check_text, invalid, parse_name, read_value};

/// A received `CloudEvent`: a publish request, and what the JSON form states outside of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// `tenantid`, if given.
    pub tenant: Option<Tenant>,
    /// `subject`.
    pub plan: Plan,
    /// `traceparent`, if given.
    pub traceparent: Option<String>,
    /// The event.
    pub request: EventRequest,
}

/// Reads a `CloudEvent` in structured mode: an object of attributes with `data` or `data_base64`.
///
/// # Errors
/// `invalid_field` and `invalid_name`, with pointers into the object.
pub fn from_structured(value: Value) -> Result<Incoming, Refused> {
    let Value::Object(members) = value else {
        return Err(Refused::field(ErrorKind::InvalidField, "", "type", "a CloudEvent must be an object"));
    };
    let mut fields = Fields::new(members);
    let content_type = fields.text("datacontenttype", 255)?;
    let json = content_type.as_deref().is_none_or(is_json);
    let (data, base64) = match (fields.take("data"), fields.take("data_base64")) {
        (Some(_), Some(_)) => {
            return Err(invalid("data_base64", "exclusive", "set either data or data_base64, not both"));
        }
        (Some(Value::String(text)), None) if !json => (Value::String(STANDARD.encode(text)), true),
        (Some(_), None) if !json => {
            return Err(invalid("data", "type", "must be a string, because datacontenttype is not JSON"));
        }
        (Some(data), None) => (data, false),
        (None, Some(Value::String(text))) if STANDARD.decode(&text).is_ok() => (Value::String(text), true),
        (None, Some(_)) => {
            return Err(invalid("data_base64", "contentEncoding", "must be a string in base64 with padding"));
        }
        (None, None) => (Value::Null, false),
    };
    event(fields, Content { data, base64, content_type: content_type.as_deref().and_then(stored_type) })
}

/// Reads a `CloudEvent` in binary mode: attributes as `ce-` headers (names in any case), and the data as body.
///
/// # Errors
/// The errors of [`from_structured`], and the codes of the strict reader if the body is JSON.
pub fn from_binary(
    headers: &[(&str, &str)],
    content_type: Option<&str>,
    body: &[u8],
    limits: &Limits,
) -> Result<Incoming, Refused> {
    let mut attributes = Map::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let Some(name) = name.strip_prefix(HEADER_PREFIX) else { continue };
        let value = percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| {
            invalid(name, "utf8", "must be UTF-8, with characters other than printable ASCII percent-encoded")
        })?;
        if attributes.insert(name.to_owned(), Value::String(value.into_owned())).is_some() {
            return Err(invalid(name, "unique", "must be given only once"));
        }
    }
    if let Some(content_type) = content_type {
        check_text("content-type", content_type, 255)?;
    }
    let (data, base64) = if body.is_empty() {
        (Value::Null, false)
    } else if content_type.is_none_or(is_json) {
        (read_value(body, limits)?, false)
    } else {
        (Value::String(STANDARD.encode(body)), true)
    };
    event(Fields::new(attributes), Content { data, base64, content_type: content_type.and_then(stored_type) })
}

/// Returns whether content of a media type is JSON: of `application/json`, any other `…/json`, and `…+json`.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Reads the attributes that all modes have in common. The remaining ones are extensions.
fn event(mut fields: Fields, content: Content) -> Result<Incoming, Refused> {
    match fields.take("specversion") {
        Some(Value::String(version)) if version == "1.0" => {}
        _ => return Err(invalid("specversion", "const", "must be 1.0")),
    }
    let subject = fields.text("subject", 1024)?;
    let subject = subject.ok_or_else(|| invalid("subject", "required", "is required, because it names the plan"))?;
    let plan = parse_name("subject", &subject)?;
    let tenant = fields.text("tenantid", 255)?.map(|tenant| parse_name("tenantid", &tenant)).transpose()?;
    let traceparent = fields.text("traceparent", 255)?;
    let names = ["dataversion", "time", "correlationid", "causationid", "deliverby"];
    let request = fields.request(names, content)?;
    let request = EventRequest { metadata: extensions(fields)?, ..request };
    Ok(Incoming { tenant, plan, traceparent, request })
}

/// Returns the remaining attributes as metadata. Names must consist of lower-case letters and digits, and values must be of a
/// type that attributes can have.
fn extensions(fields: Fields) -> Result<Option<Map<String, Value>>, Refused> {
    let mut metadata = Map::new();
    for (name, value) in fields.rest() {
        let pointer = pointer_token(&name);
        if !is_attribute_name(&name) {
            return Err(invalid(&pointer, "attribute", "attribute names must be lower-case letters and digits"));
        }
        if name == "sealbus" {
            return Err(invalid(&pointer, "reserved", "is reserved"));
        }
        let fits = match &value {
            Value::Null => continue,
            Value::String(_) | Value::Bool(_) => true,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::Array(_) | Value::Object(_) => false,
        };
        if !fits {
            return Err(invalid(&pointer, "type", "must be a string, an integer or a boolean"));
        }
        metadata.insert(name, value);
    }
    Ok((!metadata.is_empty()).then_some(metadata))
}

/// Returns the media type that is stored with the event: `None` for `application/json`, whatever its parameters.
fn stored_type(media_type: &str) -> Option<String> {
    (essence(media_type) != "application/json").then(|| media_type.to_owned())
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
