//! The members of a request, read one by one.

use serde_json::{Map, Value};

use crate::canonical::pointer_token;
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::EventType;
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

    pub(crate) fn event_type(&mut self, name: &str) -> Result<EventType, Refused> {
        match self.take(name) {
            None => Err(invalid(name, "required", "is required")),
            Some(Value::String(text)) => EventType::parse(&text)
                .map_err(|error| Refused::field(ErrorKind::InvalidName, pointer(name), "name", error.to_string())),
            Some(_) => Err(invalid(name, "type", "must be a string")),
        }
    }

    /// Takes an integer from 1 to 2³¹ − 1. A string of digits is accepted too, because CloudEvents headers are strings.
    pub(crate) fn version(&mut self, name: &str) -> Result<Option<u32>, Refused> {
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

    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let refuse = || {
            invalid(name, "format", "must be an RFC 3339 time in the years 0001 to 9999, such as 2026-11-20T10:00:00Z")
        };
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Timestamp::parse(&text).map(Some).map_err(|_| refuse()),
            Some(_) => Err(refuse()),
        }
    }

    pub(crate) fn priority(&mut self, name: &str) -> Result<Option<Priority>, Refused> {
        let refuse = || invalid(name, "enum", "must be high, normal or low");
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| refuse()),
            Some(_) => Err(refuse()),
        }
    }

    /// Takes an object without the reserved member `sealbus`.
    pub(crate) fn metadata(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) if members.contains_key("sealbus") => {
                Err(invalid(&format!("{name}/sealbus"), "reserved", "is reserved"))
            }
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(invalid(name, "type", "must be an object")),
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

fn invalid(name: &str, rule: &str, detail: impl Into<String>) -> Refused {
    Refused::field(ErrorKind::InvalidField, pointer(name), rule, detail)
}

fn pointer(name: &str) -> String {
    format!("/{name}")
}
