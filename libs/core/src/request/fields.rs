//! Members of a request, taken one by one as what they have to be.

use serde_json::{Map, Value};

use crate::canonical::pointer_token;
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::EventType;
use crate::timestamp::Timestamp;

/// What has not been taken yet of an object. A null member counts as absent.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A member, whatever it is.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A string of 1 to `max` bytes without control characters.
    pub(crate) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => check_text(name, &text, max).map(|()| Some(text)),
            Some(_) => Err(invalid(name, "type", "is a string")),
        }
    }

    pub(crate) fn event_type(&mut self, name: &str) -> Result<EventType, Refused> {
        match self.take(name) {
            None => Err(invalid(name, "required", "is required")),
            Some(Value::String(text)) => EventType::parse(&text)
                .map_err(|error| Refused::field(ErrorKind::InvalidName, pointer(name), "name", error.to_string())),
            Some(_) => Err(invalid(name, "type", "is a string")),
        }
    }

    /// A whole number from 1 to 2³¹ − 1, in digits as a string too where CloudEvents carries it so.
    pub(crate) fn version(&mut self, name: &str) -> Result<Option<u32>, Refused> {
        let refuse = || invalid(name, "range", "is a whole number from 1 to 2147483647");
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
            invalid(name, "format", "is a time by RFC 3339, such as 2026-11-20T10:00:00Z, of the years 0001 to 9999")
        };
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Timestamp::parse(&text).map(Some).map_err(|_| refuse()),
            Some(_) => Err(refuse()),
        }
    }

    pub(crate) fn priority(&mut self, name: &str) -> Result<Option<Priority>, Refused> {
        let refuse = || invalid(name, "enum", "is high, normal or low");
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| refuse()),
            Some(_) => Err(refuse()),
        }
    }

    /// An object without the member that is the bus's own.
    pub(crate) fn metadata(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) if members.contains_key("sealbus") => {
                Err(invalid(&format!("{name}/sealbus"), "reserved", "is the bus's own"))
            }
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(invalid(name, "type", "is an object")),
        }
    }

    /// What is left.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// Refuses what is left.
    pub(crate) fn end(self) -> Result<(), Refused> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(&pointer_token(name), "unknown", "is no member of a publish request")),
        }
    }
}

/// Text that the seal can hold: 1 to `max` bytes without control characters.
pub(crate) fn check_text(name: &str, text: &str, max: usize) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(invalid(name, "minLength", "is not empty: leave it out where there is none"));
    }
    if text.len() > max {
        return Err(invalid(name, "maxLength", format!("is at most {max} bytes of UTF-8")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "pattern", "has no control characters"));
    }
    Ok(())
}

fn invalid(name: &str, rule: &str, detail: impl Into<String>) -> Refused {
    Refused::field(ErrorKind::InvalidField, pointer(name), rule, detail)
}

fn pointer(name: &str) -> String {
    format!("/{name}")
}
