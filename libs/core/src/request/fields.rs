//! The members of a request, read one by one.

use std::borrow::Cow;
use std::str::FromStr;

use super::{Content, EventRequest};
use crate::canonical::{Node, Text, pointer_token};
use crate::error::{ErrorKind, Refused};
use crate::event::Priority;
use crate::names::{EventType, NameError};
use crate::timestamp::Timestamp;

/// The members of an object that have not been read yet. A null member counts as absent.
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Fields<'a> {
    /// Returns the members of an object, or `None` if the value is not an object.
    pub(crate) fn new(object: Node<'a>) -> Option<Self> {
        // Collected into a vector of the right size, since a caller decides how many members there are.
        let mut members = Vec::with_capacity(object.members()?.count());
        members.extend(object.members()?);
        Some(Self(members))
    }

    /// Takes a member of any type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.0.iter().position(|(member, _)| member == name)?;
        Some(self.0.remove(at).1).filter(|value| !value.is_null())
    }

    /// Takes a string of 1 to `max` bytes without control characters.
    pub(crate) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = value.string().ok_or_else(|| invalid(name, "type", "must be a string"))?;
        check_text(name, &text, max)?;
        Ok(Some(text.into_owned()))
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
        let value = self.take("type").ok_or_else(|| invalid("type", "required", "is required"))?;
        let text = value.string().ok_or_else(|| invalid("type", "type", "must be a string"))?;
        parse_name("type", &text)
    }

    /// Takes an integer from 1 to 2³¹ − 1. A string of digits is accepted too, because CloudEvents headers are strings.
    fn version(&mut self, name: &str) -> Result<Option<u32>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let digits = value.string().unwrap_or(Cow::Borrowed(value.text()));
        let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let version = number.and_then(|digits| digits.parse::<i32>().ok()).filter(|version| *version > 0);
        let version = version.ok_or_else(|| invalid(name, "range", "must be an integer from 1 to 2147483647"))?;
        Ok(Some(version.unsigned_abs()))
    }

    fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let refuse = || {
            invalid(name, "format", "must be an RFC 3339 time in the years 0001 to 9999, such as 2026-11-20T10:00:00Z")
        };
        let parse = |value: Node<'_>| value.string().and_then(|text| text.parse().ok()).ok_or_else(refuse);
        self.take(name).map(parse).transpose()
    }

    fn priority(&mut self) -> Result<Option<Priority>, Refused> {
        let refuse = || invalid("priority", "enum", "must be high, normal or low");
        let parse = |value: Node<'_>| value.string().and_then(|text| Priority::from_name(&text)).ok_or_else(refuse);
        self.take("priority").map(parse).transpose()
    }

    /// Takes an object without the reserved member `sealbus`.
    pub(crate) fn metadata(&mut self) -> Result<Option<Text>, Refused> {
        let Some(value) = self.take("metadata") else { return Ok(None) };
        let mut members = value.members().ok_or_else(|| invalid("metadata", "type", "must be an object"))?;
        if members.any(|(name, _)| name == "sealbus") {
            return Err(invalid("metadata/sealbus", "reserved", "is reserved"));
        }
        Ok(Some(value.into()))
    }

    /// Returns the remaining members.
    pub(crate) fn rest(self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        self.0
    }

    /// Refuses remaining members.
    pub(crate) fn end(self) -> Result<(), Refused> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(&pointer_token(name), "unknown", "unknown member of a publish request")),
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
