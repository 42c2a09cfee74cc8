//! CloudEvents as publish requests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{HEADER_PREFIX, essence, is_attribute_name, is_attribute_value, is_json};
use crate::canonical::{self, Limits, Text, pointer_token};
use crate::error::{ErrorKind, Refused};
use crate::names::{Plan, Tenant};
use crate::request::{Content, EventRequest, Fields, check_text, invalid, parse_name};

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
/// `invalid_field` and `invalid_name`, with pointers into the object, and the codes of the strict reader for JSON in base64.
pub fn from_structured(event: &Text) -> Result<Incoming, Refused> {
    let Some(mut fields) = Fields::new(event.node()) else {
        return Err(Refused::field(ErrorKind::InvalidField, "", "type", "a CloudEvent must be an object"));
    };
    let media_type = fields.text("datacontenttype", 255)?;
    let is_json = media_type.as_deref().is_none_or(is_json);
    let content = match (fields.take("data"), fields.take("data_base64")) {
        (Some(_), Some(_)) => {
            return Err(invalid("data_base64", "exclusive", "set either data or data_base64, not both"));
        }
        (Some(data), None) if !is_json => {
            let text = data.string();
            let text =
                text.ok_or_else(|| invalid("data", "type", "must be a string, because datacontenttype is not JSON"))?;
            base64(&STANDARD.encode(&*text))
        }
        (data, None) => Content::json(data),
        (None, Some(data)) => {
            let refuse = || invalid("data_base64", "contentEncoding", "must be a string in base64 with padding");
            let text = data.string().ok_or_else(refuse)?;
            let bytes = STANDARD.decode(&*text).map_err(|_| refuse())?;
            // Without a media type the bytes can be of any kind.
            if is_json && media_type.is_some() { json(&bytes, "/data_base64")? } else { base64(&text) }
        }
    };
    event_of(fields, Content { content_type: media_type.as_deref().and_then(stored_type), ..content })
}

/// Reads a `CloudEvent` in binary mode: attributes as `ce-` headers (names in any case), and the data as body.
///
/// # Errors
/// The errors of [`from_structured`], and the codes of the strict reader if the body is JSON.
pub fn from_binary(headers: &[(&str, &str)], media_type: Option<&str>, body: &[u8]) -> Result<Incoming, Refused> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let Some(name) = name.strip_prefix(HEADER_PREFIX) else { continue };
        if ["data", "datacontenttype"].contains(&name) {
            return Err(invalid(name, "attribute", "is not a header of binary mode"));
        }
        if attributes.insert(name.to_owned(), Text::string(&header_text(name, value)?)).is_some() {
            return Err(invalid(name, "unique", "must be given only once"));
        }
    }
    if let Some(media_type) = media_type {
        check_text("content-type", media_type, 255)?;
    }
    let content = if body.is_empty() {
        Content::json(None)
    } else if media_type.is_none_or(is_json) {
        json(body, "/data")?
    } else {
        base64(&STANDARD.encode(body))
    };
    let attributes = Text::object(attributes.iter().map(|(name, value)| (name.into(), value.as_str())));
    let fields = Fields::new(attributes.node()).expect("the attributes are an object");
    event_of(fields, Content { content_type: media_type.and_then(stored_type), ..content })
}

/// Returns the text that the value of a header means (HTTP binding of CloudEvents 1.0, section 3.1.3.2): quotes around it and the
/// backslashes between them are removed, and then percent-encoding is decoded once.
fn header_text(name: &str, value: &str) -> Result<String, Refused> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = quoted.map_or(Cow::Borrowed(value), |quoted| Cow::Owned(unescape(quoted)));
    let text = percent_decode_str(&plain).decode_utf8();
    let text = text.map_err(|_| {
        invalid(name, "utf8", "must be UTF-8, with characters other than printable ASCII percent-encoded")
    })?;
    Ok(text.into_owned())
}

/// Removes the backslash of each pair of a backslash and a character.
fn unescape(quoted: &str) -> String {
    let mut characters = quoted.chars();
    let mut text = String::with_capacity(quoted.len());
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.next() } else { None };
        text.push(escaped.unwrap_or(character));
    }
    text
}

/// Returns bytes that have to be JSON as content. `at` is the pointer to them in a refusal.
fn json(bytes: &[u8], at: &str) -> Result<Content, Refused> {
    let data = canonical::part(bytes, Limits::PAYLOAD).map_err(|refused| refused.in_request(at))?;
    Ok(Content { data, base64: false, content_type: None })
}

/// Returns bytes in base64 as content.
fn base64(text: &str) -> Content {
    Content { data: Text::string(text), base64: true, content_type: None }
}

/// Reads the attributes that all modes have in common. The remaining ones are extensions.
fn event_of(mut fields: Fields<'_>, content: Content) -> Result<Incoming, Refused> {
    match fields.take("specversion") {
        Some(version) if version.text() == "\"1.0\"" => {}
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
fn extensions(fields: Fields<'_>) -> Result<Option<Text>, Refused> {
    let mut extensions = fields.rest();
    extensions.retain(|(_, value)| !value.is_null());
    for (name, value) in &extensions {
        let pointer = pointer_token(name);
        if !is_attribute_name(name) {
            return Err(invalid(&pointer, "attribute", "attribute names must be lower-case letters and digits"));
        }
        if name == "sealbus" {
            return Err(invalid(&pointer, "reserved", "is reserved"));
        }
        if !is_attribute_value(*value) {
            return Err(invalid(&pointer, "type", "must be a string, an integer or a boolean"));
        }
    }
    let members = extensions.into_iter().map(|(name, value)| (name, value.text()));
    Ok(Some(Text::object(members)).filter(|metadata| *metadata != Text::empty_object()))
}

/// Returns the media type that is stored with the event: `None` for `application/json`, whatever its parameters.
fn stored_type(media_type: &str) -> Option<String> {
    (essence(media_type) != "application/json").then(|| media_type.to_owned())
}
