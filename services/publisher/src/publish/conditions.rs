//! The headers of a publish request that apply to all of its events.

use axum::http::{HeaderMap, header};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::request::{EventKey, EventRequest};
use sealbus_ledger::append::Expect;

use crate::http::{parse_number, single_header};
use crate::publish::Publication;

/// The maximum length of an idempotency key, in bytes.
const MAX_KEY_LENGTH: usize = 200;

/// The headers of a publish request that apply to all of its events.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// The expected head of the plan, from `If-Match` or `If-None-Match`.
    pub expect: Expect,
    /// The `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The `traceparent`, if it is valid.
    pub traceparent: Option<String>,
}

impl Conditions {
    /// Reads the headers.
    ///
    /// # Errors
    /// `invalid_field` with the name of the invalid header.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let key = single_header(headers, "idempotency-key")?;
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_LENGTH) {
            let detail = format!("must be 1 to {MAX_KEY_LENGTH} characters");
            return Err(Refused::field(ErrorKind::InvalidField, "Idempotency-Key", "length", detail));
        }
        let traceparent = single_header(headers, "traceparent")?.filter(|text| is_traceparent(text));
        Ok(Self { expect: expected_head(headers)?, idempotency_key: key, traceparent })
    }

    /// Returns an event of the request as it is published. `place` is its index and the number of events, if the request
    /// contains an array: each event of an array gets an idempotency key of its own.
    pub(crate) fn publication(&self, place: Option<(usize, usize)>, request: EventRequest) -> Publication {
        let key_of_event = |key: &String| match place {
            None => EventKey::of_one(key),
            Some((index, events)) => EventKey::of_array(key, index, events),
        };
        Publication {
            index: place.map(|(index, _)| index),
            request,
            traceparent: self.traceparent.clone(),
            key: self.idempotency_key.as_ref().map(key_of_event),
        }
    }
}

/// Reads `If-Match: "6"`, which expects a head seq (`"0"`: an empty plan), and `If-None-Match: *`, which expects an empty
/// plan.
fn expected_head(headers: &HeaderMap) -> Result<Expect, Refused> {
    let refuse = |name, detail: &str| Err(Refused::field(ErrorKind::InvalidField, name, "format", detail));
    let if_match = single_header(headers, header::IF_MATCH.as_str())?;
    let if_none_match = single_header(headers, header::IF_NONE_MATCH.as_str())?;
    let head = match (if_match, if_none_match) {
        (None, None) => return Ok(Expect::Any),
        (None, Some(any)) if any == "*" => return Ok(Expect::Empty),
        (None, Some(_)) => {
            return refuse("If-None-Match", "only * is supported, meaning that the plan must be empty");
        }
        (Some(_), Some(_)) => return refuse("If-Match", "cannot be combined with If-None-Match"),
        (Some(head), None) => head,
    };
    let seq = head.strip_prefix('"').and_then(|head| head.strip_suffix('"'));
    match seq.and_then(parse_number) {
        Some(0) => Ok(Expect::Empty),
        Some(seq) => Ok(Expect::Head(seq)),
        None => refuse("If-Match", "must be the seq of the plan's head in double quotes, for example \"6\""),
    }
}

/// Returns whether the text is a `traceparent` of W3C Trace Context, version 00.
///
/// An invalid one is ignored, as the standard requires, not refused.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts[..], ["00", trace, parent, flags]
        if is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2) && !is_zero(trace) && !is_zero(parent))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn if_match_and_if_none_match_state_the_expected_head() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            Conditions::read(&headers(pairs)).map(|conditions| conditions.expect)
        };
        assert_eq!(read(&[]), Ok(Expect::Any));
        assert_eq!(read(&[("if-match", "\"6\"")]), Ok(Expect::Head(6)));
        assert_eq!(read(&[("if-match", "\"0\"")]), Ok(Expect::Empty));
        assert_eq!(read(&[("if-none-match", "*")]), Ok(Expect::Empty));
        for invalid in ["6", "W/\"6\"", "\"six\"", "\"-1\"", "\"\"", "*", "\"6\", \"7\"", "\"99999999999999999999\""] {
            let refused = read(&[("if-match", invalid)]).expect_err(invalid);
            assert_eq!(
                (refused.kind, refused.errors[0].pointer.as_str()),
                (ErrorKind::InvalidField, "If-Match"),
                "If-Match: {invalid}"
            );
        }
        assert!(read(&[("if-none-match", "\"6\"")]).is_err());
        assert!(read(&[("if-match", "\"6\""), ("if-none-match", "*")]).is_err());
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let read = |value: &'static str| Conditions::read(&headers(&[("traceparent", value)])).unwrap().traceparent;
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(read(valid).as_deref(), Some(valid));
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for invalid in ["", "x", "00-0af7-b7ad-01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", zero] {
            assert_eq!(read(invalid), None, "traceparent: {invalid}");
        }
    }
}
