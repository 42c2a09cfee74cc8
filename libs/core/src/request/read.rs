//! Reading request bodies with the strict JSON reader, within the limits of a call.

use super::EventRequest;
use crate::canonical::{self, MAX_DEPTH, MAX_METADATA, Text, ValueLimits};
use crate::error::{ErrorKind, Refused};

/// Bytes that the canonical text of an event may have in addition to its data and metadata: its other members have less than
/// 4 KiB in a request.
const OTHER_BYTES: usize = 16_384;
/// Bytes of the longest escape that a byte of text has in a JSON string, such as `\u0001`.
const ESCAPED_BYTES: usize = 6;
/// Members that an event may have in addition to those in its data and metadata.
const OTHER_MEMBERS: usize = 32;

/// Bytes of memory that a byte of a body needs at most: the body itself, its requests while they are read, and the drafts that are
/// made of them. Each event needs [`MEMORY_PER_EVENT`] in addition.
///
/// `tests/reading_memory.rs` measures it over the bodies that need most. The most it has found is 7.8, for one event with numbers
/// such as `1e15`, whose canonical text has 17 bytes for 5 with the comma. Typical bodies need 3.
pub const MEMORY_PER_BYTE: usize = 10;

/// Bytes of memory that an event of a body needs at most, however short it is: its request, its draft, and what the bus adds to it.
pub const MEMORY_PER_EVENT: usize = 8_192;

/// Bytes of memory that a member or element of an event needs at most while the event is checked against its schema. A thread checks
/// one event at a time. The validator uses it for arrays and objects that a schema refers to by `$ref`.
pub const MEMORY_PER_CHECKED_PART: usize = 64;

/// The limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of bytes of a body.
    pub body_bytes: usize,
    /// Maximum number of events.
    pub events: usize,
    /// Maximum number of bytes of the canonical data of an event; at most [`canonical::MAX_PAYLOAD`].
    pub event_bytes: usize,
    /// Maximum number of members and elements in the data and metadata of an event, at all depths.
    pub members: usize,
}

impl Limits {
    /// Returns the limits of one event while it is read. They protect the reader; the limits of an event apply to it once it is
    /// read. A byte of data that is not JSON may be an escape of six bytes in a JSON string.
    fn of_events(&self) -> ValueLimits {
        ValueLimits {
            text: canonical::Limits { bytes: self.body_bytes, depth: MAX_DEPTH + 1 },
            bytes: ESCAPED_BYTES * self.event_bytes + MAX_METADATA + OTHER_BYTES,
            members: self.members + OTHER_MEMBERS,
        }
    }
}

/// The events of a body, each as canonical text. They are read one at a time.
///
/// An error refuses the whole body: the codes of the strict reader; `too_large` for too many events and for an event far beyond its
/// limits. A caller stops at the first one.
pub struct Events<'a> {
    texts: canonical::Values<'a>,
    left: usize,
    limit: usize,
}

impl<'a> Events<'a> {
    /// Begins to read a body, which is one event or an array.
    ///
    /// # Errors
    /// `too_large` if the body exceeds its limit, `json_utf8` if it is not text.
    pub fn new(body: &'a [u8], limits: &Limits) -> Result<Self, Refused> {
        if body.len() > limits.body_bytes {
            let detail = format!("the body has {} bytes; the limit is {}", body.len(), limits.body_bytes);
            return Err(Refused::new(ErrorKind::TooLarge, detail));
        }
        let texts = canonical::Values::new(body, limits.of_events()).map_err(|refused| refused.in_request(""))?;
        Ok(Self { texts, left: limits.events, limit: limits.events })
    }

    /// Returns whether the body is an array.
    pub fn is_array(&self) -> bool {
        self.texts.is_array()
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Text, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.texts.next()?;
        let Some(left) = self.left.checked_sub(1) else {
            let detail = format!("the array has more events than the limit of {}", self.limit);
            return Some(Err(Refused::new(ErrorKind::TooLarge, detail)));
        };
        self.left = left;
        Some(text.map_err(|refused| refused.in_request("")))
    }
}

/// Reads the events of a body in JSON form; the flag is true if the body is an array.
///
/// # Errors
/// The errors of [`Events`] and [`EventRequest::from_json`]; `invalid_field` for an empty array.
pub fn read_body(body: &[u8], limits: &Limits) -> Result<(Vec<EventRequest>, bool), Refused> {
    let events = Events::new(body, limits)?;
    let is_array = events.is_array();
    let read = |(index, text): (usize, Result<Text, Refused>)| {
        let request = EventRequest::from_json(&text?);
        if is_array { request.map_err(|refused| refused.within(&format!("/{index}"))) } else { request }
    };
    let requests: Vec<_> = events.enumerate().map(read).collect::<Result<_, _>>()?;
    check_not_empty(requests.len())?;
    Ok((requests, is_array))
}

/// Reads the event of a body that is no array, as canonical text.
///
/// # Errors
/// The errors of [`Events`]; `invalid_field` for an array.
pub fn read_one(body: &[u8], limits: &Limits) -> Result<Text, Refused> {
    let mut events = Events::new(body, limits)?;
    match events.next().filter(|_| !events.is_array()) {
        Some(event) => event,
        None => Err(Refused::field(ErrorKind::InvalidField, "", "type", "must be an object")),
    }
}

/// Refuses an array without events.
///
/// # Errors
/// `invalid_field`.
pub fn check_not_empty(events: usize) -> Result<(), Refused> {
    if events == 0 {
        return Err(Refused::field(ErrorKind::InvalidField, "", "minItems", "an array must have at least one event"));
    }
    Ok(())
}
