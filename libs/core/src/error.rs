//! Reasons for refusing a request.
//!
//! [`ErrorKind`] is a code of the API with its HTTP status and its title
//! (docs/spec/interface.md#errors-codes); no other place pairs them. Each code has a page under `docs/errors/`. [`Refused`] is
//! the refusal of one request: its kind, a sentence, and the fields at fault.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares all kinds in the order of the specification's table: name, code, HTTP status, title. The title is also the
/// documentation of the kind, which can add to it.
macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal,)*) => {
        /// The reasons for which Sealbus does not carry out a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $(#[doc = concat!($title, ".")] $(#[$doc])* $name,)*
        }

        impl ErrorKind {
            /// All kinds, in the order of the specification's table.
            pub const ALL: [ErrorKind; [$($code),*].len()] = [$(ErrorKind::$name),*];

            const fn row(self) -> (&'static str, u16, &'static str) {
                match self {
                    $(ErrorKind::$name => ($code, $status, $title),)*
                }
            }
        }
    };
}

error_kinds! {
    /// The JSON text or its canonical form exceeds its limit.
    JsonSize = "json_size", 413, "The JSON text is too large",
    JsonUtf8 = "json_utf8", 400, "The JSON text is not UTF-8",
    JsonSyntax = "json_syntax", 400, "The text is not valid JSON",
    JsonDepth = "json_depth", 400, "The JSON text is nested too deeply",
    JsonDuplicateKey = "json_duplicate_key", 400, "A JSON object has a duplicate name",
    JsonLoneSurrogate = "json_lone_surrogate", 400, "A JSON string contains a lone surrogate",
    JsonNul = "json_nul", 400, "A JSON string contains U+0000",
    JsonIntegerRange = "json_integer_range", 400, "A JSON integer is beyond 2^53-1",
    JsonNumberRange = "json_number_range", 400, "A JSON number is beyond the range of a double",
    /// A tenant, plan, type or other name breaks its rule.
    InvalidName = "invalid_name", 400, "Invalid name",
    /// A member, header or parameter is unknown, missing or malformed.
    InvalidField = "invalid_field", 400, "Invalid field",
    InvalidCursor = "invalid_cursor", 400, "The cursor is not valid for this list",
    /// The request has no token, or an unknown or expired one.
    Unauthenticated = "unauthenticated", 401, "A valid token is required",
    Forbidden = "forbidden", 403, "The token does not allow this request",
    CrossTenant = "cross_tenant", 403, "The token does not allow this tenant",
    NotFound = "not_found", 404, "Not found",
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed",
    NotAcceptable = "not_acceptable", 406, "No acceptable representation",
    RequestTimeout = "request_timeout", 408, "The request body was not received in time",
    IdConflict = "id_conflict", 409, "The id is already stored with other content",
    HeadMismatch = "head_mismatch", 412, "The plan's head does not match the expected one",
    /// A body, array or event exceeds its limit.
    TooLarge = "too_large", 413, "The request is too large",
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type",
    /// The catalog has no such type, or no such version of it.
    UnknownEventType = "unknown_event_type", 422, "Unknown event type",
    SchemaViolation = "schema_violation", 422, "The data does not satisfy its schema",
    DuplicateId = "duplicate_id", 422, "The same id appears twice in one request",
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key was used for another request",
    Overloaded = "overloaded", 503, "The server is overloaded",
    /// The database is unreachable, or the outcome of a commit is unknown.
    LedgerUnavailable = "ledger_unavailable", 503, "The ledger is unavailable",
    /// The database took over in a failover or was restored, and nobody has confirmed yet that it lacks nothing.
    LedgerFailover = "ledger_failover", 503, "Appends are stopped after a failover",
    Internal = "internal", 500, "Internal error",
}

impl ErrorKind {
    /// Returns the stable code, which programs compare.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns the HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// Returns a short text for people, the same for every refusal of the kind.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// Returns the kind with this code, or `None` for an unknown code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request's body; of a header or parameter, its name.
    pub pointer: String,
    /// The broken rule: a JSON Schema keyword, or a word of Sealbus such as `required`, `unknown` or `reserved`.
    pub rule: String,
    /// The rule in words. It never contains the value. It is empty if the server sent none.
    #[serde(default)]
    pub detail: String,
}

/// A request that is refused before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// The reason.
    pub kind: ErrorKind,
    /// A sentence about this request.
    pub detail: String,
    /// The fields at fault; empty if no field is.
    pub errors: Vec<FieldError>,
}

impl Refused {
    /// Returns a refusal that names no field.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new() }
    }

    /// Returns a refusal because of one field.
    pub fn field(kind: ErrorKind, pointer: impl Into<String>, rule: &str, detail: impl Into<String>) -> Self {
        let (pointer, field_detail) = (pointer.into(), detail.into());
        let detail = if pointer.is_empty() { field_detail.clone() } else { format!("{pointer}: {field_detail}") };
        Self { kind, detail, errors: vec![FieldError { pointer, rule: rule.to_owned(), detail: field_detail }] }
    }

    /// Returns the refusal of an event that is at `base` in an array, such as `/3`.
    #[must_use]
    pub fn within(mut self, base: &str) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, base);
        }
        self.detail = format!("event {}: {}", base.trim_start_matches('/'), self.detail);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        let codes: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind.code()), Some(kind));
            assert!((400..600).contains(&kind.status()), "{kind}");
        }
    }

    #[test]
    fn a_refusal_names_its_field_from_the_body() {
        let refused =
            Refused::field(ErrorKind::InvalidField, "/priority", "enum", "must be high, normal or low").within("/3");
        assert_eq!(refused.errors[0].pointer, "/3/priority");
        assert_eq!(refused.detail, "event 3: /priority: must be high, normal or low");
    }
}
