//! Errors of calls.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use sealbus_core::error::FieldError;
use serde::Deserialize;

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service refused the request.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// No URL could be reached within the retry budget. The outcome of a publish is unknown: publish the same
    /// [`NewEvent`](crate::NewEvent) again to resolve it.
    #[error("no answer from {urls}")]
    Unreachable {
        /// The URLs that were tried.
        urls: String,
        /// The error of the last attempt.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The response is not one of Sealbus: it may be a proxy's error page, or that of another service.
    #[error("unexpected response from {url}, status {status}: {problem}")]
    Unexpected {
        /// The URL of the request.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is unexpected about the response.
        problem: String,
    },
    /// The arguments are not valid; nothing was sent.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// Returns the service's error code, such as `id_conflict`, if the service refused the request.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// Turns the refusal `not_found` into `None`.
    pub(crate) fn none_if_not_found<T>(result: Result<T, Self>) -> Result<Option<T>, Self> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The problem details of a refusal (RFC 9457; docs/spec/interface.md#errors-codes).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The error code, such as `schema_violation`. Codes are stable.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// The meaning of the code.
    #[serde(default)]
    pub title: String,
    /// What was wrong with this request.
    #[serde(default)]
    pub detail: String,
    /// The fields that are not valid.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// The ids of the events whose outcome is unknown (`ledger_unavailable`).
    #[serde(default)]
    pub ids: Vec<String>,
    /// The actual seq of the plan's head (`head_mismatch`).
    #[serde(default)]
    pub head: Option<u64>,
    /// The response's `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{} ({}): {description}", self.code, self.status)?;
        for FieldError { pointer, rule, detail } in &self.errors {
            write!(f, "\n  {} violates {rule}: {detail}", if pointer.is_empty() { "the document" } else { pointer })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_prints_code_detail_and_fields() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"about:blank","code":"schema_violation","status":422,"title":"Data that breaks its schema",
                "detail":"payment.settled version 1","errors":[{"pointer":"/data/amount","rule":"type","detail":"not a string"}]}"#,
        )
        .expect("problem details");
        assert_eq!(
            ClientError::Refused(Box::new(problem)).to_string(),
            "schema_violation (422): payment.settled version 1\n  /data/amount violates type: not a string"
        );
    }
}
