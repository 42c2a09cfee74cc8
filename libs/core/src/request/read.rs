//! Reading request bodies with the strict JSON reader, within the limits of a call.

use serde_json::Value;

use super::EventRequest;
use crate::canonical;
use crate::error::{ErrorKind, Refused};

/// Depth of the data of an event in a body: inside an array and an event.
const LEVELS_AROUND_DATA: usize = 2;

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

/// Reads a body as a JSON value.
///
/// # Errors
/// `too_large` if the body exceeds its limit, or a code of the strict reader.
pub fn read_value(body: &[u8], limits: &Limits) -> Result<Value, Refused> {
    if body.len() > limits.body_bytes {
        let detail = format!("the body has {} bytes; the limit is {}", body.len(), limits.body_bytes);
        return Err(Refused::new(ErrorKind::TooLarge, detail));
    }
    let reader = canonical::Limits { bytes: limits.body_bytes, depth: canonical::MAX_DEPTH + LEVELS_AROUND_DATA };
    canonical::read(body, reader).map_err(|refused| refused.in_request(""))
}

/// Reads the events of a body in JSON form; the flag is true if the body is an array.
///
/// # Errors
/// The errors of [`read_value`] and [`EventRequest::from_json`]; `invalid_field` for an empty array, and `too_large` for an array
/// of too many events.
pub fn read_body(body: &[u8], limits: &Limits) -> Result<(Vec<EventRequest>, bool), Refused> {
    match read_value(body, limits)? {
        Value::Array(values) => {
            check_count(values.len(), limits)?;
            let read =
                |(index, value)| EventRequest::from_json(value).map_err(|refused| refused.within(&format!("/{index}")));
            Ok((values.into_iter().enumerate().map(read).collect::<Result<_, _>>()?, true))
        }
        value => Ok((vec![EventRequest::from_json(value)?], false)),
    }
}

/// Checks the number of events in an array.
///
/// # Errors
/// `invalid_field` for an empty array, `too_large` for too many events.
pub fn check_count(events: usize, limits: &Limits) -> Result<(), Refused> {
    if events == 0 {
        return Err(Refused::field(ErrorKind::InvalidField, "", "minItems", "an array must have at least one event"));
    }
    if events > limits.events {
        let detail = format!("the array has {events} events; the limit is {}", limits.events);
        return Err(Refused::new(ErrorKind::TooLarge, detail));
    }
    Ok(())
}
