//! Why a call failed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Why a call failed, for a program to match on and for an operator to read.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service refused, and says why.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// No URL answered, for as long as the patience lasted. What became of a publish is unknown: publish the same
    /// [`NewEvent`](crate::NewEvent) again to find out.
    #[error("no answer from {urls}")]
    Unreachable {
        /// The URLs that were tried.
        urls: String,
        /// The last failure.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something answered, and it was not what the service answers: a proxy's page, a cut off body, another service.
    #[error("{url} answered {status} and not as Sealbus does: {what}")]
    Unexpected {
        /// The URL that was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What was odd.
        what: String,
    },
    /// The client cannot be made or the call cannot be sent as asked.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// The service's code, where the service refused: `schema_violation`, `id_conflict` and so on.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

/// The problem details of a refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The stable code.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// What the code means, in words.
    #[serde(default)]
    pub title: String,
    /// What was wrong this time.
    #[serde(default)]
    pub detail: String,
    /// The fields at fault.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// The ids of the events whose fate is unknown (`ledger_unavailable`).
    #[serde(default)]
    pub ids: Vec<String>,
    /// The plan's head, where another was expected (`head_mismatch`).
    #[serde(default)]
    pub head: Option<u64>,
    /// How long the service asks to be left alone.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FieldError {
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    /// The rule that it breaks.
    pub rule: String,
    /// How it breaks it.
    #[serde(default)]
    pub detail: String,
}

impl Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{} ({}): {words}", self.code, self.status)?;
        for FieldError { pointer, rule, detail } in &self.errors {
            write!(f, "\n  {} breaks {rule}: {detail}", if pointer.is_empty() { "the whole" } else { pointer })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_code_reason_and_fields() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"about:blank","code":"schema_violation","status":422,"title":"Data that breaks its schema",
                "detail":"payment.settled version 1","errors":[{"pointer":"/data/amount","rule":"type","detail":"not a string"}]}"#,
        )
        .expect("problem details");
        assert_eq!(
            ClientError::Refused(Box::new(problem)).to_string(),
            "schema_violation (422): payment.settled version 1\n  /data/amount breaks type: not a string"
        );
    }
}
