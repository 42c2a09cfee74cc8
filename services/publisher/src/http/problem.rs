//! Error responses: RFC 9457 problem details, the same for every endpoint, the router and panics.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use serde_json::{Value, json};
use uuid::Uuid;

/// The `Retry-After` of errors that a retry may solve, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    refused: Refused,
    /// The plan's head seq, for `head_mismatch`.
    pub head: Option<u64>,
    /// The events whose outcome is unknown, for `ledger_unavailable`.
    ids: Vec<Uuid>,
}

impl Problem {
    /// Creates a problem of a kind with a detail for this request.
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Refused::new(kind, detail).into()
    }

    /// Adds the ids of the events whose outcome is unknown.
    #[must_use]
    pub(crate) fn with_ids(self, ids: Vec<Uuid>) -> Self {
        Self { ids, ..self }
    }

    /// Returns the kind, which decides code, status and title.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.refused.kind
    }

    /// Returns the problem as a JSON object.
    pub(crate) fn to_json(&self) -> Value {
        let Refused { kind, detail, errors } = &self.refused;
        let mut problem = json!({
            "type": format!("urn:sealbus:error:{}", kind.code()),
            "title": kind.title(), "status": kind.status(), "detail": detail, "code": kind.code(),
        });
        if !errors.is_empty() {
            problem["errors"] = json!(errors);
        }
        if let Some(head) = self.head {
            problem["head"] = json!(head);
        }
        if !self.ids.is_empty() {
            problem["ids"] = json!(self.ids);
        }
        problem
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { refused, head: None, ids: Vec::new() }
    }
}

/// Converts a failed read. The database's own message goes to the log, not to the client.
impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        if error.is_unreachable() {
            return Self::new(ErrorKind::LedgerUnavailable, "the ledger's database is unreachable");
        }
        tracing::error!(error = %error_chain(&error), "reading the ledger failed");
        Self::new(ErrorKind::Internal, "reading the ledger failed; see the publisher's log")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind().status()).expect("every error kind has a valid status");
        let retryable =
            matches!(self.kind(), ErrorKind::Overloaded | ErrorKind::LedgerUnavailable | ErrorKind::LedgerFailover);
        let retry_after = retryable.then_some([(header::RETRY_AFTER, RETRY_AFTER_SECONDS)]);
        let scheme = (self.kind() == ErrorKind::Unauthenticated).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        // The router's metrics count refusals by kind.
        let kind = Extension(self.kind());
        (status, retry_after, scheme, content_type, kind, Json(self.to_json())).into_response()
    }
}
