//! A refusal as an answer: RFC 9457 problem details, the same for every endpoint and for the router itself.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sealbus_core::error::{ErrorKind, Refused};
use sealbus_core::error_chain;
use sealbus_ledger::LedgerError;
use serde_json::{Value, json};
use uuid::Uuid;

/// Seconds after which a call that was refused for the state of the system is worth another attempt.
const RETRY_AFTER: u32 = 1;

/// Why a call is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    refused: Refused,
    /// `head_mismatch`: the plan's head.
    head: Option<u64>,
    /// `ledger_unavailable`: the events whose outcome is unknown.
    ids: Vec<Uuid>,
}

impl Problem {
    /// A problem of a kind, with a sentence for this call.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Refused::new(kind, detail).into()
    }

    /// The same, saying where the plan stands.
    #[must_use]
    pub fn with_head(self, head: u64) -> Self {
        Self { head: Some(head), ..self }
    }

    /// The same, naming the events whose outcome is unknown.
    #[must_use]
    pub fn with_ids(self, ids: Vec<Uuid>) -> Self {
        Self { ids, ..self }
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.refused.kind
    }

    /// The problem as a JSON object.
    pub fn to_json(&self) -> Value {
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

    /// Seconds to wait, where waiting helps.
    fn retry_after(&self) -> Option<u32> {
        let helps =
            matches!(self.kind(), ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::LedgerUnavailable);
        helps.then_some(RETRY_AFTER)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { refused, head: None, ids: Vec::new() }
    }
}

/// A reading that failed. What the database said is for the log, not for the caller.
impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        if error.is_away() {
            return Self::new(ErrorKind::LedgerUnavailable, "the ledger's database is away");
        }
        tracing::error!(error = error_chain(&error), "a reading failed");
        Self::new(ErrorKind::Internal, "the ledger could not be read; the log says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], self.to_json().to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind() == ErrorKind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the metrics, which count refusals by their code.
        response.extensions_mut().insert(self.kind());
        response
    }
}
