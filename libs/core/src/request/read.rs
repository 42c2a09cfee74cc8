//! A body as JSON, by the strict reader and within the caps.

use serde_json::Value;

use super::EventRequest;
use crate::canonical;
use crate::error::{ErrorKind, Refused};

/// Levels of a body around the data of an event: an array, and the event.
const AROUND_DATA: usize = 2;

/// What one call may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Events of a call.
    pub events: usize,
    /// Bytes of the canonical data of an event; never above [`canonical::MAX_PAYLOAD`].
    pub event_bytes: usize,
    /// Members of objects, and elements of arrays, in data and metadata of an event, at all depths.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 4 * 1024 * 1024, events: 1_000, event_bytes: canonical::MAX_PAYLOAD, members: 16_384 }
    }
}

/// A body as a JSON value.
///
/// # Errors
/// `too_large` above the cap, or one of the strict reader's codes.
pub fn read_value(body: &[u8], limits: &Limits) -> Result<Value, Refused> {
    if body.len() > limits.body_bytes {
        return Err(Refused::new(
            ErrorKind::TooLarge,
            format!("the body is {} bytes, and the cap is {}", body.len(), limits.body_bytes),
        ));
    }
    let reader = canonical::Limits { bytes: limits.body_bytes, depth: canonical::MAX_DEPTH + AROUND_DATA };
    canonical::read(body, reader).map_err(|refused| refused.in_request(""))
}

/// The events of a body in the JSON form, and whether it was an array.
///
/// # Errors
/// What [`read_value`] and [`EventRequest::from_json`] refuse; `invalid_field` for an empty array, `too_large` for a long one.
pub fn read_body(body: &[u8], limits: &Limits) -> Result<(Vec<EventRequest>, bool), Refused> {
    match read_value(body, limits)? {
        Value::Array(values) => {
            check_count(values.len(), limits)?;
            let read =
                |(at, value)| EventRequest::from_json(value).map_err(|refused| refused.within(&format!("/{at}")));
            Ok((values.into_iter().enumerate().map(read).collect::<Result<_, _>>()?, true))
        }
        value => Ok((vec![EventRequest::from_json(value)?], false)),
    }
}

/// Refuses an array of no events, or of too many.
///
/// # Errors
/// `invalid_field`, `too_large`.
pub fn check_count(events: usize, limits: &Limits) -> Result<(), Refused> {
    if events == 0 {
        return Err(Refused::field(ErrorKind::InvalidField, "", "minItems", "an array holds at least one event"));
    }
    if events > limits.events {
        return Err(Refused::new(
            ErrorKind::TooLarge,
            format!("the array holds {events} events, and the cap is {}", limits.events),
        ));
    }
    Ok(())
}
