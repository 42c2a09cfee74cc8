//! What can be wrong with a request, said once for every face of Sealbus.
//!
//! [`ErrorKind`] is a code of the interface with its HTTP status and title: the only place where the three meet. Each code
//! has a page under `docs/errors/`. [`Refused`] is one refusal of one request: kind, a sentence, and the fields at fault.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the kinds once, in the order of the interface's table and of their statuses: code, HTTP status, title.
macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal,)*) => {
        /// Every reason for which Sealbus answers with something other than what was asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)*
        }

        impl ErrorKind {
            /// All of them, in the order of the interface's table and of their statuses.
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
    /// JSON text or its canonical form over the cap.
    JsonSize = "json_size", 413, "The JSON text is too large",
    /// JSON text that is not UTF-8.
    JsonUtf8 = "json_utf8", 400, "The JSON text is not UTF-8",
    /// Text that is not JSON.
    JsonSyntax = "json_syntax", 400, "The text is not JSON",
    /// Arrays and objects nested too deeply.
    JsonDepth = "json_depth", 400, "The JSON text is nested too deeply",
    /// One name twice in one object.
    JsonDuplicateKey = "json_duplicate_key", 400, "A JSON object has one name twice",
    /// A surrogate escape that is half of no pair.
    JsonLoneSurrogate = "json_lone_surrogate", 400, "A JSON string holds half of a surrogate pair",
    /// The character U+0000.
    JsonNul = "json_nul", 400, "A JSON string holds U+0000",
    /// An integer that no double holds exactly.
    JsonIntegerRange = "json_integer_range", 400, "A JSON integer is beyond 2^53-1",
    /// A number that rounds to infinity.
    JsonNumberRange = "json_number_range", 400, "A JSON number is beyond the range of a double",
    /// A tenant, plan, type or other name outside its rule.
    InvalidName = "invalid_name", 400, "A name is not allowed",
    /// A member, header or parameter that is unknown, missing or malformed.
    InvalidField = "invalid_field", 400, "A field is not allowed",
    /// A cursor that Sealbus did not give out for this list.
    InvalidCursor = "invalid_cursor", 400, "The cursor is not one of this list",
    /// No token, or one that is not known or no longer valid.
    Unauthenticated = "unauthenticated", 401, "A valid token is needed",
    /// The token lacks the scope.
    Forbidden = "forbidden", 403, "The token does not allow this",
    /// The token lacks the tenant.
    CrossTenant = "cross_tenant", 403, "The token does not have this tenant",
    /// No such thing, for this tenant.
    NotFound = "not_found", 404, "There is no such thing",
    /// The path knows other methods.
    MethodNotAllowed = "method_not_allowed", 405, "The path does not know this method",
    /// The body did not come in in time.
    RequestTimeout = "request_timeout", 408, "The body did not come in in time",
    /// The id is stored already with other content.
    IdConflict = "id_conflict", 409, "The id is stored already with other content",
    /// The plan's head is not the expected one.
    HeadMismatch = "head_mismatch", 412, "The plan's head is another",
    /// Body, array or event over its cap.
    TooLarge = "too_large", 413, "The request is too large",
    /// A body of a media type that the path does not take.
    UnsupportedMediaType = "unsupported_media_type", 415, "The path does not take this media type",
    /// No catalog file knows the type, or this version of it.
    UnknownEventType = "unknown_event_type", 422, "The catalog does not know the event type",
    /// The data does not satisfy the schema of its type.
    SchemaViolation = "schema_violation", 422, "The data does not satisfy its schema",
    /// The type demands context that the event does not carry.
    MissingContext = "missing_context", 422, "The event lacks context that its type demands",
    /// One id twice in one call.
    DuplicateId = "duplicate_id", 422, "One id stands twice in one call",
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key belongs to another request",
    /// The caller asks more often than it may.
    RateLimited = "rate_limited", 429, "Too many requests",
    /// Too much is in hand already.
    Overloaded = "overloaded", 503, "Too much is in hand already",
    /// The database is away, or what became of a commit is unknown.
    LedgerUnavailable = "ledger_unavailable", 503, "The ledger is unavailable",
    /// A fault of Sealbus.
    Internal = "internal", 500, "Sealbus failed",
}

impl ErrorKind {
    /// The stable code: what programs compare.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// A sentence for people, the same for every refusal of the kind.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// The kind of a code, if it is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// RFC 6901, from the request's body; a header or parameter by its name.
    pub pointer: String,
    /// The rule that it broke: a JSON Schema keyword, or a word of Sealbus' own (`required`, `unknown`, `reserved` …).
    pub rule: String,
    /// What the rule asks, in words. Never holds the value.
    pub detail: String,
}

/// A request that is refused, before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// Why.
    pub kind: ErrorKind,
    /// Why, in words, for this request.
    pub detail: String,
    /// The fields at fault, where it is fields.
    pub errors: Vec<FieldError>,
}

impl Refused {
    /// A refusal that names no field.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new() }
    }

    /// A refusal for one field.
    pub fn field(kind: ErrorKind, pointer: impl Into<String>, rule: &str, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let told = if pointer.is_empty() { detail.clone() } else { format!("{pointer}: {detail}") };
        Self { kind, detail: told, errors: vec![FieldError { pointer, rule: rule.to_owned(), detail }] }
    }

    /// The same refusal of an event that stands at `base` in its array.
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
    use std::path::Path;

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
    fn each_code_has_a_page_and_each_page_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(&folder)
            .expect("docs/errors is there")
            .map(|entry| entry.expect("a readable entry").file_name().into_string().expect("a name in UTF-8"))
            .filter(|name| name != "README.md")
            .collect();
        let codes: BTreeSet<String> = ErrorKind::ALL.iter().map(|kind| format!("{}.md", kind.code())).collect();
        assert_eq!(pages, codes);
        for kind in ErrorKind::ALL {
            let page = std::fs::read_to_string(folder.join(format!("{}.md", kind.code()))).expect("a readable page");
            let heading = format!("# {} ({})", kind.code(), kind.status());
            assert!(page.starts_with(&heading), "the page of {kind} opens with {heading:?}");
            for part in ["**What happened.**", "**Why.**", "**What to do.**"] {
                assert!(page.contains(part), "the page of {kind} has {part}");
            }
        }
    }

    #[test]
    fn a_refusal_names_its_field_from_the_body() {
        let refused =
            Refused::field(ErrorKind::InvalidField, "/priority", "enum", "is high, normal or low").within("/3");
        assert_eq!(refused.errors[0].pointer, "/3/priority");
        assert_eq!(refused.detail, "event 3: /priority: is high, normal or low");
    }
}
