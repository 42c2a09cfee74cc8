//! The members of a request, read one by one.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Content, EventRequest};
use crate::canonical::pointer_token;
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::{EventType, NameError};
use crate::timestamp::Timestamp;

/// The members of an object that have not been read yet. A null member counts as absent.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Takes a member of any type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string of 1 to `max` bytes without control characters.
    pub(crate) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => check_text(name, &text, max).map(|()| Some(text)),
            Some(_) => Err(invalid(name, "type", "must be a string")),
        }
    }

    /// Takes the members that the two forms of a request have in common. `names` are the names of the version, the time, the
    /// correlation id, the causation id and the time of delivery, which differ; the other names are the same.
    pub(crate) fn request(&mut self, names: [&str; 5], content: Content) -> Result<EventRequest, Refused> {
        let [version, occurred_at, correlation_id, causation_id, deliver_by] = names;
        Ok(EventRequest {
            event_type: self.event_type()?,
            version: self.version(version)?,
            id: self.text("id", 1024)?,
            source: self.text("source", 1024)?,
            actor: self.text("actor", 255)?,
            occurred_at: self.time(occurred_at)?,
            correlation_id: self.text(correlation_id, 255)?,
            causation_id: self.text(causation_id, 255)?,
            priority: self.priority()?,
            deliver_by: self.time(deliver_by)?,
            metadata: None,
            content,
        })
    }

    fn event_type(&mut self) -> Result<EventType, Refused> {
        match self.take("type") {
            None => Err(invalid("type", "required", "is required")),
            Some(Value::String(text)) => parse_name("type", &text),
            Some(_) => Err(invalid("type", "type", "must be a string")),
        }
    }

    /// Takes an integer from 1 to 2³¹ − 1. A string of digits is accepted too, because CloudEvents headers are strings.
    fn version(&mut self, name: &str) -> Result<Option<u32>, Refused> {
        let refuse = || invalid(name, "range", "must be an integer from 1 to 2147483647");
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
        };
        let version = number.and_then(|number| i32::try_from(number).ok()).filter(|version| *version > 0);
        version.map(|version| Some(version.unsigned_abs())).ok_or_else(refuse)
    }

    fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let refuse = || {
            invalid(name, "format", "must be an RFC 3339 time in the years 0001 to 9999, such as 2026-11-20T10:00:00Z")
        };
        let parse = |value: Value| value.as_str().and_then(|text| text.parse().ok()).ok_or_else(refuse);
        self.take(name).map(parse).transpose()
    }

    fn priority(&mut self) -> Result<Option<Priority>, Refused> {
        let refuse = || invalid("priority", "enum", "must be high, normal or low");
        let parse = |value: Value| value.as_str().and_then(Priority::from_name).ok_or_else(refuse);
        self.take("priority").map(parse).transpose()
    }

    /// Takes an object without the reserved member `sealbus`.
    pub(crate) fn metadata(&mut self) -> Result<Option<Map<String, Value>>, Refused> {
        match self.take("metadata") {
            None => Ok(None),
            Some(Value::Object(members)) if members.contains_key("sealbus") => {
                Err(invalid("metadata/sealbus", "reserved", "is reserved"))
            }
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(invalid("metadata", "type", "must be an object")),
        }
    }

    /// Returns the remaining members.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// Refuses remaining members.
    pub(crate) fn end(self) -> Result<(), Refused> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(&pointer_token(name), "unknown", "unknown member of a publish request")),
        }
    }
}

/// Checks a text that is sealed: 1 to `max` bytes without control characters.
pub(crate) fn check_text(name: &str, text: &str, max: usize) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(invalid(name, "minLength", "must not be empty; leave it out instead"));
    }
    if text.len() > max {
        return Err(invalid(name, "maxLength", format!("must be at most {max} bytes of UTF-8")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "pattern", "must not contain control characters"));
    }
    Ok(())
}

/// Parses a name that the member `name` has.
pub(crate) fn parse_name<T: FromStr<Err = NameError>>(name: &str, text: &str) -> Result<T, Refused> {
    let refuse =
        |error: NameError| Refused::field(ErrorKind::InvalidName, format!("/{name}"), "name", error.to_string());
    text.parse().map_err(refuse)
}

/// Returns the refusal of the member `name`.
pub(crate) fn invalid(name: &str, rule: &str, detail: impl Into<String>) -> Refused {
    Refused::field(ErrorKind::InvalidField, format!("/{name}"), rule, detail)
}
